package broker

import (
	"io"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// hold has the disk take nothing until release is called, and sync nothing then: a full pipe
// stands for it.
func (h *house) hold(t *testing.T) (release func()) {
	t.Helper()
	var pipe [2]int
	must(t, syscall.Pipe2(pipe[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK))
	for {
		if _, err := syscall.Write(pipe[1], make([]byte, 4096)); err == syscall.EAGAIN {
			break
		}
	}
	must(t, syscall.SetNonblock(pipe[1], false))
	must(t, syscall.Dup3(pipe[1], int(h.kept.f.Fd()), syscall.O_CLOEXEC))
	must(t, syscall.Close(pipe[1]))
	out := os.NewFile(uintptr(pipe[0]), "disk")
	t.Cleanup(func() { _ = out.Close() })
	return func() { go func() { _, _ = io.Copy(io.Discard, out) }() }
}

// keptViewer has somebody subscribe to the alarm who is away, and whose session is kept.
func (h *house) keptViewer(t *testing.T) login {
	t.Helper()
	l := h.as("viewer")
	l.keep = true
	p := h.in(t, l)
	p.subscribe("doorhub/alarm/state", 1)
	must(t, p.Close())
	return l
}

// A publisher is read on while what it sent is on its way to the disk; its answers wait, and
// come in order. Who sends what is not kept does not wait.
func TestAnswersWaitForTheDisk(t *testing.T) {
	h := start(t)
	h.keptViewer(t)
	hub, sensor := h.in(t, h.as("hub")), h.in(t, h.as("sensor"))
	heard := make(chan string, 10)
	must(t, h.OnPublish("doorhub/alarm/state", func(_ string, m Message) { heard <- string(m.Payload) }))
	release := h.hold(t)
	for i, topic := range []string{"doorhub/alarm/state", "doorhub/alarm/state", "doorhub/alarm/other"} {
		pk := publication(topic, strconv.Itoa(i), byte(1+i%2), false)
		pk.PacketID = uint16(i + 1)
		hub.send(pk)
	}
	for _, want := range []string{"0", "1"} {
		if got := take(t, heard); got != want {
			t.Errorf("heard %q, want %q", got, want)
		}
	}
	sensor.publish("doorhub/in/sensor/contact", "open", false)
	hub.send(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}})
	if pk, err := hub.read(); err != nil || pk.FixedHeader.Type != packets.Pingresp {
		t.Errorf("before the disk has it: %d, %v", pk.FixedHeader.Type, err)
	}
	release()
	for i, want := range []byte{packets.Puback, packets.Pubrec, packets.Puback} {
		pk, err := hub.read()
		if must(t, err); pk.FixedHeader.Type != want || pk.PacketID != uint16(i+1) {
			t.Errorf("answer %d: type %d, packet id %d", i, pk.FixedHeader.Type, pk.PacketID)
		}
	}
}

// A publisher that is faster than the disk is read no further, until that has caught up.
func TestUnansweredMessagesAreBounded(t *testing.T) {
	h := start(t)
	h.keptViewer(t)
	hub := h.in(t, h.as("hub"))
	release := h.hold(t)
	const n = 3 * maxUnanswered
	go func() {
		for i := range n {
			pk := publication("doorhub/alarm/state", "x", 1, false)
			pk.PacketID = uint16(i + 1)
			_ = hub.try(pk)
		}
	}()
	a := &h.session("hub/hub1").connection().acks
	unanswered := func() int {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.waiting)
	}
	for end := time.Now().Add(patience); unanswered() < maxUnanswered; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d messages wait", unanswered())
		}
	}
	if got, most := unanswered(), maxUnanswered+largeInbox/20; got > most { // what is in the buffer is dealt with
		t.Errorf("%d messages wait, %d may", got, most)
	}
	release()
	for i := range n {
		if pk := hub.next(packets.Puback); pk.PacketID != uint16(i+1) {
			t.Fatalf("answer %d is for %d", i+1, pk.PacketID)
		}
	}
}

// DUP says that a message may have come before (MQTT 5.0, 3.3.1.1). Over a clean restart the
// broker knows better; after a crash it does not.
func TestFirstDeliveryAfterARestart(t *testing.T) {
	h := start(t)
	l := h.keptViewer(t)
	hub := h.in(t, h.as("hub"))
	for i := range 3 {
		hub.publish("doorhub/alarm/state", strconv.Itoa(i), false)
	}
	dup := func(step string, n int, want bool) {
		t.Helper()
		p := h.in(t, l)
		for range n {
			if pk := p.next(packets.Publish); pk.FixedHeader.Dup != want {
				t.Errorf("%s: message %s: DUP %t", step, pk.Payload, pk.FixedHeader.Dup)
			}
		}
		must(t, p.Close())
		until(t, func() bool { return h.session("viewer/viewer1").connection() == nil })
	}
	for range 2 { // nobody comes the first time
		must(t, h.Close())
		h.restart(t)
	}
	dup("never sent", 3, false)
	h.in(t, h.as("hub")).publish("doorhub/alarm/state", "3", false)
	crashed := t.TempDir()
	must(t, os.CopyFS(crashed, os.DirFS(h.cfg.Dir))) // as a crash would leave it
	must(t, h.Close())
	h.restart(t)
	p := h.in(t, l)
	for i, want := range []bool{true, true, true, false} {
		if pk := p.next(packets.Publish); pk.FixedHeader.Dup != want {
			t.Errorf("message %d: DUP %t", i, pk.FixedHeader.Dup)
		}
	}
	must(t, h.Close())
	h.cfg.Dir = crashed
	h.restart(t)
	dup("after a crash", 4, true)
}
