package broker

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/mochi-mqtt/server/v2/packets"
)

// How the log of what is kept is written: a head, and then records of a mark, by which the next
// one is found behind a damaged one, a length, a checksum, and a body. Numbers are little-endian,
// those within a body varints; a text is its length and its bytes. The head is the mark and its
// checksum, twice, so that one may be damaged.
const (
	markSize   = 8
	recordHead = markSize + 8 // bytes before the body
	maxRecord  = 80 << 20     // bytes: more than any packet
)

// mark is random, and another one each time that the log is opened: whoever knew it could put
// records into a payload, which would count if the one around them was cut off by a crash.
type mark [markSize]byte

func newMark() (m mark, err error) {
	_, err = rand.Read(m[:])
	return m, err
}

// fileHead is what a file begins with.
func fileHead(m mark) []byte {
	one := binary.LittleEndian.AppendUint32(bytes.Clone(m[:]), checksum(m[:]))
	return append(one, one...)
}

// cutHead returns the mark of a file, and what follows its head.
func cutHead(p []byte) (m mark, rest []byte, ok bool) {
	const half = markSize + 4
	if len(p) < 2*half {
		return m, nil, false
	}
	for _, one := range [][]byte{p[:half], p[half : 2*half]} {
		if copy(m[:], one); checksum(m[:]) == binary.LittleEndian.Uint32(one[markSize:]) {
			return m, p[2*half:], true
		}
	}
	return m, p, false
}

// What a record says.
const (
	noteOpen   byte = iota + 1 // a session, in place of what was known of it
	noteSub                    // its subscriptions, some more
	noteUnsub                  // and some less
	noteMsg                    // a message is queued
	noteRel                    // the client has it, the exchange goes on
	noteDone                   // the client has acknowledged it
	noteGot                    // the client has sent a message at QoS 2
	noteFree                   // and has released it
	noteEnd                    // the session is over
	noteUnsent                 // from this message on none had been sent when the broker was closed
	noteKeep                   // a message is retained
	noteDrop                   // one no longer is
	noteWhole                  // all that was kept when the file was begun stands before this
)

// note is what a record says.
type note struct {
	kind byte
	id   string    // of the client; of noteDrop the topic
	pid  uint16    // of the message, where it is about one
	open opening   // of noteOpen
	subs []logSub  // of noteSub and noteUnsub
	msg  *outgoing // of noteMsg and noteKeep
}

type opening struct {
	User    string `json:"user"`
	Token   []byte `json:"token"` // its hash, as in the file of users
	Version byte   `json:"version"`
	Life    uint32 `json:"life,omitempty"` // seconds; version 5
}

type logSub struct {
	Filter            string `json:"f"`
	QoS               byte   `json:"q,omitempty"`
	Identifier        int    `json:"id,omitempty"`
	NoLocal           bool   `json:"nl,omitempty"`
	RetainAsPublished bool   `json:"rap,omitempty"`
}

// Bits of a message's flags beside its QoS.
const (
	flagRetain = 1 << (iota + 2)
	flagExpiry
	flagSubs
	flagProps
)

// appendRecord adds a record to p.
func appendRecord(p []byte, m mark, n note) []byte {
	at := len(p)
	p = append(append(p, m[:]...), make([]byte, 8)...)
	p = appendText(append(p, n.kind), n.id)
	switch n.kind {
	case noteOpen:
		p = appendJSON(p, n.open)
	case noteSub, noteUnsub:
		p = appendJSON(p, n.subs)
	case noteMsg:
		p = appendMessage(binary.AppendUvarint(p, uint64(n.pid)), n.msg)
	case noteKeep:
		p = appendMessage(p, n.msg)
	case noteEnd, noteDrop, noteWhole:
	default:
		p = binary.AppendUvarint(p, uint64(n.pid))
	}
	head, body := p[at+markSize:], p[at+recordHead:]
	binary.LittleEndian.PutUint32(head, uint32(len(body)))
	binary.LittleEndian.PutUint32(head[4:], checksum(body))
	return p
}

func checksum(p []byte) uint32 { return crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)) }

func appendText(p []byte, s string) []byte {
	return append(binary.AppendUvarint(p, uint64(len(s))), s...)
}

func appendJSON(p []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return p // cannot be: nothing is in it that JSON lacks
	}
	return append(p, text...)
}

func appendMessage(p []byte, o *outgoing) []byte {
	at := len(p)
	p = append(p, o.qos)
	p = binary.AppendUvarint(appendText(p, o.topic), uint64(o.created))
	if o.retain {
		p[at] |= flagRetain
	}
	if o.expiry > 0 {
		p[at] |= flagExpiry
		p = binary.AppendUvarint(p, uint64(o.expiry))
	}
	if len(o.subs) > 0 {
		p[at] |= flagSubs
		p = binary.AppendUvarint(p, uint64(len(o.subs)))
		for _, id := range o.subs {
			p = binary.AppendUvarint(p, uint64(id))
		}
	}
	if o.props != nil {
		p[at] |= flagProps
		p = appendText(p, string(appendJSON(nil, o.props)))
	}
	return append(p, o.payload...)
}

// reader takes a record's body apart.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.bad = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) text() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *reader) json(v any) {
	r.bad = r.bad || json.Unmarshal(r.rest, v) != nil
	r.rest = nil
}

// decodeNote reads a record's body.
func decodeNote(body []byte) (n note, ok bool) {
	r := &reader{rest: body}
	n = note{kind: r.byte(), id: r.text()}
	switch n.kind {
	case noteOpen:
		r.json(&n.open)
	case noteSub, noteUnsub:
		r.json(&n.subs)
	case noteMsg:
		n.pid = uint16(r.number())
		n.msg = r.message()
		n.msg.id = n.pid
	case noteKeep:
		n.msg = r.message()
	case noteRel, noteDone, noteGot, noteFree, noteUnsent:
		n.pid = uint16(r.number())
	case noteEnd, noteDrop, noteWhole:
	default:
		r.bad = true
	}
	return n, !r.bad
}

func (r *reader) message() *outgoing {
	flags := r.byte()
	o := &outgoing{body: &body{topic: r.text(), created: int64(r.number())}, qos: flags & 3, retain: flags&flagRetain > 0}
	if flags&flagExpiry > 0 {
		o.expiry = int64(r.number())
	}
	if flags&flagSubs > 0 {
		for range min(r.number(), uint64(len(r.rest))) {
			o.subs = append(o.subs, int(r.number()))
		}
	}
	if flags&flagProps > 0 {
		o.props = &packets.Properties{}
		r.bad = r.bad || json.Unmarshal([]byte(r.text()), o.props) != nil
	}
	o.payload = bytes.Clone(r.rest)
	return o
}

// readRecords calls f with each whole record of a file. A record cut off at the end is what a
// crash leaves, as is a head; neither was ever promised to anybody. What is damaged otherwise costs
// itself, and is told.
func readRecords(p []byte, f func(note)) error {
	m, p, ok := cutHead(p)
	if !ok && len(p) > 0 {
		return errors.New("its head is damaged: nothing of it can be read")
	}
	damaged := 0
	for len(p) > 0 {
		body, ok := m.record(p)
		if ok {
			n, good := decodeNote(body)
			if good {
				f(n)
			} else {
				damaged += len(body)
			}
			p = p[recordHead+len(body):]
			continue
		}
		next := m.next(p[1:])
		if next < 0 {
			break
		}
		damaged += next + 1
		p = p[next+1:]
	}
	if damaged > 0 {
		return fmt.Errorf("%d bytes are damaged; the rest is good", damaged)
	}
	return nil
}

// record returns the body of the record that p begins with.
func (m mark) record(p []byte) (body []byte, ok bool) {
	if len(p) < recordHead || !bytes.Equal(p[:markSize], m[:]) {
		return nil, false
	}
	length := int64(binary.LittleEndian.Uint32(p[markSize:]))
	if length > min(maxRecord, int64(len(p)-recordHead)) {
		return nil, false
	}
	body = p[recordHead : recordHead+int(length)]
	return body, checksum(body) == binary.LittleEndian.Uint32(p[markSize+4:])
}

// next returns where the next whole record begins; -1: there is none.
func (m mark) next(p []byte) int {
	for at := 0; ; at++ {
		i := bytes.Index(p[at:], m[:])
		if i < 0 {
			return -1
		}
		at += i
		if _, ok := m.record(p[at:]); ok {
			return at
		}
	}
}
