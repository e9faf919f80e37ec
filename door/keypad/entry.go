package keypad

import "time"

// Entry collects keys into secrets: digits are added, * drops them, # enters them, and so does
// a pause drop them. It does no I/O and keeps no time but what it is given.
type Entry struct {
	timeout time.Duration
	most    int
	typed   Secret
	long    bool // more than most digits were typed
	last    time.Duration
}

// NewEntry returns an entry with nothing typed.
func NewEntry(c Config) *Entry { return &Entry{timeout: c.Timeout, most: c.MaxDigits} }

// Key takes one key typed at a time and returns what there is to tell, in order.
func (e *Entry) Key(at time.Duration, key rune) []Event {
	events := e.Expire(at)
	e.last = at
	switch {
	case key == '*':
		return append(events, e.clear(at)...)
	case key == '#':
		return append(events, e.enter(at)...)
	case key >= '0' && key <= '9':
		e.add(key)
		return append(events, Event{Kind: Digit, At: at})
	case key >= 'A' && key <= 'D':
		return append(events, Event{Kind: Function, Function: key, At: at})
	}
	return events
}

// Expire drops digits that have waited for the next key for too long.
func (e *Entry) Expire(at time.Duration) []Event {
	if due, pending := e.Deadline(); !pending || at < due {
		return nil
	}
	return e.clear(at)
}

// Deadline returns when Expire drops what is typed so far; false when nothing is.
func (e *Entry) Deadline() (time.Duration, bool) {
	return e.last + e.timeout, e.pending()
}

func (e *Entry) pending() bool { return e.long || e.typed.Len() > 0 }

func (e *Entry) add(digit rune) {
	switch {
	case e.long:
	case e.typed.Len() == e.most:
		e.long, e.typed = true, Secret{} // a cut secret might be another's
	default:
		e.typed = NewSecret(e.typed.Reveal() + string(digit))
	}
}

func (e *Entry) clear(at time.Duration) []Event {
	if !e.pending() {
		return nil
	}
	e.typed, e.long = Secret{}, false
	return []Event{{Kind: Cleared, At: at}}
}

func (e *Entry) enter(at time.Duration) []Event {
	event := Event{Kind: Entered, Secret: e.typed, At: at}
	if e.long {
		event = Event{Kind: TooLong, At: at}
	}
	if e.clear(at) == nil {
		return nil // # alone says nothing
	}
	return []Event{event}
}
