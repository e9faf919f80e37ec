package main

import (
	"context"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/doorhub/doorhub/door"
)

// clock tells the time as the house wants it.
type clock struct {
	boot  string // the kernel's boot id
	trust bool   // the wall clock is always right
}

func newClock(trust bool) clock {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil { // no Linux: one boot is one run
		id = []byte(time.Now().UTC().Format(time.RFC3339Nano))
	}
	return clock{boot: strings.TrimSpace(string(id)), trust: trust}
}

// now returns the present moment; Mono is CLOCK_BOOTTIME, which also runs while the machine
// sleeps.
func (c clock) now() door.Instant {
	return door.Instant{Wall: time.Now().UTC(), Mono: bootTime(), Synced: c.trust || kernelSynced()}
}

func bootTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) //nolint:errcheck // cannot fail where Go runs
	}
	return time.Duration(ts.Nano())
}

// kernelSynced reports whether a time source disciplines the clock: the kernel says so to
// NTP's daemons, and systemd-timesyncd leaves a file (systemd-timesyncd.service(8)).
func kernelSynced() bool {
	var t unix.Timex
	if state, err := unix.Adjtimex(&t); err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0 {
		return true
	}
	_, err := os.Stat("/run/systemd/timesync/synchronized")
	return err == nil
}

const (
	clockCheck = 5 * time.Second
	clockJump  = 500 * time.Millisecond // NTP slews what is less
)

// watch tells of every setting of the wall clock, until ctx ends.
func (c clock) watch(ctx context.Context, set func(offset time.Duration)) {
	tick := time.NewTicker(clockCheck)
	defer tick.Stop()
	offset := func() time.Duration { return time.Duration(time.Now().UnixNano()) - bootTime() }
	last := offset()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := offset()
		if d := now - last; d > clockJump || d < -clockJump {
			set(d)
		}
		last = now
	}
}
