//go:build vision

package camera

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"gocv.io/x/gocv"
)

// script says what the nth frame of a source is: its brightness and a mark that makes it
// differ, or an error.
type script func(ctx context.Context, n int) (mean, mark float64, err error)

type scripted struct {
	n     int
	frame script
	ended func()
}

func (s *scripted) read(ctx context.Context, m *gocv.Mat) error {
	mean, mark, err := s.frame(ctx, s.n)
	s.n++
	if err != nil {
		return err
	}
	m.Close()
	*m = gocv.NewMatWithSizeFromScalar(gocv.NewScalar(mean, mean, mean, 0), 8, 8, gocv.MatTypeCV8UC3)
	m.SetUCharAt(0, 0, uint8(mark))
	return nil
}

func (s *scripted) still() bool { return false }
func (s *scripted) close()      { s.ended() }

const pace = 100 * time.Millisecond

// steady gives a differing bright frame every pace.
func steady(ctx context.Context, n int) (float64, float64, error) {
	select {
	case <-time.After(pace):
		return 90, float64(n % 250), nil
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
}

type told struct {
	At     time.Duration
	Reason string
}

// bed is a camera on scripted sources inside a synctest bubble.
type bed struct {
	cam   *Camera
	began time.Time

	mu     sync.Mutex
	told   []told
	detail string
	opened []time.Duration
	closed int
}

// newBed opens a camera whose nth opening gets what give returns for n.
func newBed(give func(n int) (script, error)) *bed {
	b := &bed{began: time.Now()}
	cfg := Defaults()
	b.cam = start(cfg, func(context.Context) (source, error) {
		b.mu.Lock()
		n := len(b.opened)
		b.opened = append(b.opened, time.Since(b.began))
		b.mu.Unlock()
		frame, err := give(n)
		if err != nil {
			return nil, err
		}
		return &scripted{frame: frame, ended: func() { b.mu.Lock(); b.closed++; b.mu.Unlock() }}, nil
	}, func(reason, detail string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.told = append(b.told, told{time.Since(b.began), reason})
		b.detail = detail
	})
	return b
}

func (b *bed) reasons() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	rs := []string{}
	for _, t := range b.told {
		rs = append(rs, t.Reason)
	}
	return rs
}

// when returns when the nth report came.
func (b *bed) when(t *testing.T, n int) time.Duration {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if n >= len(b.told) {
		t.Fatalf("only %d reports: %v", len(b.told), b.told)
	}
	return b.told[n].At
}

func wantReasons(t *testing.T, b *bed, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, b.reasons()); d != "" {
		t.Error(d)
	}
}

// after lets the bubble's clock run; nothing is waited for in truth.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestOnlyTheNewestFrameWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(func(int) (script, error) { return steady, nil })
		after(2*time.Second + pace/2)
		f := <-b.cam.Frames()
		img := f.Image()
		if got := img.GetUCharAt(0, 0); got != 19 {
			t.Errorf("after twenty frames, frame %d waits, want 19", got)
		}
		if age := time.Since(f.Time); age > pace {
			t.Errorf("the frame is %s old", age)
		}
		f.Close()
		select {
		case f := <-b.cam.Frames():
			f.Close()
			t.Error("a second frame waited")
		default:
		}
		b.cam.Close()
		if _, open := <-b.cam.Frames(); open {
			t.Error("frames after Close")
		}
		synctest.Wait()
		if b.closed != 1 {
			t.Errorf("the source was closed %d times", b.closed)
		}
	})
}

func TestAHungReaderIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hangs := func(ctx context.Context, n int) (float64, float64, error) {
			if n == 10 {
				<-release // not ctx: a driver knows nothing of it
				return 90, 1, nil
			}
			return steady(ctx, n)
		}
		b := newBed(func(n int) (script, error) {
			if n == 0 {
				return hangs, nil
			}
			return steady, nil
		})
		after(6 * time.Second)
		wantReasons(t, b, "", Lost, "")
		if silent := b.when(t, 1) - time.Second; silent > 3*time.Second {
			t.Errorf("told %s after the last frame, want 3s at most", silent)
		}
		if b.closed != 0 {
			t.Error("the hanging source cannot be closed yet")
		}
		close(release)
		synctest.Wait()
		if b.closed != 1 {
			t.Errorf("%d sources closed after the driver let go, want 1", b.closed)
		}
		b.cam.Close()
	})
}

func TestCloseDoesNotWaitForAHungDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := newBed(func(int) (script, error) {
			return func(context.Context, int) (float64, float64, error) {
				<-release
				return 0, 0, errors.New("gone")
			}, nil
		})
		after(time.Second)
		before := time.Now()
		b.cam.Close()
		if waited := time.Since(before); waited != 0 {
			t.Errorf("Close waited %s", waited)
		}
		close(release)
	})
}

func TestHangingReadersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		b := newBed(func(int) (script, error) {
			return func(context.Context, int) (float64, float64, error) {
				<-release
				return 0, 0, errors.New("gone")
			}, nil
		})
		after(time.Hour)
		if n := len(b.opened); n != maxReaders {
			t.Errorf("%d readers after an hour, want %d", n, maxReaders)
		}
		wantReasons(t, b, Lost)
		close(release)
		after(31 * time.Second)
		if n := len(b.opened); n <= maxReaders {
			t.Error("no new reader after the driver let go")
		}
		b.cam.Close()
	})
}

func TestAnAbsentCameraIsTriedWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(func(n int) (script, error) {
			if n < 5 {
				return nil, errors.New("there is no such device")
			}
			return steady, nil
		})
		after(20 * time.Second)
		wantReasons(t, b, Lost, "")
		if at := b.when(t, 0); at > 3*time.Second {
			t.Errorf("told after %s", at)
		}
		const s = time.Second
		want := []time.Duration{0, s / 2, 3 * s / 2, 7 * s / 2, 15 * s / 2, 31 * s / 2}
		got := make([]time.Duration, len(b.opened))
		for i, at := range b.opened {
			got[i] = at.Round(s / 2) // the camera looks every beat
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		b.cam.Close()
	})
}

func TestTheDetailSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(func(int) (script, error) {
			return nil, errors.New("there is no such device")
		})
		after(3 * time.Second)
		b.mu.Lock()
		detail := b.detail
		b.mu.Unlock()
		if want := "/dev/video0: there is no such device"; detail != want {
			t.Errorf("detail %q, want %q", detail, want)
		}
		b.cam.Close()
	})
}

func TestASlowStreamMayOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(func(int) (script, error) {
			time.Sleep(8 * time.Second)
			return steady, nil
		})
		after(10 * time.Second)
		wantReasons(t, b, Lost, "")
		if len(b.opened) != 1 {
			t.Errorf("opened %d times while it was still opening", len(b.opened))
		}
		b.cam.Close()
	})
}

func TestBlackAndFrozenAreToldWithin3s(t *testing.T) {
	tests := map[string]struct {
		mean, mark float64
		want       string
	}{
		"black":  {1, 0, Black},
		"frozen": {90, 7, Frozen},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(func(int) (script, error) {
					return func(ctx context.Context, n int) (float64, float64, error) {
						mean, mark, err := steady(ctx, n)
						if n >= 10 && n < 50 {
							mean, mark = tt.mean, tt.mark
						}
						return mean, mark, err
					}, nil
				})
				after(8 * time.Second)
				wantReasons(t, b, "", tt.want, "")
				if took := b.when(t, 1) - time.Second; took > 3*time.Second {
					t.Errorf("told after %s", took)
				}
				if gone := b.when(t, 2) - 5*time.Second; gone > 2*pace {
					t.Errorf("gone %s after it was well again", gone)
				}
				b.cam.Close()
			})
		})
	}
}

func TestFramesAreConvertedOrRefused(t *testing.T) {
	tests := map[string]struct {
		kind gocv.MatType
		fine bool
	}{
		"BGR": {gocv.MatTypeCV8UC3, true}, "BGRA": {gocv.MatTypeCV8UC4, true}, "grey": {gocv.MatTypeCV8UC1, true},
		"16-bit grey": {gocv.MatTypeCV16UC1, true}, "16-bit BGR": {gocv.MatTypeCV16UC3, true},
		"16-bit BGRA":  {gocv.MatTypeCV16UC4, true},
		"two channels": {gocv.MatTypeCV8UC2, false}, "float": {gocv.MatTypeCV32FC3, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			full := 100.0
			if tt.kind&7 == gocv.MatTypeCV16U {
				full *= 256
			}
			m := gocv.NewMatWithSizeFromScalar(gocv.NewScalar(full, full, full, full), 4, 6, tt.kind)
			defer m.Close()
			err := toBGR(&m)
			if !tt.fine {
				if !errors.Is(err, ErrFrame) {
					t.Errorf("got %v, want it refused", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Type() != gocv.MatTypeCV8UC3 || m.Rows() != 4 || m.Cols() != 6 || m.Mean().Val2 != 100 {
				t.Errorf("got type %d, %dx%d, mean %v", m.Type(), m.Cols(), m.Rows(), m.Mean())
			}
		})
	}
	empty := gocv.NewMat()
	defer empty.Close()
	if err := toBGR(&empty); !errors.Is(err, ErrFrame) {
		t.Errorf("0x0: %v", err)
	}
}
