package gpio

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warthog618/go-gpiocdev"
)

// pending is how many edges wait for a slow watcher: far more than the few tens we assume a key
// to bounce, so that only a floating line runs over.
const pending = 1024

// Input is a line that is read and watched. Its methods may be called by several goroutines.
type Input struct {
	name  Line
	line  line
	edges chan edge
	done  chan struct{} // closed when no watcher runs any more
	watch atomic.Pointer[func(active bool, at time.Duration)]
	lost  atomic.Uint64
	seq   uint32 // of the newest edge; only the kernel's reader uses it
	close func() error
}

type edge struct {
	active bool
	at     time.Duration
}

func openInput(h host, l Line, consumer string) (*Input, error) {
	if err := l.validInput(); err != nil {
		return nil, fmt.Errorf("gpio: input %s: %w", consumer, err)
	}
	in := &Input{name: l, edges: make(chan edge, pending), done: make(chan struct{})}
	options := []gpiocdev.LineReqOption{
		gpiocdev.WithConsumer(consumer), gpiocdev.AsInput, level(l), bias(l),
		gpiocdev.WithBothEdges, gpiocdev.WithEventHandler(in.take),
	}
	got, err := requestInput(h, l, options)
	if err != nil {
		return nil, err
	}
	in.line = got
	in.close = sync.OnceValue(in.release)
	go in.deliver()
	return in, nil
}

func requestInput(h host, l Line, options []gpiocdev.LineReqOption) (line, error) {
	if l.Debounce == 0 {
		return request(h, l, options...)
	}
	got, err := request(h, l, append(options, gpiocdev.WithDebounce(l.Debounce))...)
	if !cannotDebounce(err) {
		return got, err
	}
	slog.Warn("kernel before 5.10 does not debounce: every bounce is told", "component", "gpio", "line", l.String())
	return request(h, l, options...)
}

// Active reads the level.
func (in *Input) Active() (bool, error) {
	v, err := in.line.Value()
	if err != nil {
		return false, wrap(in.name, "read", err)
	}
	return v != 0, nil
}

// Watch has f called for every edge from now on, one after the other, in order, with the level
// reached and the kernel's time of it (see Now); it replaces the f before. To miss nothing,
// watch first and read Active afterwards.
//
// A slow f holds up nobody. When it falls more than a thousand edges behind, the oldest are
// dropped and counted in Lost; the newest always comes, so that the last level told is the
// line's.
func (in *Input) Watch(f func(active bool, at time.Duration)) { in.watch.Store(&f) }

// Lost returns how many edges were dropped, by the kernel or here.
func (in *Input) Lost() uint64 { return in.lost.Load() }

// Close lets go of the line and waits for a running watcher, so a watcher must not call it.
// Closing again does nothing.
func (in *Input) Close() error { return in.close() }

// take is called by the kernel's reader and must not block it: the kernel's own buffer holds
// 16 edges a line.
func (in *Input) take(ev gpiocdev.LineEvent) {
	if gap := ev.LineSeqno - in.seq; ev.LineSeqno != 0 && gap > 1 {
		in.lost.Add(uint64(gap - 1))
	}
	in.seq = ev.LineSeqno
	e := edge{active: ev.Type == gpiocdev.LineEventRisingEdge, at: ev.Timestamp}
	for {
		select {
		case in.edges <- e:
			return
		default:
		}
		select {
		case <-in.edges:
			in.lost.Add(1)
		default:
		}
	}
}

func (in *Input) deliver() {
	defer close(in.done)
	for e := range in.edges {
		if f := in.watch.Load(); f != nil {
			(*f)(e.active, e.at)
		}
	}
}

func (in *Input) release() error {
	err := in.line.Close() // waits for the kernel's reader: nobody writes to edges any more
	in.watch.Store(nil)
	close(in.edges)
	<-in.done
	return err
}
