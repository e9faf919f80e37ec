package broker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// What a client subscribes to takes memory, and a look at each of its messages: there is a bound.
func TestSubscriptionsAreBounded(t *testing.T) {
	for version, want := range map[byte]byte{4: packets.ErrUnspecifiedError.Code, 5: packets.ErrQuotaExceeded.Code} {
		h := start(t, func(c *Config) { c.UserRate = 0 })
		l := h.as("viewer")
		l.version = version
		p := h.in(t, l)
		long, n := strings.Repeat("x", 10_000), 0
		code := byte(0)
		for ; code < 0x80 && n < 1000; n++ {
			code = p.subscribe(fmt.Sprintf("doorhub/door/%d/%s", n, long), 1)
		}
		if code != want || n < maxFilters/11_000 {
			t.Errorf("v%d: subscription %d: code %#x", version, n, code)
		}
		if code := p.subscribe("doorhub/door/0/"+long, 1); code != 1 {
			t.Errorf("v%d: one that it has, anew: code %#x", version, code)
		}
		for i := range 2 {
			p.send(packets.Packet{
				FixedHeader: packets.FixedHeader{Type: packets.Unsubscribe, Qos: 1}, PacketID: 7,
				Filters: packets.Subscriptions{{Filter: fmt.Sprintf("doorhub/door/%d/%s", i, long)}},
			})
			p.next(packets.Unsuback)
		}
		if code := p.subscribe(fmt.Sprintf("doorhub/door/%d/%s", n, long), 1); code != 1 {
			t.Errorf("v%d: when there is room again: code %#x", version, code)
		}
	}
}

// A filter that was refused brings nothing, one that was granted beside it does.
func TestOneOfManyFiltersIsRefused(t *testing.T) {
	h := start(t)
	p := h.in(t, h.v5("viewer"))
	p.send(packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, PacketID: 5,
		Filters: packets.Subscriptions{{Filter: "doorhub/cmd/#", Qos: 1}, {Filter: "doorhub/alarm/state", Qos: 2}, {Filter: "a#"}},
	})
	ack := p.next(packets.Suback)
	want := fmt.Sprint([]byte{packets.ErrNotAuthorized.Code, 2, packets.ErrTopicFilterInvalid.Code})
	if got := fmt.Sprint(ack.ReasonCodes); got != want || ack.PacketID != 5 {
		t.Errorf("packet id %d, codes %s, want %s", ack.PacketID, got, want)
	}
	hub := h.in(t, h.as("hub"))
	hub.publish("doorhub/cmd/x", "1", false)
	hub.publish("doorhub/alarm/state", "2", false)
	if pk := p.next(packets.Publish); string(pk.Payload) != "2" {
		t.Errorf("received %q", pk.Payload)
	}
}
