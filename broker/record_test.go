package broker

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"
)

// notes are one of each kind.
func notes() []note {
	m := func() *outgoing {
		return &outgoing{
			body: &body{
				topic: "doorhub/alarm/state", payload: []byte("a\nb"), created: 1, expiry: 1 << 40,
				props: &packets.Properties{ContentType: "text/plain"},
			},
			subs: []int{1, 1 << 20}, qos: 2, retain: true,
		}
	}
	queued := m()
	queued.id = 65535
	plain := &outgoing{body: &body{topic: "t", payload: []byte{}}}
	return []note{
		{kind: noteOpen, id: "a/b", open: opening{User: "a", Token: []byte{1, 2}, Version: 5, Life: 7}},
		{kind: noteSub, id: "a/b", subs: []logSub{{Filter: "a/+/#", QoS: 1, Identifier: 3, NoLocal: true, RetainAsPublished: true}, {Filter: "ä"}}},
		{kind: noteUnsub, id: "a/b", subs: []logSub{{Filter: "ä"}}},
		{kind: noteMsg, id: "a/b", pid: 65535, msg: queued},
		{kind: noteRel, id: "a/b", pid: 1}, {kind: noteDone, id: "a/b", pid: 2}, {kind: noteGot, id: "a/b", pid: 3},
		{kind: noteFree, id: "a/b", pid: 4}, {kind: noteUnsent, id: "a/b", pid: 5},
		{kind: noteEnd, id: "a/b"}, {kind: noteKeep, msg: m()}, {kind: noteKeep, msg: plain},
		{kind: noteDrop, id: "doorhub/alarm/state"}, {kind: noteWhole},
	}
}

func TestRecordsSayWhatTheyWereToldTo(t *testing.T) {
	m := mark{1}
	all := fileHead(m)
	for _, n := range notes() {
		all = appendRecord(all, m, n)
	}
	var got []note
	must(t, readRecords(all, func(n note) { got = append(got, n) }))
	if diff := cmp.Diff(notes(), got, cmp.AllowUnexported(note{}, outgoing{}, body{})); diff != "" {
		t.Error(diff)
	}
}

// Whatever stands in a file, reading it neither panics nor makes up what it cannot write again.
func FuzzRecords(f *testing.F) {
	m := mark{1}
	for _, n := range notes() {
		f.Add(appendRecord(append(fileHead(m), 'x'), m, n))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		_ = readRecords(file, func(n note) { // its error is about the file
			again, ok := m.record(appendRecord(nil, m, n))
			if _, good := decodeNote(again); !ok || !good {
				t.Errorf("%+v cannot be read again", n)
			}
		})
		if n, ok := decodeNote(file); ok && n.msg != nil && !bytes.Contains(file, n.msg.payload) {
			t.Error("a payload that is not in the file")
		}
	})
}
