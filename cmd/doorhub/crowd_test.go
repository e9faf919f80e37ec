package main

import (
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
)

// While a sensor floods the bus, hardly any of its messages stand before a PIN, and none is lost.
func TestNetworkStandsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Sensors: []Sensor{{ID: "kitchen"}}}
		h := &hub{cfg: cfg, inputs: make(chan door.Input, 1024), stepped: make(chan struct{}, 1), gone: make(chan struct{}),
			recorder: newRecorder(nil, "", slog.New(slog.DiscardHandler))}
		const messages = 50
		for range 3 { // three connections
			go func() {
				for range messages {
					h.reading(broker.Message{Topic: "doorhub/in/kitchen/contact", Payload: []byte("open"), QoS: 1})
				}
			}()
		}
		synctest.Wait()
		claim := door.Claim{Door: "front", Factor: door.PIN, Person: "ann"}
		h.send(claim)
		got, before := map[string]int{}, -1
		for n := 0; len(h.inputs) > 0; n++ {
			in := <-h.inputs
			switch in := in.(type) {
			case door.Claim:
				before = n
			case door.Sensor:
				got[in.Sensor]++
			}
			h.do(in, nil)
			synctest.Wait()
		}
		if before < 0 || before > 2*crowd+3 {
			t.Errorf("%d inputs stood before the claim (-1: it never came)", before)
		}
		if diff := cmp.Diff(map[string]int{"kitchen": 3 * messages}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// A house that is gone holds up nobody.
func TestNetworkBehindNobody(t *testing.T) {
	h := &hub{inputs: make(chan door.Input, crowd), stepped: make(chan struct{}, 1), gone: make(chan struct{})}
	for range crowd {
		h.send(door.REX{Door: "front"})
	}
	close(h.gone)
	h.sendBehind(door.REX{Door: "front"})
	if len(h.inputs) != crowd {
		t.Errorf("%d inputs wait for nobody, not %d", len(h.inputs), crowd)
	}
}
