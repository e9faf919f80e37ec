package door

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestLockoutDoublesToADay(t *testing.T) {
	want := map[int]time.Duration{0: 0, 4: 0, 5: 30 * time.Second, 6: time.Minute, 7: 2 * time.Minute,
		16: 61440 * time.Second, 17: 24 * time.Hour, 18: 24 * time.Hour, 1000: 24 * time.Hour}
	for wrong, d := range want {
		if got := lockoutFor(wrong); got != d {
			t.Errorf("after %d wrong tries: %s, want %s", wrong, got, d)
		}
	}
}

// A year of guessing as fast as lockouts allow, then rest: the step stops at a day, and comes
// down again by one a day.
func TestLockoutYear(t *testing.T) {
	cfg := Defaults()
	p := PortalDefaults()
	p.ID = "front"
	cfg.Doors = []Portal{p}
	now := Instant{Wall: scriptEpoch, Mono: time.Hour, Synced: true}
	h, err := New(cfg, Kept{}, now)
	if err != nil {
		t.Fatal(err)
	}
	guess := Claim{Door: "front", Side: Entry, Reader: "keypad", Factor: PIN}
	key := readerKey("front", "keypad")
	tries, end := 0, now.Mono+365*24*time.Hour
	for now.Mono < end {
		h.Step(now, guess)
		tries++
		now = later(now, max(h.counters[key].until-now.Mono, time.Second))
	}
	if tries > 17+365 {
		t.Errorf("%d guesses in a year, want at most 382", tries)
	}
	for range 12 {
		now = later(now, 24*time.Hour)
		h.Step(now, nil)
	}
	if got := h.counters[key].wrong; got != freeTries {
		t.Errorf("after 12 quiet days %d wrong tries count, want %d", got, freeTries)
	}
}

func TestSetText(t *testing.T) {
	for text, want := range map[string]string{"pin+face": "pin+face", "face+pin": "pin+face", " card + face ": "card+face", "remote": "remote"} {
		set, err := ParseSet(text)
		if err != nil || set.String() != want {
			t.Errorf("ParseSet(%q) = %q, %v; want %q", text, set, err, want)
		}
	}
	for _, text := range []string{"", "pin+", "pin+pin", "Pin", "pin,face", "iris"} {
		if set, err := ParseSet(text); err == nil {
			t.Errorf("ParseSet(%q) = %q, want an error", text, set)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	good := func() Config {
		c := Defaults()
		p := PortalDefaults()
		p.ID = "front"
		c.Doors = []Portal{p}
		return c
	}
	if err := good().Validate(); err != nil {
		t.Fatalf("the defaults are refused: %v", err)
	}
	for want, spoil := range map[string]func(*Config){
		"use 1 to 32 of a-z":             func(c *Config) { c.Doors[0].ID = "Front door" },
		"two doors are called":           func(c *Config) { c.Doors = append(c.Doors, c.Doors[0]) },
		"use handle, rex or reader":      func(c *Config) { c.Doors[0].Egress = "window" },
		"grant: 0s: use 1s to 1m0s":      func(c *Config) { c.Doors[0].Grant = 0 },
		"late: -1s":                      func(c *Config) { c.Doors[0].Late = -time.Second },
		"held_open: 1s":                  func(c *Config) { c.Doors[0].HeldOpen = time.Second },
		"name at least one set":          func(c *Config) { c.Policy = nil },
		"an empty policy would open":     func(c *Config) { c.Policy = []Set{0} },
		"never for a reader":             func(c *Config) { c.Policy = []Set{SetOf(Remote)} },
		"name two other factors":         func(c *Config) { c.Fallback = []Set{SetOf(PIN, FaceID)} },
		"a fallback needs two factors":   func(c *Config) { c.Fallback = []Set{SetOf(PIN)} },
		"window: 0s":                     func(c *Config) { c.Window = 0 },
		"identify: NaN":                  func(c *Config) { c.Identify = math.NaN() },
		"verify: 0.7":                    func(c *Config) { c.Verify = 0.7 },
		"use off, passive or challenge":  func(c *Config) { c.Liveness = "on" },
		"liveness_of: face: \"no\"":      func(c *Config) { c.LivenessOf = map[Set]LivenessMode{SetOf(FaceID): "no"} },
		"name policies that hold a face": func(c *Config) { c.LivenessOf = map[Set]LivenessMode{SetOf(PIN): LivenessOff} },
		"turns: 0: use 1 to 5":           func(c *Config) { c.Turns = 0 },
		"turn_time: 1s: use 2s":          func(c *Config) { c.TurnTime = time.Second },
	} {
		c := good()
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
		if _, err := New(c, Kept{}, Instant{}); err == nil {
			t.Errorf("New takes a config that is wrong: %s", want)
		}
	}
}

// Who is inside is a fold over the records.
func TestPastInside(t *testing.T) {
	for _, c := range []struct {
		name      string
		records   []Record
		inside    []string
		uncertain bool
	}{
		{"nobody", nil, nil, false},
		{"ann and bob, ann leaves", []Record{{Kind: KindEntry, Person: "ann"}, {Kind: KindEntry, Person: "bob"}, {Kind: KindExit, Person: "ann"}}, []string{"bob"}, false},
		{"somebody leaves", []Record{{Kind: KindEntry, Person: "ann"}, {Kind: KindExit}}, []string{"ann"}, true},
		{"it was not ann, she comes again", []Record{{Kind: KindEntry, Person: "ann"}, {Kind: KindExit}, {Kind: KindEntry, Person: "ann"}}, []string{"ann"}, false},
		{"somebody let in", []Record{{Kind: KindEntry}}, nil, true},
		{"and gone", []Record{{Kind: KindEntry}, {Kind: KindExit}}, nil, false},
		{"of two let in one leaves", []Record{{Kind: KindEntry}, {Kind: KindEntry}, {Kind: KindExit}}, nil, true},
		{"somebody leaves an empty house", []Record{{Kind: KindExit}}, nil, true},
		{"it was Ann, she comes back", []Record{{Kind: KindExit}, {Kind: KindEntry, Person: "ann"}}, []string{"ann"}, false},
		{"granted is not inside", []Record{{Kind: KindGranted, Person: "ann"}, {Kind: KindNotEntered, Person: "ann"}}, nil, false},
		{"erased", []Record{{Kind: KindEntry, Person: "ann"}, {Kind: KindErased, Person: "ann"}}, nil, false},
	} {
		var p Past
		for _, r := range c.records {
			p.Apply(r)
		}
		text, err := json.Marshal(p)
		if err == nil {
			err = json.Unmarshal(text, &p)
		}
		if err != nil {
			t.Fatalf("%s: not kept: %v", c.name, err)
		}
		inside, uncertain := p.Inside()
		if diff := gocmp.Diff(c.inside, inside); diff != "" || uncertain != c.uncertain {
			t.Errorf("%s: uncertain %v, want %v (-want +got)\n%s", c.name, uncertain, c.uncertain, diff)
		}
	}
}

func TestDecide(t *testing.T) {
	cfg := Defaults()
	cfg.Fallback, cfg.Liveness = []Set{SetOf(PIN, Card)}, LivenessOff
	for _, c := range []struct {
		name  string
		p     Person
		given Set
		blind bool
		want  Verdict
	}{
		{"the house's policy", Person{}, SetOf(PIN, FaceID), false, Verdict{Opens: true, By: SetOf(PIN, FaceID)}},
		{"more than enough", Person{}, SetOf(PIN, FaceID, Card), false, Verdict{Opens: true, By: SetOf(PIN, FaceID)}},
		{"nothing", Person{}, 0, false, Verdict{Missing: SetOf(PIN, FaceID)}},
		{"her own policy replaces it", Person{Policies: []Set{SetOf(Card)}}, SetOf(PIN, FaceID), false, Verdict{Missing: SetOf(Card)}},
		{"fallback while blind", Person{}, SetOf(PIN, Card), true, Verdict{Opens: true, By: SetOf(PIN, Card), Fallback: true}},
		{"no fallback while all is well", Person{}, SetOf(PIN, Card), false, Verdict{Missing: SetOf(FaceID)}},
		{"an empty policy opens nothing", Person{Policies: []Set{0}}, SetOf(PIN), false, Verdict{}},
		{"a remote code is none for the door", Person{Policies: []Set{SetOf(Remote)}}, SetOf(Remote), false, Verdict{}},
		{"a fallback of one factor opens nothing", Person{Fallback: []Set{SetOf(PIN)}}, SetOf(PIN), true, Verdict{Missing: SetOf(FaceID)}},
	} {
		if diff := gocmp.Diff(c.want, cfg.Decide(c.p, c.given, Unjudged, c.blind)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
}

func TestDecideByLiveness(t *testing.T) {
	cfg := Defaults()
	both, face := SetOf(PIN, FaceID), SetOf(FaceID)
	cfg.Policy, cfg.Liveness = []Set{both, face}, LivenessPassive
	cfg.LivenessOf = map[Set]LivenessMode{face: LivenessChallenge}
	for _, c := range []struct {
		name  string
		given Set
		sure  proof
		want  Verdict
	}{
		{"a head and a PIN", both, byMotion, Verdict{Opens: true, By: both}},
		{"perhaps a picture", both, bySight, Verdict{Missing: face, Unproven: LivenessPassive}},
		{"a picture", both, noProof, Verdict{Missing: face}},
		{"a head alone", face, byMotion, Verdict{Missing: face, Unproven: LivenessChallenge}},
		{"a head alone that was challenged", face, byChallenge, Verdict{Opens: true, By: face}},
		{"a PIN alone", SetOf(PIN), noProof, Verdict{Missing: face}},
	} {
		if diff := gocmp.Diff(c.want, cfg.decide(Person{}, c.given, c.sure, false)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
	}
	for alive, opens := range map[Liveness]bool{Live: true, Unsure: false, Unjudged: false, Spoof: false, "": false} {
		if v := cfg.Decide(Person{}, both, alive, false); v.Opens != opens {
			t.Errorf("a face that is %q with a PIN opens: %v", alive, v.Opens)
		}
	}
}
