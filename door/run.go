package door

import (
	"context"
	"time"
)

// Run feeds inputs to the house one by one, in their order, and wakes it when it wants to be
// woken; do carries out the effects of each step, told which input it was (nil: time
// passed), before the next begins. It owns h and the
// only timer. When ctx ends it lets the house stop in order and returns.
//
// What was sent before ctx ended is still taken if it lies in inputs by then. inputs must not
// be closed.
func Run(ctx context.Context, h *House, inputs <-chan Input, clock func() Instant, do func(Input, []Effect)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	step := func(in Input) {
		effects, wake := h.Step(clock(), in)
		timer.Stop()
		if wake > 0 {
			timer.Reset(wake) // before the effects, which take their time
		}
		do(in, effects)
	}
	for {
		select {
		case <-ctx.Done():
			drain(inputs, step)
			step(Stopping{})
			return
		case in := <-inputs:
			step(in)
		case <-timer.C:
			step(nil)
		}
	}
}

func drain(inputs <-chan Input, step func(Input)) {
	for {
		select {
		case in := <-inputs:
			step(in)
		default:
			return
		}
	}
}
