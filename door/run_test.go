package door

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// Run takes inputs in their order, wakes the house when it asks for it, and stops in order.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		clock := func() Instant {
			return Instant{Wall: time.Now(), Mono: time.Since(start), Synced: true}
		}
		cfg := Defaults()
		p := PortalDefaults()
		p.ID = "front"
		cfg.Doors = []Portal{p}
		h, err := New(cfg, Kept{People: []Person{{ID: "ann", Policies: []Set{SetOf(PIN)}}}}, clock())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		inputs := make(chan Input, 8)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			Run(ctx, h, inputs, clock, func(_ Input, effects []Effect) {
				for _, e := range effects {
					if _, ok := e.(Show); !ok {
						got = append(got, time.Since(start).String()+" "+effectText(e))
					}
				}
			})
		}()
		inputs <- Claim{Door: "front", Side: Entry, Reader: "keypad", Factor: PIN, Person: "ann"}
		inputs <- Sensor{Sensor: "nowhere", Open: true}
		time.Sleep(time.Minute) // of the test's own clock: the grant runs out, then the grace
		inputs <- REX{Door: "front"}
		cancel()
		<-done
		want := []string{
			"0s record granted ann pin", "0s unlock 5s", "0s prompt welcome ann",
			"5s lock", "5s record locked why=timeout", "5s prompt ready",
			"7s record not_entered ann",
			"1m0s record rex", "1m0s unlock 5s",
			"1m0s lock", "1m0s record locked why=stopping", "1m0s record stopped",
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}
