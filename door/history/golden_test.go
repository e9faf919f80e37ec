package history

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

var update = flag.Bool("update", false, "write the golden file anew")

// Every byte of the points, in a file that shows what a change would do to the dashboards of
// others.
func TestGolden(t *testing.T) {
	at := time.Date(2026, 11, 21, 6, 30, 0, 120000001, time.UTC)
	clock := door.Clock{Synced: true, Boot: "5b0f3c9e", Mono: 90 * time.Second}
	stay := 8*time.Hour + 15*time.Minute
	west := time.FixedZone("west of it", -5*3600)
	entry := door.Record{Seq: 42, Time: at, Clock: clock, Door: "front", Kind: door.KindEntry, Side: door.Entry, Person: "p1",
		Factors: door.SetOf(door.PIN, door.FaceID), Reason: "late", Details: map[string]string{"distance": "0.41", "liveness": "live"},
		Sealed: []byte("sealed bytes"), Prev: []byte("previous hash"), Hash: []byte("its own hash")}
	exit := door.Record{Seq: 43, Time: at.Add(stay), Clock: clock, Door: "front", Kind: door.KindExit, Side: door.Exit, Person: "p1"}
	window := door.Record{Seq: 44, Time: at, Kind: door.KindIntrusion, Details: map[string]string{"sensor": "kitchen"}}
	problem := door.Record{Seq: 45, Time: at, Kind: door.KindProblem, Reason: "broker_down",
		Details: map[string]string{"part": "bus", "text": "a \"quoted\"\nline\\"}}
	odd := door.Record{Seq: 46, Time: at, Door: "front", Kind: door.KindSeen, Details: map[string]string{"distance": "NaN"}}
	l, got := newLine(), ""
	add := func(line []byte, err error) {
		t.Helper()
		must(t, err)
		got += string(line)
	}
	add(l.point(entry, telling{name: "Ann", zone: west}))
	add(l.point(exit, telling{name: "Ann", inside: &stay, zone: time.UTC}))
	add(l.point(window, telling{zone: time.UTC}))
	add(l.point(problem, telling{zone: time.UTC}))
	add(l.point(odd, telling{name: "O'Hara, \"Bob\" = \\", zone: time.UTC}))
	add(l.nameless(entry))
	add(l.corrected(window, -90*time.Second))
	const file = "testdata/points.txt"
	if *update {
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if diff := cmp.Diff(strings.SplitAfter(string(want), "\n"), strings.SplitAfter(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got), written anew by go test -update:\n%s", file, diff)
	}
}
