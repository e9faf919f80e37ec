package door

import (
	"fmt"
	"math"
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
	names   []string                   // of all who ever lived here
}

// watched is a door as its effects tell.
type watched struct {
	cfg      Portal
	unlocked bool
	until    time.Duration // the last grant runs out
	open     bool
	passes   []pass
}

// lockedReader is what wrong secrets typed with nobody known come to.
type lockedReader struct {
	wrong       int
	until, last time.Duration
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

func (j *judge) notice(in Input) {
	switch in := in.(type) {
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
		if j.now().Mono-j.history[i].at.Mono >= j.cfg.Window {
			break
		}
		switch in := j.history[i].in.(type) {
		case Claim:
			if in.Door == r.Door && in.Side == r.Side && in.Factor == f && in.Person == r.Person {
				return true
			}
		case Face:
			if f == FaceID && in.Door == r.Door && in.Side == r.Side && in.Liveness != Spoof && j.matches(in, i, want, r) {
				return true
			}
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

// typed follows the lockouts: where surely nobody is known, by itself; else by what the house
// has kept, which keep checks.
func (j *judge) typed(in Input, effects []Effect) string {
	c, ok := in.(Claim)
	if !ok || c.Factor != PIN || j.doors[c.Door] == nil {
		return ""
	}
	if _, ok := j.people[c.Person]; !ok {
		c.Person = ""
	}
	if c.Person != "" && j.now().Mono < j.own[c.Person] && j.hasCard(c) && taken(effects) {
		return fmt.Sprintf("the PIN of %s was taken, who is known and locked out", c.Person)
	}
	if j.maybeKnown(c) {
		return ""
	}
	r := j.reader(readerKey(c.Door, c.Reader))
	kept := slices.IndexFunc(effects, func(e Effect) bool {
		k, ok := e.(Keep)
		return ok && k.Key == readerKey(c.Door, c.Reader) && k.Lockout.Wrong > r.wrong
	})
	switch locked := j.now().Mono < r.until; {
	case locked && (taken(effects) || kept >= 0):
		return "a PIN counted while its reader was locked and nobody was known"
	case !locked && c.Person == "" && kept < 0 && r.wrong < 17:
		return "a wrong PIN did not count"
	case c.Person != "" && kept >= 0:
		return "a right PIN counted as wrong"
	}
	return ""
}

func (j *judge) reader(key string) *lockedReader {
	if j.readers[key] == nil {
		j.readers[key] = &lockedReader{}
	}
	return j.readers[key]
}

// taken reports whether a claim came to anything.
func taken(effects []Effect) bool {
	return slices.ContainsFunc(effects, func(e Effect) bool {
		switch e := e.(type) {
		case Unlock:
			return true
		case Prompt:
			return e.Say == SayFace || e.Say == SayMore
		}
		return false
	})
}

// hasCard reports whether the person's card was read here and has opened nothing since.
func (j *judge) hasCard(c Claim) bool {
	return j.factorShown(Card, 0, Record{Door: c.Door, Side: c.Side, Person: c.Person})
}

// maybeKnown reports whether a card or face here may have made somebody known.
func (j *judge) maybeKnown(c Claim) bool {
	for i := len(j.history) - 1; i >= 0 && j.now().Mono-j.history[i].at.Mono < j.cfg.Window; i-- {
		switch in := j.history[i].in.(type) {
		case Claim:
			if in.Door == c.Door && in.Side == c.Side && in.Factor == Card {
				return true
			}
		case Face:
			if in.Door == c.Door && in.Side == c.Side {
				return true
			}
		}
	}
	return false
}

// keep checks the steps of lockouts: one wrong try more doubles it, and only a day without one
// takes one back.
func (j *judge) keep(k Keep) string {
	now := j.now().Mono
	person, ok := strings.CutPrefix(k.Key, "person:")
	if ok {
		j.own[person] = now + k.Lockout.Remaining
		return ""
	}
	r := j.reader(k.Key)
	switch {
	case k.Lockout.Wrong > r.wrong || k.Lockout.Remaining > max(0, r.until-now): // one more
		if now < r.until {
			return k.Key + ": counted while locked"
		}
		if k.Lockout.Wrong != min(r.wrong+1, 17) || k.Lockout.Remaining != lockedAfter(k.Lockout.Wrong) {
			return fmt.Sprintf("%s: from %d wrong tries to %+v", k.Key, r.wrong, k.Lockout)
		}
		*r = lockedReader{k.Lockout.Wrong, now + k.Lockout.Remaining, now}
	case k.Lockout.Wrong < r.wrong && strings.HasPrefix(k.Key, "reader:"):
		if now-r.last < 24*time.Hour {
			return fmt.Sprintf("%s: %d wrong tries forgiven after %s", k.Key, r.wrong-k.Lockout.Wrong, now-r.last)
		}
		r.wrong, r.last = k.Lockout.Wrong, now
	default:
		r.wrong = k.Lockout.Wrong
	}
	return ""
}

// lockedAfter is 30 s after the fifth wrong try, doubled by each more, a day at most.
func lockedAfter(wrong int) time.Duration {
	if wrong < 5 {
		return 0
	}
	return time.Duration(min(30*math.Pow(2, float64(wrong-5)), 24*3600)) * time.Second
}
