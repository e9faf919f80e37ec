package door

import (
	"slices"
	"strconv"
	"time"
)

// portal is one door as it is now. Moments are of the monotonic clock; zero is none.
type portal struct {
	*House
	cfg      Portal
	unlocked bool
	jammed   bool
	dark     map[Side]map[int]bool // cameras that report a problem
	known    bool                  // the contact has reported
	open     bool
	shown    DoorState
	alarmed  bool // forced or held open, and not closed since
	opened   time.Duration

	passes   []pass        // who may go through and has not yet
	relockAt time.Duration // the grant runs out
	lateAt   time.Duration // the grace after it ends
	heldAt   time.Duration // open too long
	sides    [2]*attempt
}

// pass lets one person through once.
type pass struct {
	person string
	side   Side
	reason string // "" after factors given at the door, else ReasonREX or ReasonLetIn
}

func newPortal(h *House, cfg Portal) *portal {
	p := &portal{House: h, cfg: cfg, dark: map[Side]map[int]bool{Entry: {}, Exit: {}}}
	p.sides = [2]*attempt{newAttempt(p, Entry), newAttempt(p, Exit)}
	return p
}

func (p *portal) side(s Side) *attempt {
	if s == Exit {
		return p.sides[1]
	}
	return p.sides[0]
}

// vision takes note of a camera that can no longer see faces, or can again.
func (p *portal) vision(in Vision) {
	if in.Side != Exit {
		in.Side = Entry
	}
	if in.Reason == "" {
		delete(p.dark[in.Side], in.Camera)
	} else {
		p.dark[in.Side][in.Camera] = true
	}
	part := "vision/" + p.cfg.ID + "/" + string(in.Side)
	if in.Camera > 0 {
		part += "/" + strconv.Itoa(in.Camera)
	}
	p.fault(p.cfg.ID, part, in.Reason, in.Detail)
}

// blind reports whether faces cannot be seen on a side, which is when fallbacks count: every
// camera there has a problem.
func (p *portal) blind(side Side) bool { return len(p.dark[side]) >= max(1, p.cfg.Cameras[side]) }

func (p *portal) timers(ts []timer) []timer {
	ts = add(ts, p.relockAt, p.grantOver)
	ts = add(ts, p.lateAt, p.graceOver)
	ts = add(ts, p.heldAt, p.heldOpen)
	for _, a := range p.sides {
		ts = a.timers(ts)
	}
	return ts
}

// record writes a record of this door.
func (p *portal) record(r Record) {
	r.Door = p.cfg.ID
	p.House.record(r)
}

// grant lets a person through: written first, then unlocked.
func (p *portal) grant(ps pass, r Record) {
	p.dropLate()
	r.Kind, r.Side, r.Person = KindGranted, ps.side, ps.person
	p.record(r)
	p.letThrough(ps)
	p.side(ps.side).say(SayWelcome, ps.person, p.cfg.Grant)
}

func (p *portal) rex() {
	p.dropLate()
	ps := pass{side: Exit, reason: ReasonREX}
	if !slices.Contains(p.passes, ps) {
		p.record(Record{Kind: KindREX, Side: Exit})
	}
	p.letThrough(ps)
}

// letThrough unlocks and waits for the contact. Where there is none, or the door stands open
// already, the person is taken to go through at once.
func (p *portal) letThrough(ps pass) {
	p.unlocked = true
	p.relockAt = p.now.Mono + p.cfg.Grant
	p.do(Unlock{Door: p.cfg.ID, For: p.cfg.Grant})
	p.show()
	switch {
	case !p.cfg.Contact:
		p.through(ps, "")
	case p.open:
		p.through(ps, ReasonOpen)
	default:
		p.passes = append(slices.DeleteFunc(p.passes, func(o pass) bool { return o == ps }), ps)
	}
}

// through records that somebody went through.
func (p *portal) through(ps pass, reason string) {
	r := Record{Kind: KindEntry, Side: ps.side, Person: ps.person, Reason: reason}
	if ps.side == Exit {
		r.Kind = KindExit
	}
	if ps.reason != "" && reason == "" {
		r.Reason = ps.reason
	}
	if ps.reason == ReasonLetIn { // who opens from afar is not who comes in
		r.Person, r.Details = "", map[string]string{DetailGrantee: ps.person}
	}
	p.went(r)
}

// went records an entry or exit, and says so when it leaves open who is inside.
func (p *portal) went(r Record) {
	after := p.past.Clone()
	after.Apply(r)
	if _, uncertain := after.Inside(); uncertain {
		if r.Details == nil {
			r.Details = map[string]string{}
		}
		r.Details[DetailInside] = "uncertain"
	}
	p.record(r)
}

func (p *portal) contact(open bool) {
	if !p.cfg.Contact || p.known && p.open == open {
		return
	}
	first := !p.known
	p.known, p.open = true, open
	switch {
	case first && !open:
	case first && len(p.passes) == 0: // it stood open when the hub came up: nobody went just now
		p.watchOpen()
	case !open:
		p.closed()
	default:
		p.opens()
	}
	p.show()
}

func (p *portal) watchOpen() {
	p.opened = p.now.Mono
	if p.cfg.HeldOpen > 0 {
		p.heldAt = p.now.Mono + p.cfg.HeldOpen
	}
}

func (p *portal) opens() {
	p.watchOpen()
	passes, late := p.passes, ""
	p.passes, p.lateAt = nil, 0
	if !p.unlocked {
		late = ReasonLate
	}
	switch {
	case len(passes) > 0:
		for _, ps := range passes {
			p.through(ps, late)
		}
	case p.unlocked: // opened again before it was locked again
	case p.cfg.Egress == EgressHandle:
		p.went(Record{Kind: KindExit, Side: Exit, Reason: ReasonHandle})
	default:
		p.alarmed = true
		p.record(Record{Kind: KindForced})
	}
}

func (p *portal) closed() {
	p.heldAt = 0
	if p.alarmed {
		p.alarmed = false
		p.record(Record{Kind: KindClosed, Details: map[string]string{DetailFor: (p.now.Mono - p.opened).String()}})
	}
	if p.unlocked {
		p.relock(ReasonClosed)
	}
}

func (p *portal) heldOpen() {
	p.heldAt = 0
	p.alarmed = true
	p.record(Record{Kind: KindHeldOpen, Details: map[string]string{DetailFor: (p.now.Mono - p.opened).String()}})
}

// A bolt is never thrown while the door is open: it would keep the door from closing.
func (p *portal) boltWaits() bool { return p.cfg.Bolt && p.open }

func (p *portal) grantOver() {
	p.relockAt = 0
	if !p.boltWaits() {
		p.relock(ReasonTimeout)
	}
}

// relock locks and leaves whoever has not gone through yet a moment of grace: a door pulled
// as the lock fell is late, not forced.
func (p *portal) relock(reason string) {
	p.relockAt = 0
	p.lock(Record{Reason: reason})
	if len(p.passes) > 0 {
		p.lateAt = p.now.Mono + p.cfg.Late
	}
}

// lock locks, tells, and ends the welcome.
func (p *portal) lock(r Record) {
	p.unlocked = false
	p.relockAt = 0
	p.do(Lock{Door: p.cfg.ID})
	r.Kind = KindLocked
	p.record(r)
	p.show()
	for _, a := range p.sides {
		a.unsay(SayWelcome)
	}
}

func (p *portal) graceOver() {
	p.lateAt = 0
	for _, ps := range p.passes {
		if ps.reason != ReasonREX {
			p.record(Record{Kind: KindNotEntered, Side: ps.side, Person: ps.person})
		}
	}
	p.passes = nil
}

// dropLate ends the grace of those before, when somebody else is let through.
func (p *portal) dropLate() {
	if p.lateAt != 0 {
		p.graceOver()
	}
}

func (p *portal) jam(jammed bool) {
	if p.jammed == jammed {
		return
	}
	p.jammed = jammed
	if jammed {
		p.record(Record{Kind: KindJammed})
	}
	p.fault(p.cfg.ID, "lock/"+p.cfg.ID, map[bool]string{true: ReasonJammed}[jammed], "")
	p.show()
}

// show tells the door's state where it has changed.
func (p *portal) show() {
	if s := p.state(); s != p.shown {
		p.shown = s
		p.do(Show{Door: p.cfg.ID, State: s})
	}
}

func (p *portal) state() DoorState {
	s := DoorState{Lock: Locked, Open: p.open}
	switch {
	case p.jammed:
		s.Lock = Jammed
	case p.unlocked:
		s.Lock = Unlocked
	}
	return s
}
