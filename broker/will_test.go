package broker

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mochi-mqtt/server/v2/packets"
)

func TestWillWithAllItsProperties(t *testing.T) {
	const topic = "doorhub/in/sensor/status"
	h := start(t)
	hub := h.in(t, h.v5("hub"))
	hub.subscribe("doorhub/in/#", 1)
	for _, payload := range []string{"offline", ""} {
		l := h.v5("sensor", func(pk *packets.Packet) {
			pk.Mods.AllowResponseInfo = true // or the encoder leaves two of them out
			pk.Connect.WillProperties = packets.Properties{
				PayloadFormat: 1, PayloadFormatFlag: true, MessageExpiryInterval: 1000, ContentType: "text/plain",
				ResponseTopic: "doorhub/out/sensor/event", CorrelationData: []byte("7"), User: []packets.UserProperty{{Key: "a", Val: "1"}, {Key: "a", Val: "2"}},
			}
		})
		l.will = &Message{Topic: topic, Payload: []byte(payload), QoS: 1}
		must(t, h.in(t, l).Close())
		pk := hub.next(packets.Publish)
		hub.send(answer(packets.Puback, pk.PacketID, 0))
		if string(pk.Payload) != payload || pk.FixedHeader.Qos != 1 {
			t.Errorf("will %q came as %q at QoS %d", payload, pk.Payload, pk.FixedHeader.Qos)
		}
		want := packets.Properties{
			PayloadFormat: 1, PayloadFormatFlag: true, MessageExpiryInterval: pk.Properties.MessageExpiryInterval, ContentType: "text/plain",
			ResponseTopic: "doorhub/out/sensor/event", CorrelationData: []byte("7"), User: []packets.UserProperty{{Key: "a", Val: "1"}, {Key: "a", Val: "2"}},
		}
		if diff := cmp.Diff(want, pk.Properties); diff != "" || want.MessageExpiryInterval == 0 {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// A delayed will goes untold when its session goes on, and waits no longer than it.
func TestDelayedWills(t *testing.T) {
	const topic, next = "doorhub/in/sensor/status", "doorhub/in/sensor/contact"
	h := start(t)
	hub := h.in(t, h.as("hub"))
	hub.subscribe("doorhub/in/#", 1)
	l := h.v5("sensor", func(pk *packets.Packet) {
		pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = 10_000, true
		pk.Connect.WillProperties.WillDelayInterval = 5_000
	})
	l.will = &Message{Topic: topic, Payload: []byte("offline")}
	for _, keep := range []bool{true, false} {
		must(t, h.in(t, l).Close())
		h.awaitAway("sensor/sensor1")
		again := l
		again.keep, again.will = keep, nil
		p := h.in(t, again)
		if !keep {
			hub.received(topic)
		}
		p.publish(next, "open", false)
		if got := hub.received(next); len(got) != 0 {
			t.Errorf("session kept: %t: told %v", keep, got)
		}
		_ = p.Close()
	}
}

// awaitAway returns when a client has been seen off and its will waits.
func (h *house) awaitAway(id string) {
	for x, begin := h.session(id), time.Now(); time.Since(begin) < patience; runtime.Gosched() {
		x.mu.Lock()
		away := x.conn == nil && x.will != nil
		x.mu.Unlock()
		if away {
			return
		}
	}
}

// A will goes untold after a normal goodbye only (MQTT 5.0, 3.14.2.1).
func TestGoodbyesAndWills(t *testing.T) {
	const topic = "doorhub/in/sensor/status"
	for _, c := range []struct {
		goodbye []byte
		version byte
		told    int32
	}{
		{[]byte{0xe0, 0}, 4, 0}, {[]byte{0xe0, 0}, 5, 0}, {[]byte{0xe0, 1, 0}, 5, 0}, {[]byte{0xe0, 2, 0, 0}, 5, 0},
		{[]byte{0xe0, 1, 4}, 5, 1}, {[]byte{0xe0, 2, 4, 0}, 5, 1}, {[]byte{0xe0, 1, 0x80}, 5, 1}, {[]byte{0xe0, 2, 0x80, 0}, 5, 1},
	} {
		h := start(t)
		var told atomic.Int32
		must(t, h.OnPublish(topic, func(string, Message) { told.Add(1) }))
		l := h.as("sensor")
		l.version, l.will = c.version, &Message{Topic: topic, Payload: []byte("offline")}
		p := h.in(t, l)
		p.raw(c.goodbye)
		p.closed()
		must(t, h.Close()) // waits until everybody has been seen off
		if got := told.Load(); got != c.told {
			t.Errorf("v%d, after % x: %d wills told, want %d", c.version, c.goodbye, got, c.told)
		}
	}
}

// When a user has been cut, its wills have been told, whatever its clients still say.
func TestCutTellsWills(t *testing.T) {
	const topic = "doorhub/in/sensor/status"
	h := start(t)
	var told atomic.Int32
	must(t, h.OnPublish(topic, func(string, Message) { told.Add(1) }))
	for i := range int32(40) {
		l := h.as("sensor")
		l.version, l.keep = byte(4+i%2), i%4 < 2
		l.will = &Message{Topic: topic, Payload: []byte("offline")}
		p := h.in(t, l)
		if i%3 == 0 { // busy
			go func() {
				for p.try(publication("doorhub/in/sensor/x", "x", 0, false)) == nil {
				}
			}()
		}
		h.Cut("sensor")
		if told.Load() != i+1 {
			t.Fatalf("cut %d: %d wills were told", i+1, told.Load())
		}
		_ = p.try(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}}) // too late
		if h.session("sensor/sensor1") != nil {
			t.Error("the session is still there")
		}
	}
}

// Who takes over a session says that it is online after the will has said that it is not.
func TestWillComesBeforeTheNextConnection(t *testing.T) {
	const topic = "doorhub/instance/main/status"
	h := start(t)
	viewer := h.in(t, h.as("viewer"))
	viewer.subscribe(topic, 1)
	l := h.as("hub")
	l.will = &Message{Topic: topic, Payload: []byte("offline"), Retain: true, QoS: 1}
	for range 30 {
		h.in(t, l).publish(topic, "online", true)
	}
	for i := range 59 {
		pk := viewer.next(packets.Publish)
		if want := []string{"online", "offline"}[i%2]; string(pk.Payload) != want {
			t.Fatalf("message %d says %q, want %q", i, pk.Payload, want)
		}
		viewer.send(answer(packets.Puback, pk.PacketID, 0))
	}
	if pk, _ := h.mq.Topics.Retained.Get(topic); string(pk.Payload) != "online" {
		t.Errorf("retained: %q", pk.Payload)
	}
}
