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
	relockAt time.Duration // the last grant runs out
	heldAt   time.Duration // open too long
	sides    [2]*attempt
}

// pass lets one person through once.
type pass struct {
	person string
	side   Side
	reason string // "" after factors given at the door, else ReasonREX or ReasonLetIn
	until  time.Duration
}

func (ps pass) same(o pass) bool {
	return ps.person == o.person && ps.side == o.side && ps.reason == o.reason
}

// fill puts down whose pass it is: who opens from afar is not who comes in.
func (ps pass) fill(r Record) Record {
	r.Side, r.Person = ps.side, ps.person
	if ps.reason == ReasonLetIn {
		r.Person, r.Details = "", map[string]string{DetailGrantee: ps.person}
	}
	if r.Reason == "" {
		r.Reason = ps.reason
	}
	return r
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

// vision takes note of a camera that can no longer see faces, or can again. When the last one
// on a side fails, what was shown there before may do.
func (p *portal) vision(in Vision) {
	if in.Side != Exit {
		in.Side = Entry
	}
	was := p.blind(in.Side)
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
	if p.blind(in.Side) && !was {
		p.side(in.Side).judgeAll()
	}
}

// blind reports whether faces cannot be seen on a side, which is when fallbacks count: every
// camera there has a problem.
func (p *portal) blind(side Side) bool { return len(p.dark[side]) >= max(1, p.cfg.Cameras[side]) }

func (p *portal) timers(ts []timer) []timer {
	ts = add(ts, p.relockAt, p.grantOver)
	for _, ps := range p.passes {
		ts = append(ts, timer{ps.until, p.expire})
	}
	ts = add(ts, p.heldAt, p.heldOpen)
	for _, a := range p.sides {
		ts = a.timers(ts)
	}
	return ts
}

// record writes a record of this door.
func (p *portal) record(r Record) { p.write(Write{Record: r}) }

func (p *portal) write(w Write) {
	w.Record.Door = p.cfg.ID
	p.House.write(w)
}

// grant lets a person through: written first, then unlocked.
func (p *portal) grant(ps pass, w Write) {
	p.endGrace()
	w.Record.Kind, w.Record.Side, w.Record.Person = KindGranted, ps.side, ps.person
	p.write(w)
	p.letThrough(ps)
	welcome := ps.person
	if ps.reason == ReasonLetIn {
		welcome = ""
	}
	p.side(ps.side).say(SayWelcome, welcome, p.cfg.Grant)
}

func (p *portal) rex() {
	p.endGrace()
	ps := pass{side: Exit, reason: ReasonREX}
	if !slices.ContainsFunc(p.passes, ps.same) {
		if p.flooded(p.cfg.ID, "presses/"+p.cfg.ID, nil) {
			p.unlock()
			return
		}
		p.record(Record{Kind: KindREX, Side: Exit})
	}
	p.letThrough(ps)
}

func (p *portal) unlock() {
	p.unlocked = true
	p.relockAt = p.now.Mono + p.cfg.Grant
	p.do(Unlock{Door: p.cfg.ID, For: p.cfg.Grant})
	p.show()
}

// letThrough unlocks and waits for the contact. Where there is none, or the door stands open
// already, the person is taken to go through at once. A door pulled as the lock falls is late
// and not forced: a pass outlives its grant by a moment of grace.
func (p *portal) letThrough(ps pass) {
	p.unlock()
	ps.until = p.relockAt + p.cfg.Late
	switch {
	case !p.cfg.Contact:
		p.through(ps, "")
	case p.open:
		p.through(ps, ReasonOpen)
	default:
		p.passes = append(slices.DeleteFunc(p.passes, ps.same), ps)
	}
}

// through records that somebody went through.
func (p *portal) through(ps pass, reason string) {
	kind := KindEntry
	if ps.side == Exit {
		kind = KindExit
	}
	p.went(ps.fill(Record{Kind: kind, Reason: reason}))
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
	p.passes = nil
	if !p.unlocked {
		late = ReasonLate
	}
	switch {
	case len(passes) > 0:
		for _, ps := range passes {
			p.through(ps, late)
		}
	case p.unlocked: // by whoever pressed the button once too often to be written down
	case p.flooded(p.cfg.ID, "openings/"+p.cfg.ID, nil):
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

// relock locks. Where it comes late, the grace begins late.
func (p *portal) relock(reason string) {
	p.lock(Record{Reason: reason})
	for i, ps := range p.passes {
		p.passes[i].until = max(ps.until, p.now.Mono+p.cfg.Late)
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

// expire ends the passes whose grace is over.
func (p *portal) expire() {
	p.passes = slices.DeleteFunc(p.passes, func(ps pass) bool {
		over := ps.until <= p.now.Mono
		if over && ps.reason != ReasonREX {
			p.record(ps.fill(Record{Kind: KindNotEntered}))
		}
		return over
	})
}

// revoke ends all passes.
func (p *portal) revoke() {
	for i := range p.passes {
		p.passes[i].until = p.now.Mono
	}
	p.expire()
}

// endGrace ends the passes of those who are late already, when somebody else is let through.
func (p *portal) endGrace() {
	if !p.unlocked {
		p.revoke()
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
