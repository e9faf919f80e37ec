package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/doorhub/doorhub/door"
)

// entry is one row of the journal just as the database holds it, so that a change to any
// byte of it changes the hash.
type entry struct {
	seq                      int64
	time                     int64 // Unix nanoseconds
	synced                   int64
	boot                     string
	mono                     int64
	door, kind, side         string
	person                   string
	factors, reason, details string
	sealed, prev, hash       []byte
}

// columns lists the journal's columns in the order of entry's fields.
const columns = `seq, time, synced, boot, mono, door, kind, side, person, factors, reason, details, sealed, prev, hash`

// bareColumns are columns with nothing in the last three.
const bareColumns = `seq, time, synced, boot, mono, door, kind, side, person, factors, reason, details, NULL, NULL, NULL`

func (e *entry) pointers() []any {
	return []any{&e.seq, &e.time, &e.synced, &e.boot, &e.mono, &e.door, &e.kind, &e.side,
		&e.person, &e.factors, &e.reason, &e.details, &e.sealed, &e.prev, &e.hash}
}

func (e *entry) values() []any {
	return []any{e.seq, e.time, e.synced, e.boot, e.mono, e.door, e.kind, e.side,
		e.person, e.factors, e.reason, e.details, e.sealed, e.prev, e.hash}
}

// canonicalTag begins every canonical record; another encoding would have another.
const canonicalTag = "doorhub record 1\n"

// appendCanonical appends what is hashed: the tag, then every field but the hash in the
// order of columns, numbers as 8 bytes big-endian, texts and bytes behind their length
// as 4 bytes big-endian. No two different entries have the same canonical form.
func (e *entry) appendCanonical(b []byte) []byte {
	b = append(b, canonicalTag...)
	for _, n := range [...]int64{e.seq, e.time, e.synced} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = appendText(b, e.boot)
	b = binary.BigEndian.AppendUint64(b, uint64(e.mono))
	for _, text := range [...]string{e.door, e.kind, e.side, e.person, e.factors, e.reason, e.details} {
		b = appendText(b, text)
	}
	return appendText(appendText(b, e.sealed), e.prev)
}

func appendText[T string | []byte](b []byte, text T) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	return append(b, text...)
}

// newEntry is the row of rec, before it has its place in the chain. Text that is not UTF-8,
// which JSON could not carry to the journal's readers, is mended.
func newEntry(rec door.Record) (entry, error) {
	details, err := detailsText(rec.Details)
	e := entry{
		time: nanos(rec.Time), boot: mend(rec.Clock.Boot), mono: int64(rec.Clock.Mono),
		door: mend(rec.Door), kind: mend(string(rec.Kind)), side: mend(string(rec.Side)), person: mend(rec.Person),
		factors: rec.Factors.String(), reason: mend(rec.Reason), details: details,
	}
	if rec.Clock.Synced {
		e.synced = 1
	}
	return e, err
}

// record is the inverse of newEntry.
func (e *entry) record() (door.Record, error) {
	rec := door.Record{
		Seq: uint64(e.seq), Time: fromNanos(e.time),
		Clock: door.Clock{Synced: e.synced != 0, Boot: e.boot, Mono: time.Duration(e.mono)},
		Door:  e.door, Kind: door.Kind(e.kind), Side: door.Side(e.side), Person: e.person, Reason: e.reason,
		Sealed: e.sealed, Prev: e.prev, Hash: e.hash,
	}
	if err := rec.Factors.UnmarshalText([]byte(e.factors)); err != nil {
		return rec, fmt.Errorf("record %d: %w: run doorhub log verify", e.seq, err)
	}
	if e.details == "" {
		return rec, nil
	}
	if rec.Details = plainDetails(e.details); rec.Details != nil {
		return rec, nil
	}
	if err := json.Unmarshal([]byte(e.details), &rec.Details); err != nil {
		return rec, fmt.Errorf("record %d: its details: %w: run doorhub log verify", e.seq, err)
	}
	return rec, nil
}

// plainDetails reads an object of texts without escapes, as most are, in a fifth of the time that
// JSON takes; nil when it is another.
func plainDetails(text string) map[string]string {
	if strings.Contains(text, `\`) {
		return nil
	}
	details := make(map[string]string, 4)
	rest, ok := strings.CutPrefix(text, `{"`)
	for ok {
		key, after, found := strings.Cut(rest, `":"`)
		value, tail, ended := strings.Cut(after, `"`)
		if !found || !ended || strings.Contains(key, `"`) {
			return nil
		}
		details[key] = value
		if tail == "}" {
			return details
		}
		rest, ok = strings.CutPrefix(tail, `,"`)
	}
	return nil
}

// detailsText is a JSON object with its keys in order, or "".
func detailsText(details map[string]string) (string, error) {
	if len(details) == 0 {
		return "", nil
	}
	text, err := json.Marshal(details)
	return string(text), err
}

func mend(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
