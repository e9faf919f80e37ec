package door

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// The scripts in testdata are the main test of the house. A line that begins with a time is
// an input (or "wait"); the lines below it that begin with "->" are all that must follow, in
// order. What is due between two inputs comes under a "wait" of its own moment, else it is
// an error: nothing happens unseen. Lines before the first time set the scene:
//
//	set window=20s policy=pin+face fallback=pin+card quiet=30s liveness=passive face=challenge
//	door front egress=handle contact=none grant=5s late=2s held_open=1m bolt
//	person ann pin+face ...            without sets: the house's policy
//	sensor kitchen
//	watch show keep                    also check these effects, left out otherwise
//	watch track                        also check of which face a record came
//
// "wakes" is a "wait" before which nobody has called Step, however much was due. With
// "times=4 every=1s" an input comes four times, and what follows all of them is put together;
// of words joined with "|", as in "contact open|closed", each takes its turn.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { playScript(t, file) })
	}
}

// moment is one input of a script with what must follow and what did.
type moment struct {
	text      string
	want, got []string
}

type script struct {
	t       *testing.T
	cfg     Config
	people  []Person
	watch   map[string]bool
	house   *House
	base    Instant
	kept    map[string]Lockout
	past    Past
	moments []*moment
}

var scriptEpoch = time.Date(2026, 3, 28, 22, 0, 0, 0, time.UTC) // the night of a change to summer time

func playScript(t *testing.T, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &script{t: t, cfg: Defaults(), watch: map[string]bool{}, kept: map[string]Lockout{},
		base: Instant{Wall: scriptEpoch, Mono: time.Hour, Synced: true}}
	s.cfg.Sensors, s.cfg.Liveness = nil, LivenessOff
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if words := strings.Fields(text); len(words) > 0 {
			s.line(fmt.Sprintf("%s:%d", file, n), words)
		}
	}
	for _, m := range s.moments {
		if diff := gocmp.Diff(m.want, m.got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", m.text, diff)
		}
	}
}

func (s *script) line(where string, words []string) {
	switch words[0] {
	case "->":
		m := s.moments[len(s.moments)-1]
		m.want = append(m.want, strings.Join(words[1:], " "))
	case "set", "door", "person", "sensor", "watch":
		s.scene(where, words)
	default:
		at, err := time.ParseDuration(words[0])
		if err != nil {
			s.t.Fatalf("%s: %v", where, err)
		}
		s.input(where, at, words[1:])
	}
}

func (s *script) scene(where string, words []string) {
	opts := options(words[1:])
	switch words[0] {
	case "set":
		s.cfg.Window = cmp.Or(opts.dur("window"), s.cfg.Window)
		s.cfg.Quiet = cmp.Or(opts.dur("quiet"), s.cfg.Quiet)
		s.cfg.Policy = orElse(sets(opts["policy"]), s.cfg.Policy)
		s.cfg.Fallback = orElse(sets(opts["fallback"]), s.cfg.Fallback)
		s.cfg.Liveness = LivenessMode(cmp.Or(opts["liveness"], string(s.cfg.Liveness)))
		if mode := opts["face"]; mode != "" {
			s.cfg.LivenessOf = map[Set]LivenessMode{SetOf(FaceID): LivenessMode(mode)}
		}
		s.base.Synced = opts["clock"] != "unsynced"
	case "door":
		p := PortalDefaults()
		p.ID = words[1]
		p.Egress = Egress(cmp.Or(opts["egress"], string(p.Egress)))
		p.Contact = opts["contact"] != "none"
		if n, err := strconv.Atoi(opts["cameras"]); err == nil {
			p.Cameras = map[Side]int{Entry: n}
		}
		p.Bolt = slices.Contains(words, "bolt")
		p.Grant = cmp.Or(opts.dur("grant"), p.Grant)
		p.Late = cmp.Or(opts.dur("late"), p.Late)
		p.HeldOpen = cmp.Or(opts.dur("held_open"), p.HeldOpen)
		s.cfg.Doors = append(s.cfg.Doors, p)
	case "person":
		p := Person{ID: words[1], Policies: sets(strings.Join(words[2:], ","))}
		s.people = append(s.people, p)
	case "sensor":
		s.cfg.Sensors = append(s.cfg.Sensors, words[1])
	case "watch":
		for _, w := range words[1:] {
			s.watch[w] = true
		}
	}
}

type optionMap map[string]string

func options(words []string) optionMap {
	m := optionMap{}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			m[k] = v
		}
	}
	return m
}

func (o optionMap) dur(key string) time.Duration {
	d, _ := time.ParseDuration(o[key])
	return d
}

func sets(text string) []Set {
	var out []Set
	for _, name := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		set, err := ParseSet(name)
		if err != nil {
			panic(err)
		}
		out = append(out, set)
	}
	return out
}

func (s *script) at(d time.Duration) Instant {
	return Instant{Wall: s.base.Wall.Add(d), Mono: s.base.Mono + d, Synced: s.base.Synced}
}

// build makes the house, at the first input and again after a restart.
func (s *script) build(now Instant) {
	if len(s.cfg.Doors) == 0 {
		p := PortalDefaults()
		p.ID = "front"
		s.cfg.Doors = []Portal{p}
	}
	h, err := New(s.cfg, Kept{People: s.people, Lockouts: s.kept, Past: s.past}, now)
	if err != nil {
		s.t.Fatal(err)
	}
	s.house = h
}

func (s *script) input(where string, d time.Duration, words []string) {
	m := &moment{text: where + ": " + d.String() + " " + strings.Join(words, " ")}
	s.moments = append(s.moments, m)
	if s.house == nil {
		s.build(s.at(d))
		s.house.Step(s.at(d), nil)
	}
	if words[0] == "restart" {
		s.past = s.house.past
		s.build(s.at(d))
		return
	}
	opts := options(words)
	times, _ := strconv.Atoi(cmp.Or(opts["times"], "1"))
	for i := range times {
		m.got = append(m.got, s.step(where, s.at(d), turn(words, i))...)
		d += opts.dur("every")
	}
}

func turn(words []string, i int) []string {
	words = slices.Clone(words)
	for k, w := range words {
		alternatives := strings.Split(w, "|")
		words[k] = alternatives[i%len(alternatives)]
	}
	return words
}

func (s *script) step(where string, now Instant, words []string) (got []string) {
	if words[0] != "wakes" {
		s.overslept(where, now)
	}
	effects, _ := s.house.Step(now, parseInput(s, now, words))
	for _, e := range effects {
		got = append(got, s.show(e)...)
	}
	return got
}

// overslept fails when something was due before now and the script does not mention it.
func (s *script) overslept(where string, now Instant) {
	for {
		at, ok := s.house.next()
		if !ok || at >= now.Mono {
			return
		}
		due := s.at(at - s.base.Mono)
		effects, _ := s.house.Step(due, nil)
		for _, e := range effects {
			for _, line := range s.show(e) {
				s.t.Errorf("%s: at %s, before it: unexpected -> %s", where, at-s.base.Mono, line)
			}
		}
	}
}

func (s *script) show(e Effect) []string {
	if k, ok := e.(Keep); ok {
		if k.Lockout.Wrong == 0 {
			delete(s.kept, k.Key)
		} else {
			s.kept[k.Key] = k.Lockout
		}
	}
	line := effectText(e)
	if w, ok := e.(Write); ok && w.Track != 0 && s.watch["track"] {
		line += fmt.Sprintf(" track=%d", w.Track)
	}
	if word, _, _ := strings.Cut(line, " "); (word == "show" || word == "keep") && !s.watch[word] {
		return nil
	}
	return []string{line}
}

func parseInput(s *script, now Instant, words []string) Input {
	opts := options(words)
	doorID := cmp.Or(opts["door"], "front")
	side := Entry
	if slices.Contains(words, "exit") {
		side = Exit
	}
	track, _ := strconv.Atoi(cmp.Or(opts["track"], "1"))
	person := func(i int) string { return strings.TrimPrefix(words[i], "nobody") }
	switch words[0] {
	case "wait", "wakes":
		return nil
	case "start":
		return Started{Version: "test"}
	case "stop":
		return Stopping{}
	case "claim":
		return Claim{Door: doorID, Side: side, Reader: cmp.Or(opts["reader"], "keypad"), Factor: Factor(words[2]), Person: person(1)}
	case "face":
		return parseFace(words, Face{Door: doorID, Side: side, Track: track})
	case "turned":
		return Turned{Door: doorID, Side: side, Track: track, Way: Way(words[1]), Why: opts["why"]}
	case "gone":
		return Gone{Door: doorID, Track: track}
	case "contact":
		return Contact{Door: doorID, Open: words[1] == "open"}
	case "rex":
		return REX{Door: doorID}
	case "jam":
		return Jam{Door: doorID, Jammed: words[1] == "on"}
	case "sensor":
		return Sensor{Sensor: words[1], Open: words[2] == "open"}
	case "vision":
		camera, _ := strconv.Atoi(opts["camera"])
		return Vision{Door: doorID, Side: side, Camera: camera, Reason: strings.TrimPrefix(words[1], "ok")}
	case "fault":
		return Fault{Part: words[1], Reason: strings.TrimPrefix(words[2], "ok")}
	case "command":
		return parseCommand(now, words, opts, doorID)
	case "clock_set":
		s.base.Wall = s.base.Wall.Add(opts.dur("offset"))
		return ClockSet{Offset: opts.dur("offset")}
	case "changed": // changed ann face
		return Note{Record{Kind: KindChanged, Person: words[1], Factors: sets(words[2])[0]}}
	case "people":
		s.people = slices.DeleteFunc(s.people, func(p Person) bool { return !slices.Contains(words[1:], p.ID) })
		return People{People: s.people}
	}
	s.t.Fatalf("no such input: %s", strings.Join(words, " "))
	return nil
}

// face ann 0.41 bob 0.60 live
func parseFace(words []string, f Face) Face {
	f.Liveness = Unjudged
	for i := 1; i+1 < len(words); i++ {
		if d, err := strconv.ParseFloat(words[i+1], 64); err == nil {
			f.Near = append(f.Near, Match{Person: words[i], Distance: d})
		}
	}
	for _, l := range []Liveness{Live, Spoof, Unsure} {
		if slices.Contains(words, string(l)) {
			f.Liveness = l
		}
	}
	return f
}

// command unlock code=ann|wrong|none at=-3s user=ha retained
func parseCommand(now Instant, words []string, opts optionMap, doorID string) Command {
	c := Command{Door: doorID, Action: Action(words[1]), User: cmp.Or(opts["user"], "ha"), At: now.Wall.Add(opts.dur("at")),
		Retained: slices.Contains(words, "retained"), Bad: opts["bad"]}
	switch code := opts["code"]; code {
	case "", "none":
		c.Code = NoCode
	case "wrong":
		c.Code = CodeWrong
	default:
		c.Code, c.Person = CodeRight, code
	}
	if opts["at"] == "none" {
		c.At = time.Time{}
	}
	return c
}

func effectText(e Effect) string {
	switch e := e.(type) {
	case Write:
		return recordText(e.Record)
	case Unlock:
		return "unlock" + atDoor(e.Door) + " " + e.For.String()
	case Lock:
		return "lock" + atDoor(e.Door)
	case Prompt:
		text := "prompt" + atDoor(e.Door) + " " + string(e.Say)
		if e.Side == Exit {
			text += " exit"
		}
		if e.Person != "" {
			text += " " + e.Person
		}
		return text
	case Watch:
		if e.Way == "" {
			return fmt.Sprintf("watch%s off track=%d", atDoor(e.Door), e.Track)
		}
		return fmt.Sprintf("watch%s %s track=%d %s", atDoor(e.Door), e.Way, e.Track, e.Within)
	case Show:
		return fmt.Sprintf("show%s %s %s", atDoor(e.Door), e.State.Lock, map[bool]string{true: "open", false: "closed"}[e.State.Open])
	case ShowSensor:
		return fmt.Sprintf("show sensor %s %s", e.Sensor, map[bool]string{true: "open", false: "closed"}[e.Open])
	case Keep:
		return fmt.Sprintf("keep %s wrong=%d remaining=%s", e.Key, e.Lockout.Wrong, e.Lockout.Remaining)
	}
	return fmt.Sprintf("unknown effect %T", e)
}

func atDoor(id string) string {
	if id == "front" || id == "" {
		return ""
	}
	return "@" + id
}

// record KIND [exit] [WHO] [FACTORS] [why=…] [details in order]
func recordText(r Record) string {
	words := []string{"record" + atDoor(r.Door), string(r.Kind)}
	if r.Side == Exit && r.Kind != KindExit && r.Kind != KindREX {
		words = append(words, "exit")
	}
	for _, w := range []string{r.Person, r.Factors.String()} {
		if w != "" {
			words = append(words, w)
		}
	}
	if r.Reason != "" {
		words = append(words, "why="+r.Reason)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Details)) {
		words = append(words, k+"="+strings.ReplaceAll(r.Details[k], " ", ","))
	}
	return strings.Join(words, " ")
}
