package history

import (
	"context"
	"time"

	"github.com/doorhub/doorhub/door"
)

// stays knows who came when, as far as the records tell that were read one behind the other. What
// it tells of a record is the same wherever the reading began.
type stays struct {
	upTo   uint64
	passed map[string]door.Record // person → their newest entry or exit; zero: none
}

// begin prepares for the records behind after.
func (y *stays) begin(after uint64) {
	if y.passed == nil || y.upTo != after {
		y.passed, y.upTo = map[string]door.Record{}, after
	}
}

// add takes a record, and returns of an exit how long that person had been inside; nil when
// nobody knows.
func (y *stays) add(ctx context.Context, j Journal, r door.Record) (inside *time.Duration, err error) {
	y.upTo = r.Seq
	if r.Person == "" || r.Kind != door.KindEntry && r.Kind != door.KindExit {
		return nil, nil
	}
	last, known := y.passed[r.Person]
	if !known && r.Kind == door.KindExit {
		if last, err = j.Passed(ctx, r.Person, r.Seq); err != nil {
			return nil, err
		}
	}
	y.passed[r.Person] = r
	if r.Kind == door.KindExit && last.Kind == door.KindEntry {
		inside = between(last, r)
	}
	return inside, nil
}

// between is the time from a to b; nil when a clock that was set makes it less than none.
func between(a, b door.Record) *time.Duration {
	d := b.Time.Sub(a.Time)
	if a.Clock.Boot == b.Clock.Boot {
		d = b.Clock.Mono - a.Clock.Mono
	}
	if d < 0 {
		return nil
	}
	return &d
}
