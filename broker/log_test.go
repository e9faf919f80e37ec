package broker

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"
)

func TestLogIsTidied(t *testing.T) {
	h := start(t)
	l := h.as("homeassistant")
	l.keep = true
	p := h.in(t, l)
	p.subscribe("doorhub/alarm/state", 1)
	hub := h.in(t, h.as("hub"))
	for range 40 {
		hub.publish("doorhub/alarm/state", strings.Repeat("x", 100<<10), false)
		p.send(answer(packets.Puback, p.next(packets.Publish).PacketID, 0))
	}
	hub.publish("doorhub/alarm/state", "last", false)
	p.ping()
	must(t, h.Close())
	content, _ := keptFiles(t, h)
	if len(content) > 2*tidyAt {
		t.Errorf("the log holds %d bytes", len(content))
	}
	h.restart(t)
	p, ack := h.connect(t, l)
	if pk := p.next(packets.Publish); !ack.SessionPresent || string(pk.Payload) != "last" {
		t.Errorf("session present %t, message %.10q", ack.SessionPresent, pk.Payload)
	}
}

func TestUnwritableLogIsTold(t *testing.T) {
	h := start(t)
	told := make(chan error, 10)
	h.OnFault(func(err error) { told <- err })
	l := h.as("homeassistant")
	l.keep = true
	p := h.in(t, l)
	p.subscribe("doorhub/alarm/state", 1)
	must(t, h.kept.f.Close()) // as good as a disk that fails
	hub := h.in(t, h.as("hub"))
	hub.publish("doorhub/alarm/state", "1", false)
	if err := take(t, told); !errors.Is(err, os.ErrClosed) {
		t.Errorf("told: %v", err)
	}
	h.kept.mu.Lock()
	h.kept.try = time.Time{} // the pause is over
	h.kept.mu.Unlock()
	hub.publish("doorhub/alarm/state", "2", false)
	if err := take(t, told); err != nil {
		t.Errorf("after the repair: %v", err)
	}
	must(t, h.Close())
	h.restart(t)
	p = h.in(t, l)
	for _, want := range []string{"1", "2"} {
		if pk := p.next(packets.Publish); string(pk.Payload) != want {
			t.Errorf("message %q, want %q", pk.Payload, want)
		}
	}
}

// swapLog puts something else in place of the file that the log is written to.
func swapLog(t *testing.T, h *house, with *os.File) {
	t.Helper()
	must(t, syscall.Dup3(int(with.Fd()), int(h.kept.f.Fd()), syscall.O_CLOEXEC))
	must(t, with.Close())
}

// A kill leaves to the kernel what was written, a power cut does not. So what is acknowledged has
// to be synced: here into what takes all writes, and refuses each sync.
func TestAcknowledgedIsSynced(t *testing.T) {
	for name, last := range map[string]func(p *peer){
		"QoS 1": func(p *peer) { p.publish("doorhub/alarm/state", "1", false) },
		"the release of QoS 2": func(p *peer) {
			p.send(answer(packets.Pubrel, 1, 0))
			p.next(packets.Pubcomp)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t)
			told := make(chan error, 10)
			h.OnFault(func(err error) { told <- err })
			l := h.as("homeassistant")
			l.keep = true
			h.in(t, l).subscribe("doorhub/alarm/state", 1)
			l = h.as("hub")
			l.keep = true
			hub := h.in(t, l)
			hub.send(publication("doorhub/house/event", "x", 2, false))
			hub.next(packets.Pubrec)
			out, in, err := os.Pipe()
			must(t, err)
			defer out.Close()
			swapLog(t, h, in)
			last(hub)
			select {
			case err := <-told:
				if !errors.Is(err, syscall.EINVAL) { // fsync(2)
					t.Errorf("told: %v", err)
				}
			default:
				t.Error("acknowledged without a sync")
			}
		})
	}
}

// A message of QoS 2 is in the log before its packet id. With a kill between the two it is sent
// again, and taken; the other way round it would be taken for one that was.
func TestQoS2IsNotedWhenItIsKept(t *testing.T) {
	h := start(t)
	var peers []*peer
	for _, user := range []string{"homeassistant", "hub"} {
		l := h.as(user)
		l.keep = true
		peers = append(peers, h.in(t, l))
	}
	peers[0].subscribe("doorhub/alarm/state", 2)
	peers[1].send(publication("doorhub/alarm/state", "x", 2, false))
	peers[1].next(packets.Pubrec)
	must(t, h.Close())
	var kinds []byte
	must(t, readLog(filepath.Join(h.cfg.Dir, "kept"), func(n note) {
		if n.kind == noteMsg || n.kind == noteGot {
			kinds = append(kinds, n.kind)
		}
	}))
	if diff := cmp.Diff([]byte{noteMsg, noteGot}, kinds); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// While the disk takes nothing, neither does the broker more than it can hold.
func TestSlowDiskHoldsUpPublishers(t *testing.T) {
	h := start(t)
	for i := range 40 {
		l := h.as("viewer")
		l.id, l.keep = strconv.Itoa(i), true
		h.in(t, l).subscribe("doorhub/alarm/state", 1)
	}
	out, in, err := os.Pipe()
	must(t, err)
	defer out.Close()
	swapLog(t, h, in)
	hub := h.in(t, h.as("hub"))
	for range 10 { // in the log each takes 4 MB
		hub.send(publication("doorhub/alarm/state", strings.Repeat("x", 100<<10), 1, false))
	}
	hub.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
	most, same := 0, 0
	for same < 20 {
		<-time.After(10 * time.Millisecond)
		h.kept.mu.Lock()
		n := len(h.kept.buf)
		h.kept.mu.Unlock()
		if same++; n > most {
			most, same = n, 0
		}
	}
	if most < maxUnwritten || most > maxUnwritten+5<<20 {
		t.Errorf("%d bytes wait for the disk", most)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	hub.next(packets.Pingresp)
}

// A log cut off anywhere costs the record that it is cut off in, and a changed byte the record
// that it stands in.
func TestDamagedLog(t *testing.T) {
	m, err := newMark()
	must(t, err)
	whole := fileHead(m)
	head := len(whole)
	for i := range 5 {
		whole = appendRecord(whole, m, note{kind: noteMsg, id: "a/b", pid: uint16(i + 1), msg: &outgoing{body: &body{topic: "t", payload: []byte("x\ny")}}})
	}
	size := (len(whole) - head) / 5
	for cut := range whole {
		n, want := 0, max(cut-head, 0)/size
		if err := readRecords(whole[:cut], func(note) { n++ }); err != nil || n != want {
			t.Fatalf("cut at %d: %d records, %v", cut, n, err)
		}
		bad := append([]byte(nil), whole...)
		bad[cut] ^= 0x10
		n = 0
		err := readRecords(bad, func(note) { n++ })
		if cut < head && (n != 5 || err != nil) {
			t.Fatalf("byte %d of the head changed: %d records, %v", cut, n, err)
		}
		if cut >= head && (n != 4 || (err == nil) != (want == 4)) {
			t.Fatalf("byte %d changed: %d records, %v", cut, n, err)
		}
	}
	whole[0]++
	whole[head-1]++
	if err := readRecords(whole, func(note) { t.Error("a record is read without a mark") }); err == nil {
		t.Error("a damaged head is not told")
	}
}

// A crash may cut off the record around a payload, never make records of what is in it.
func TestNoPayloadBecomesARecord(t *testing.T) {
	h := start(t)
	m, err := newMark() // as another broker has it
	must(t, err)
	forged := appendRecord(nil, m, note{kind: noteKeep, msg: &outgoing{body: &body{topic: "doorhub/door/front/lock", payload: []byte("UNLOCKED")}, retain: true}})
	h.in(t, h.as("homeassistant")).publish("homeassistant/status", "x"+string(forged)+"x", true)
	must(t, h.Close())
	names, err := logFiles(filepath.Join(h.cfg.Dir, "kept"))
	must(t, err)
	last := names[len(names)-1]
	content, err := os.ReadFile(last)
	must(t, err)
	end := bytes.LastIndex(content, forged) + len(forged)
	must(t, os.Truncate(last, int64(end)))
	h.restart(t)
	if pk, ok := h.mq.Topics.Retained.Get("doorhub/door/front/lock"); ok {
		t.Errorf("the lock says %q", pk.Payload)
	}
}
