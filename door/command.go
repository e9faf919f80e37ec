package door

import "time"

const (
	commandAge  = 10 * time.Second // a command older than this is refused
	commandSkew = 10 * time.Second // and one from further ahead
	mostIssued  = 1000             // of those refused for their time, so many are remembered
)

// issue tells commands apart: whoever sends the same again replays it.
type issue struct {
	user string
	at   int64 // ns
}

// command carries out what was asked for over the bus, by one rule: tighten without a code,
// never loosen without one.
func (h *House) command(in Command) {
	p := h.door(in.Door)
	switch {
	case in.Bad != "":
		h.refuse(in, ReasonUnreadable)
	case p == nil:
		h.refuse(in, ReasonNoDoor)
	case in.Retained:
		h.refuse(in, ReasonRetained)
	case in.Action == ActionLock:
		p.lockBy(in)
	case in.Action == ActionUnlock:
		if reason := h.mayUnlock(in); reason != "" {
			h.refuse(in, reason)
			return
		}
		p.grant(pass{person: in.Person, side: Entry, reason: ReasonLetIn},
			Write{Record: Record{Factors: SetOf(Remote), Reason: ReasonCommand, Details: map[string]string{DetailUser: in.User}}})
	default:
		h.refuse(in, ReasonUnreadable)
	}
}

// mayUnlock returns why not, or "". What is too old to be judged does not count as a wrong
// code, and a command without a code is a slip and not an attack.
func (h *House) mayUnlock(in Command) string {
	switch {
	case in.Code == NoCode:
		return ReasonNoCode
	case !h.now.Synced:
		return ReasonUnsynced
	case in.At.IsZero():
		return ReasonNoTime
	}
	if reason := h.mistimed(in); reason != "" {
		return reason
	}
	if h.counters[userKey(in.User)].locked(h.now.Mono) {
		return ReasonLockedOut
	}
	if _, known := h.people[in.Person]; in.Code != CodeRight || !known {
		h.wrongCode(in)
		return ReasonWrongCode
	}
	h.takeBack(userKey(in.User))
	return ""
}

// mistimed returns why a command does not count now, or "". One that was refused for its time
// does not count later either, when its time has come or the clock was set.
func (h *House) mistimed(in Command) string {
	id := issue{in.User, in.At.UnixNano()}
	if _, replayed := h.issued[id]; replayed {
		return ReasonReplayed
	}
	reason := ""
	switch age := h.now.Wall.Sub(in.At); {
	case age > commandAge || in.At.Before(h.started):
		reason = ReasonStale
	case age < -commandSkew:
		reason = ReasonAhead
	}
	h.forgetOld()
	if reason == "" || len(h.issued) < mostIssued {
		h.issued[id] = h.now.Mono
	}
	return reason
}

func (h *House) wrongCode(in Command) {
	if d := h.wrong(userKey(in.User)); d > 0 {
		h.record(Record{Door: in.Door, Kind: KindLockout, Details: map[string]string{DetailUser: in.User, DetailFor: d.String()}})
	}
}

// forgetOld forgets the commands that are too old to be taken again.
func (h *House) forgetOld() {
	for id, at := range h.issued {
		if h.now.Mono-at > commandAge+commandSkew && h.now.Wall.Sub(time.Unix(0, id.at)) > commandAge {
			delete(h.issued, id)
		}
	}
}

func (h *House) refuse(in Command, reason string) {
	if h.flooded("", commandsOf(in.User, reason), nil) {
		return
	}
	details := map[string]string{DetailUser: in.User}
	if in.Action != "" {
		details[DetailAction] = string(in.Action)
	}
	if in.Bad != "" {
		details[DetailText] = in.Bad
	}
	h.record(Record{Door: in.Door, Kind: KindCommandRefused, Reason: reason, Details: details})
}

// commandsOf is what is counted: one reason cannot hide another.
func commandsOf(user, why string) string { return "commands/" + user + "/" + why }

// lockBy locks at once, also what a grant has unlocked.
func (p *portal) lockBy(in Command) {
	if p.boltWaits() {
		p.refuse(in, ReasonOpen)
		return
	}
	if !p.unlocked && p.flooded("", commandsOf(in.User, string(ActionLock)), nil) {
		p.do(Lock{Door: p.cfg.ID})
		return
	}
	p.lock(Record{Reason: ReasonCommand, Details: map[string]string{DetailUser: in.User}})
	p.revoke()
}
