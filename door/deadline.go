package door

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// timer is one thing that is due at a moment of the monotonic clock. Deadlines are data: the
// house is asked for them anew after every step, so none can be forgotten or fire twice.
type timer struct {
	at   time.Duration
	fire func()
}

// elapse does all that is due by now, the earliest first.
func (h *House) elapse() {
	for {
		t, ok := h.earliest()
		if !ok || t.at > h.now.Mono {
			return
		}
		t.fire()
	}
}

func (h *House) next() (time.Duration, bool) {
	t, ok := h.earliest()
	return t.at, ok
}

func (h *House) earliest() (timer, bool) {
	var ts []timer
	for _, p := range h.doors {
		ts = p.timers(ts)
	}
	for _, part := range sortedKeys(h.floods) {
		ts = append(ts, timer{h.floods[part].ends, func() { h.ebb(part) }})
	}
	for _, key := range sortedKeys(h.counters) {
		c := h.counters[key]
		if at, ok := c.next(h.now.Mono); ok {
			ts = append(ts, timer{at, func() { h.tend(c) }})
		}
	}
	if len(ts) == 0 {
		return timer{}, false
	}
	return slices.MinFunc(ts, func(a, b timer) int { return cmp.Compare(a.at, b.at) }), true
}

// add appends a timer for a deadline that is set; zero is none.
func add(ts []timer, at time.Duration, fire func()) []timer {
	if at == 0 {
		return ts
	}
	return append(ts, timer{at, fire})
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
