package store

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

// The canonical form may never change: the hashes of every journal hang on it.
func TestCanonicalForm(t *testing.T) {
	e := entry{seq: 1, time: 2, synced: 1, boot: "b", mono: -1, door: "front", kind: "granted", person: "p1",
		factors: "pin+face", details: `{"a":"b"}`, sealed: []byte{9}, prev: []byte{7, 8}}
	want := "646f6f72687562207265636f726420310a" + // tag
		"0000000000000001" + "0000000000000002" + "0000000000000001" + "00000001" + "62" + "ffffffffffffffff" +
		"00000005" + "66726f6e74" + "00000007" + "6772616e746564" + "00000000" + "00000002" + "7031" +
		"00000008" + "70696e2b66616365" + "00000000" + "00000009" + "7b2261223a2262227d" + "00000001" + "09" + "00000002" + "0708"
	if diff := cmp.Diff(want, hex.EncodeToString(e.appendCanonical(nil))); diff != "" {
		t.Errorf("canonical form (-want +got):\n%s", diff)
	}
}

// FuzzCanonical shows that no two entries share a canonical form: each can be read back
// from its own.
func FuzzCanonical(f *testing.F) {
	f.Add(int64(1), int64(2), int64(1), int64(3), "boot", "front", "granted", "entry", "p1", "pin", "why", "{}", []byte{1}, []byte{2})
	f.Add(int64(-1), int64(0), int64(7), int64(0), "", "", "\x00\x00\x00\x01", "a", "", "", "", "\xff", []byte{}, []byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, seq, ns, synced, mono int64, boot, portal, kind, side, person, factors, reason, details string, sealed, prev []byte) {
		e := entry{seq: seq, time: ns, synced: synced, boot: boot, mono: mono, door: portal, kind: kind, side: side,
			person: person, factors: factors, reason: reason, details: details, sealed: append([]byte{}, sealed...), prev: append([]byte{}, prev...)}
		got, rest := parseCanonical(e.appendCanonical(nil))
		if diff := cmp.Diff(e, got, cmp.AllowUnexported(entry{})); diff != "" || len(rest) != 0 {
			t.Errorf("read back (-want +got), %d bytes over:\n%s", len(rest), diff)
		}
	})
}

func parseCanonical(b []byte) (e entry, rest []byte) {
	b = bytes.TrimPrefix(b, []byte(canonicalTag))
	number := func(to *int64) { *to, b = int64(binary.BigEndian.Uint64(b)), b[8:] }
	raw := func() (v []byte) {
		n := binary.BigEndian.Uint32(b)
		v, b = b[4:4+n], b[4+n:]
		return append([]byte{}, v...)
	}
	number(&e.seq)
	number(&e.time)
	number(&e.synced)
	e.boot = string(raw())
	number(&e.mono)
	for _, to := range []*string{&e.door, &e.kind, &e.side, &e.person, &e.factors, &e.reason, &e.details} {
		*to = string(raw())
	}
	e.sealed, e.prev = raw(), raw()
	return e, b
}

// FuzzRecord shows that a record becomes a row and comes back the same, so that what is
// hashed is what was said.
func FuzzRecord(f *testing.F) {
	f.Add(int64(1), true, "boot", int64(5), "front", "granted", "entry", "p1", uint8(5), "why", "key", "value", "key2", "value2")
	f.Add(int64(-1), false, "", int64(-5), "\x00", "<script>", "\u2028", "", uint8(127), "\"", "", "", "\\", "é")
	f.Fuzz(func(t *testing.T, ns int64, synced bool, boot string, mono int64, portal, kind, side, person string, factors uint8, reason, k1, v1, k2, v2 string) {
		rec := door.Record{Time: fromNanos(ns), Clock: door.Clock{Synced: synced, Boot: mend(boot), Mono: time.Duration(mono)},
			Door: mend(portal), Kind: door.Kind(mend(kind)), Side: door.Side(mend(side)), Person: mend(person),
			Factors: door.Set(factors & 127), Reason: mend(reason), Details: map[string]string{mend(k1): mend(v1), mend(k2): mend(v2)}}
		e, err := newEntry(rec)
		must(t, err)
		got, err := e.record()
		must(t, err)
		if diff := cmp.Diff(rec, got); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	})
}

// What is read the short way is read as JSON reads it.
func FuzzPlainDetails(f *testing.F) {
	for _, text := range []string{`{"a":"b"}`, `{"distance":"0.41","liveness":"live"}`, `{"":""}`, `{}`, `{"a":1,"b":"c"}`, `{"a":"b","a":"c"}`,
		`{"a":"\u003c"}`, `{"a":"b"}x`, `{"a":"b",}`, `{"a":"b","c"}`, `{"a":{"b":"c"}}`, `{"a":["b"]}`, `{"text":"a, b: {c}"}`, ``, `null`, `[]`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plain := plainDetails(text)
		var want map[string]string
		if plain == nil || json.Unmarshal([]byte(text), &want) != nil || !utf8.ValidString(text) {
			return // such as JSON refuses are found by the chain, not here
		}
		if diff := cmp.Diff(want, plain); diff != "" {
			t.Errorf("%q (-want +got)\n%s", text, diff)
		}
	})
}

func TestPlainDetailsAreRead(t *testing.T) {
	for text, want := range map[string]map[string]string{
		`{"a":"b"}`: {"a": "b"}, `{"distance":"0.41","liveness":"live"}`: {"distance": "0.41", "liveness": "live"},
		`{"a":"\n"}`: nil, `{"a":1}`: nil, `{"a":"b"`: nil, `{}`: nil,
	} {
		if diff := cmp.Diff(want, plainDetails(text)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", text, diff)
		}
	}
}
