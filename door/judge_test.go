package door

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// No sequence of inputs unlocks a door without a satisfied policy, REX or an authorised
// command. The judge below knows nothing of how the house works: it reads the whole history
// of inputs, slowly, and looks for what justifies an effect.

type happening struct {
	at Instant
	in Input
}

// judge keeps the history and what it has seen granted.
type judge struct {
	cfg     Config
	people  map[string]Person
	history []happening
	spent   map[string]int             // door/side/person → index of the last grant
	dark    map[string]map[int]bool    // door/side → cameras with a problem
	doors   map[string]*watched        // by id
	readers map[string]*lockedReader   // door/reader
	own     map[string]time.Duration   // person → locked until, as the house has kept it
	logged  map[string]time.Duration   // door/side/person → when last seen
	floods  map[string][]time.Duration // what → when in the last minute
	asked   map[string]*askedTurns     // door/side → the challenge there
	turned  map[int]time.Duration      // track → when it last did all that it was asked for
	names   []string                   // of all who ever lived here
}

// askedTurns is a challenge, as its effects and the answers to them tell.
type askedTurns struct {
	track, done int
	way         Way // asked for now; "": answered
	until       time.Duration
}

// watched is a door as its effects tell.
type watched struct {
	cfg      Portal
	unlocked bool
	until    time.Duration // the last grant runs out
	open     bool
	passes   []pass
}

func newJudge(cfg Config, people []Person) *judge {
	j := &judge{cfg: cfg, readers: map[string]*lockedReader{}, own: map[string]time.Duration{}}
	j.setPeople(people)
	j.restart()
	return j
}

// restart forgets what a restart forgets.
func (j *judge) restart() {
	j.history, j.spent, j.dark = nil, map[string]int{}, map[string]map[int]bool{}
	j.logged, j.floods = map[string]time.Duration{}, map[string][]time.Duration{}
	j.asked, j.turned = map[string]*askedTurns{}, map[int]time.Duration{}
	j.doors = map[string]*watched{}
	for _, p := range j.cfg.Doors {
		j.doors[p.ID] = &watched{cfg: p}
	}
}

func (j *judge) setPeople(people []Person) {
	j.people = map[string]Person{}
	for _, p := range people {
		j.people[p.ID] = p
		j.names = append(j.names, p.ID)
	}
}

func (j *judge) now() Instant { return j.history[len(j.history)-1].at }

// check takes one input with its effects and returns what is wrong, or "".
func (j *judge) check(now Instant, in Input, effects []Effect) string {
	j.history = append(j.history, happening{now, in})
	j.notice(in)
	if bad := j.typed(in, effects); bad != "" {
		return bad
	}
	granted := -1
	for i, e := range effects {
		bad := j.placed(e)
		switch e := e.(type) {
		case Write:
			if e.Record.Kind == KindGranted {
				if granted >= 0 {
					bad = "granted twice for one unlock"
				}
				granted = i
			}
			bad = first(bad, j.written(e.Record))
		case Unlock:
			bad = first(bad, j.unlock(in, e, effects, granted))
			granted = -1
		case Lock:
			j.locked(j.doors[e.Door])
		case Watch:
			bad = first(bad, j.watch(e))
		case Keep:
			bad = first(bad, j.keep(e))
		}
		if bad != "" {
			return bad
		}
	}
	if granted >= 0 {
		return "granted, and nothing was unlocked"
	}
	return j.over()
}

func first(bads ...string) string {
	return bads[max(0, slices.IndexFunc(bads, func(s string) bool { return s != "" }))]
}

// watch follows what is asked of a face.
func (j *judge) watch(e Watch) string {
	place := e.Door + "/" + string(e.Side)
	c := j.asked[place]
	if e.Way == "" {
		delete(j.asked, place)
		if c == nil || c.track != e.Track {
			return "ends a challenge that there is not"
		}
		return ""
	}
	if c == nil {
		c = &askedTurns{track: e.Track}
		j.asked[place] = c
	} else if c.track != e.Track || c.way != "" {
		return "asks for another turn before the last was answered"
	}
	c.way, c.until = e.Way, j.now().Mono+e.Within
	return ""
}

func (j *judge) answer(in Turned) {
	c := j.asked[in.Door+"/"+string(in.Side)]
	if c == nil || in.Track != c.track || in.Way != c.way || in.Why != "" || j.now().Mono >= c.until {
		return
	}
	c.way = ""
	if c.done++; c.done == j.cfg.Turns {
		j.turned[in.Track] = j.now().Mono
	}
}

func (j *judge) notice(in Input) {
	switch in := in.(type) {
	case Turned:
		j.answer(in)
	case Face:
		if in.Liveness == Spoof {
			delete(j.turned, in.Track)
		}
	case Vision:
		place := in.Door + "/" + string(in.Side)
		if j.dark[place] == nil {
			j.dark[place] = map[int]bool{}
		}
		delete(j.dark[place], in.Camera)
		if in.Reason != "" {
			j.dark[place][in.Camera] = true
		}
	case Contact:
		if d := j.doors[in.Door]; d != nil && d.cfg.Contact {
			d.open = in.Open
		}
	case People:
		j.setPeople(in.People)
		maps.DeleteFunc(j.logged, func(key string, _ time.Duration) bool { // who comes anew is new
			person := key[strings.LastIndex(key, "/")+1:]
			_, ok := j.people[person]
			return person != "" && !ok
		})
	}
}

// placed refuses effects at doors that do not exist; only a refusal may name one.
func (j *judge) placed(e Effect) string {
	id := ""
	switch e := e.(type) {
	case Write:
		if id = e.Record.Door; id == "" || e.Record.Kind == KindCommandRefused {
			return ""
		}
	case Unlock:
		id = e.Door
	case Lock:
		id = e.Door
	case Prompt:
		id = e.Door
	case Watch:
		id = e.Door
	case Show:
		id = e.Door
	case ShowSensor, Keep:
		return ""
	}
	if j.doors[id] == nil {
		return fmt.Sprintf("%T at a door that does not exist: %q", e, id)
	}
	return ""
}

// written checks who a record names, and how often the like of it is written.
func (j *judge) written(r Record) string {
	if r.Person != "" && !slices.Contains(j.names, r.Person) {
		return fmt.Sprintf("%s names %q, who never lived here", r.Kind, r.Person)
	}
	switch r.Kind {
	case KindGranted:
		ps := pass{person: r.Person, side: r.Side, until: j.now().Mono + j.doors[r.Door].cfg.Grant + j.doors[r.Door].cfg.Late}
		if r.Reason == ReasonCommand {
			ps.reason = ReasonLetIn
		}
		d := j.doors[r.Door]
		d.passes = append(slices.DeleteFunc(d.passes, ps.same), ps)
	case KindEntry, KindExit, KindNotEntered:
		return j.passed(r)
	case KindSeen:
		key := r.Door + "/" + string(r.Side) + "/" + r.Person
		if last, ok := j.logged[key]; ok && j.now().Mono-last < j.cfg.Quiet {
			return "seen twice within the quiet time"
		}
		j.logged[key] = j.now().Mono
	}
	return j.flooded(r)
}

// passed wants a pass, once, for everybody who is said to have gone through or not to have.
func (j *judge) passed(r Record) string {
	want := pass{person: r.Person, side: r.Side}
	if by, ok := r.Details[DetailGrantee]; ok {
		want.person, want.reason = by, ReasonLetIn
	}
	if want.person == "" {
		if r.Kind == KindExit {
			return "" // by the handle or the button
		}
		return fmt.Sprintf("%s of nobody", r.Kind)
	}
	d := j.doors[r.Door]
	i := slices.IndexFunc(d.passes, want.same)
	switch {
	case i < 0:
		return fmt.Sprintf("%s of %s, who was not granted or has gone through", r.Kind, want.person)
	case r.Kind != KindNotEntered && d.passes[i].until <= j.now().Mono:
		return fmt.Sprintf("%s of %s, whose grant and grace are over", r.Kind, want.person)
	}
	d.passes = slices.Delete(d.passes, i, i+1)
	return ""
}

// flooded counts what anybody may cause.
func (j *judge) flooded(r Record) string {
	key := string(r.Kind) + "/" + r.Door
	switch {
	case r.Kind == KindCommandRefused:
		key = string(r.Kind) + "/" + r.Details[DetailUser]
	case r.Kind == KindSensorOpen, r.Kind == KindProblem:
		key += r.Details[DetailSensor] + r.Details[DetailPart]
	case r.Kind != KindREX && r.Kind != KindForced && !strings.HasPrefix(r.Reason, "unknown_"):
		return ""
	}
	now := j.now().Mono
	recent := slices.DeleteFunc(j.floods[key], func(at time.Duration) bool { return now-at >= floodEvery })
	j.floods[key] = append(recent, now)
	if len(recent) > 2*floodMost+1 { // before and after a minute ends
		return fmt.Sprintf("%d records of %s within a minute", len(recent)+1, key)
	}
	return ""
}

// locked moves the end of the grace: it begins when the lock has fallen.
func (j *judge) locked(d *watched) {
	d.unlocked = false
	for i := range d.passes {
		d.passes[i].until = max(d.passes[i].until, j.now().Mono+d.cfg.Late)
	}
}

// over finds what should have ended by now.
func (j *judge) over() string {
	now := j.now().Mono
	for id, d := range j.doors {
		if d.unlocked && now >= d.until && !(d.cfg.Bolt && d.open) {
			return fmt.Sprintf("%s is still unlocked %s after its grant ran out", id, now-d.until)
		}
		for _, ps := range d.passes {
			if now >= ps.until {
				return fmt.Sprintf("%s was granted at %s, and neither went through nor did not", ps.person, id)
			}
		}
	}
	return ""
}

func (j *judge) unlock(in Input, e Unlock, effects []Effect, granted int) string {
	d := j.doors[e.Door]
	d.unlocked, d.until = true, j.now().Mono+d.cfg.Grant
	if e.For != d.cfg.Grant {
		return fmt.Sprintf("unlocked for %s", e.For)
	}
	if r, ok := in.(REX); ok && r.Door == e.Door {
		return ""
	}
	if granted < 0 {
		return "unlocked without a grant before it"
	}
	r := effects[granted].(Write).Record
	if r.Door != e.Door {
		return fmt.Sprintf("unlock of %s after a grant at %s", e.Door, r.Door)
	}
	if c, ok := in.(Command); ok {
		return j.command(c, e, r)
	}
	p, ok := j.people[r.Person]
	if !ok {
		return "granted to somebody unknown: " + r.Person
	}
	for _, want := range j.allowed(p, e.Door+"/"+string(r.Side)) {
		if j.shown(want, r) {
			j.spent[place(r)] = len(j.history)
			return ""
		}
	}
	return fmt.Sprintf("granted to %s with no policy satisfied", r.Person)
}

func place(r Record) string { return r.Door + "/" + string(r.Side) + "/" + r.Person }

func (j *judge) allowed(p Person, place string) []Set {
	want := p.Policies
	if len(want) == 0 {
		want = j.cfg.Policy
	}
	if len(j.dark[place]) > 0 { // these doors have one camera a side
		want = append(slices.Clone(want), j.cfg.Fallback...)
	}
	return want
}

// shown looks for every factor of want in the window, since this person's last grant there.
func (j *judge) shown(want Set, r Record) bool {
	for _, f := range want.Factors() {
		if !j.factorShown(f, want, r) {
			return false
		}
	}
	return want != 0
}

func (j *judge) factorShown(f Factor, want Set, r Record) bool {
	since := j.spent[place(r)]
	for i := len(j.history) - 1; i >= since; i-- {
		if j.now().Mono-j.history[i].at.Mono >= j.window() {
			break
		}
		switch in := j.history[i].in.(type) {
		case Claim:
			if in.Door == r.Door && in.Side == r.Side && in.Factor == f && in.Person == r.Person {
				return true
			}
		case Face:
			if f == FaceID && in.Door == r.Door && in.Side == r.Side && j.alive(in, i, want) && j.matches(in, i, want, r) {
				return true
			}
		}
	}
	return false
}

// window is how long ago something may have been shown: longer by a challenge just passed,
// before which all was renewed.
func (j *judge) window() time.Duration {
	for _, at := range j.turned {
		if at == j.now().Mono {
			return j.cfg.Window + time.Duration(j.cfg.Turns+1)*j.cfg.TurnTime
		}
	}
	return j.cfg.Window
}

// alive reports whether a look was at a head, as far as the policy wants to know.
func (j *judge) alive(in Face, at int, want Set) bool {
	for _, later := range j.history[at:] {
		if f, ok := later.in.(Face); ok && f.Track == in.Track && f.Door == in.Door && f.Side == in.Side && f.Liveness == Spoof {
			return false
		}
	}
	mode, ok := j.cfg.LivenessOf[want]
	if !ok {
		mode = j.cfg.Liveness
	}
	turned, ok := j.turned[in.Track]
	switch {
	case want == 0, mode == LivenessOff, ok && j.now().Mono-turned < j.cfg.Window: // 0: only asked who it is
		return true
	case mode == LivenessPassive:
		return j.live(in)
	}
	return false
}

// live reports whether the last look at a face judged it live.
func (j *judge) live(in Face) bool {
	for i := len(j.history) - 1; i >= 0; i-- {
		if f, ok := j.history[i].in.(Face); ok && f.Track == in.Track && f.Door == in.Door && f.Side == in.Side {
			return f.Liveness == Live
		}
	}
	return false
}

func (j *judge) matches(in Face, at int, want Set, r Record) bool {
	limit := j.cfg.Verify
	alone := want == SetOf(FaceID) && !j.claimed(r)
	if alone {
		limit = j.cfg.Identify
	}
	for i, m := range in.Near {
		if m.Person == r.Person && m.Distance >= 0 && m.Distance <= limit && (i == 0 || !alone) {
			return !alone || !j.stayed(in, at, r)
		}
	}
	return false
}

// stayed reports whether a face was in view, and that person's, before their last grant, and
// has not been away since: it lets nobody in alone.
func (j *judge) stayed(in Face, at int, r Record) bool {
	last := j.history[at].at.Mono
	for i := at - 1; i >= 0; i-- {
		old, ok := j.history[i].in.(Face)
		if !ok || old.Door != in.Door || old.Side != in.Side || old.Track != in.Track {
			continue
		}
		if last-j.history[i].at.Mono >= j.cfg.Window || old.Liveness == Spoof {
			return false
		}
		last = j.history[i].at.Mono
		theirs := slices.ContainsFunc(old.Near, func(m Match) bool {
			return m.Person == r.Person && m.Distance >= 0 && m.Distance <= j.cfg.Identify
		})
		if theirs && i < j.spent[place(r)] {
			return true
		}
	}
	return false
}

func (j *judge) claimed(r Record) bool {
	return j.factorShown(PIN, 0, r) || j.factorShown(Card, 0, r)
}

func (j *judge) command(c Command, e Unlock, r Record) string {
	now := j.now()
	age := now.Wall.Sub(c.At)
	if c.Door != e.Door || c.Action != ActionUnlock || c.Code != CodeRight || c.Person != r.Person || c.Retained ||
		c.Bad != "" || !now.Synced || c.At.IsZero() || age > 10*time.Second || age < -10*time.Second {
		return fmt.Sprintf("unlocked by an unauthorised command: %+v", c)
	}
	if _, ok := j.people[c.Person]; !ok {
		return "unlocked by a command of somebody unknown"
	}
	for i := len(j.history) - 2; i >= 0 && now.Mono-j.history[i].at.Mono <= 20*time.Second; i-- {
		if old, ok := j.history[i].in.(Command); ok && old.Action == ActionUnlock && old.Code == CodeRight && old.User == c.User &&
			old.At.Equal(c.At) && !old.Retained && old.Bad == "" && old.Door == c.Door && old.Person == c.Person {
			return "unlocked by a replayed command"
		}
	}
	return ""
}
