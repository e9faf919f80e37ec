package door

import "time"

// Lockout counts the wrong secrets of one reader, person or bus user. Its times run only
// while the hub runs, so that pulling the plug shortens nothing.
type Lockout struct {
	Wrong     int           `json:"wrong"`     // wrong tries that still count
	Remaining time.Duration `json:"remaining"` // no secret is taken until it has run out
	Quiet     time.Duration `json:"quiet"`     // since the last wrong try
}

const (
	freeTries    = 5                // the fifth wrong try begins the first lockout
	firstLockout = 30 * time.Second // doubled by every further wrong try
	longLockout  = 24 * time.Hour   // and no longer than this
	forgiveAfter = 24 * time.Hour   // without a wrong try the step is halved
	keepEvery    = time.Minute      // how much of a lockout a power cut may add to it
)

// lockoutFor returns how long no secret is taken after that many wrong tries.
func lockoutFor(wrong int) time.Duration {
	if wrong < freeTries {
		return 0
	}
	d := firstLockout
	for range wrong - freeTries {
		if d *= 2; d >= longLockout {
			return longLockout
		}
	}
	return d
}

// counter is a Lockout with its times as moments of the monotonic clock.
type counter struct {
	key     string
	wrong   int
	until   time.Duration // locked before it
	last    time.Duration // the last wrong try; may lie before the hub's start
	kept    time.Duration // when it was last stored
	refused time.Duration // the until of the lockout whose first refusal was logged
}

func (c *counter) locked(now time.Duration) bool { return c != nil && now < c.until }

func (c *counter) lockout(now time.Duration) Lockout {
	return Lockout{Wrong: c.wrong, Remaining: max(0, c.until-now), Quiet: now - c.last}
}

// next is when the counter wants to be looked at again; a counter of nothing never does.
func (c *counter) next(now time.Duration) (time.Duration, bool) {
	if c.wrong == 0 {
		return 0, false
	}
	at := c.last + forgiveAfter
	if c.until > c.kept {
		at = min(at, c.until, c.kept+keepEvery)
	}
	return at, true
}

// add counts one wrong try and reports whether it begins a lockout. The count stops where
// the lockout no longer grows, so that it can also shrink again in days and not in years.
func (c *counter) add(now time.Duration) bool {
	if c.wrong == 0 || lockoutFor(c.wrong) < longLockout {
		c.wrong++
	}
	c.last = now
	c.until = now + lockoutFor(c.wrong)
	return c.wrong >= freeTries
}

// forgive halves the step: the next lockout is half as long, and the first few tries, which
// have no lockout yet, are halved themselves.
func (c *counter) forgive(now time.Duration) {
	if c.wrong > freeTries {
		c.wrong--
	} else {
		c.wrong /= 2
	}
	c.last = now
}

// counters are all that count at present, by key.
type counters map[string]*counter

func restoreCounters(kept map[string]Lockout, now time.Duration) counters {
	cs := counters{}
	for key, l := range kept {
		if l.Wrong > 0 {
			cs[key] = &counter{key: key, wrong: l.Wrong, until: now + min(l.Remaining, longLockout), last: now - l.Quiet, kept: now}
		}
	}
	return cs
}

func readerKey(door, reader string) string { return "reader:" + door + "/" + reader }
func personKey(person string) string       { return "person:" + person }
func userKey(user string) string           { return "user:" + user }

// wrong counts one wrong secret under key and reports for how long no more are taken; 0 when
// they still are.
func (h *House) wrong(key string) time.Duration {
	c := h.counters[key]
	if c == nil {
		c = &counter{key: key}
		h.counters[key] = c
	}
	locked := c.add(h.now.Mono)
	h.keep(c)
	if !locked {
		return 0
	}
	return c.until - h.now.Mono
}

// takeBack forgives one wrong try under key, after its owner gave the right secret: a typo is
// forgotten, but a row of guesses at other people's secrets is not, by a right one of one's own.
func (h *House) takeBack(key string) {
	if c := h.counters[key]; c != nil {
		c.wrong--
		h.keep(c)
	}
}

func (h *House) keep(c *counter) {
	c.kept = h.now.Mono
	l := c.lockout(h.now.Mono)
	if c.wrong == 0 {
		delete(h.counters, c.key)
		l = Lockout{}
	}
	h.do(Keep{Key: c.key, Lockout: l})
}

// tend does what is due for one counter: store what remains, and forgive.
func (h *House) tend(c *counter) {
	if h.now.Mono >= c.last+forgiveAfter {
		c.forgive(h.now.Mono)
	}
	h.keep(c)
}
