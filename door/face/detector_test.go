//go:build vision

package face

import (
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
)

// A single face is looked at in every frame, one of a crowd in every few, and one that is judged
// twice a second.
func TestLooksAreSpread(t *testing.T) {
	began := time.Unix(1e9, 0)
	for name, c := range map[string]struct {
		liveness door.Liveness
		faces    int
		looks    int // in 150 frames of 10 s
	}{
		"alone":           {door.Unjudged, 1, 150},
		"of four":         {door.Unsure, 4, 150},
		"of twelve":       {door.Unjudged, 12, 50},
		"judged":          {door.Live, 1, 19},
		"a picture":       {door.Spoof, 1, 19},
		"judged of many":  {door.Live, 12, 19},
		"unsure of forty": {door.Unsure, 40, 15},
	} {
		t.Run(name, func(t *testing.T) {
			w := watched{last: Evidence{Liveness: c.liveness}}
			looks := 0
			for i := range 150 {
				if now := began.Add(time.Duration(i) * judgePace); w.due(now, c.faces) {
					w.at = now
					looks++
				}
			}
			if looks != c.looks {
				t.Errorf("%d looks, want %d", looks, c.looks)
			}
		})
	}
}
