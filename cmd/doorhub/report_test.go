package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/store"
)

// enrolMany adds people whose looks lie at random about places far from one another. Their
// faces are as sure as those of dlib's, and the same in each run.
func (h *cliHouse) enrolMany(people, looks int) {
	h.t.Helper()
	random := rand.New(rand.NewPCG(3, 3))
	st := h.store()
	for n := range people {
		p, err := st.AddPerson(h.t.Context(), fmt.Sprintf("Person %d", n+1), nil, nil)
		must(h.t, err)
		var centre [128]float32
		for i := range centre {
			centre[i] = float32(random.NormFloat64() * 0.045)
		}
		for range looks {
			look := store.Face{Descriptor: centre, Quality: 0.8}
			for i := range look.Descriptor {
				look.Descriptor[i] += float32(random.NormFloat64() * 0.022)
			}
			must(h.t, st.AddFace(h.t.Context(), p.ID, look))
		}
	}
	must(h.t, st.Close())
}

// enrolTwin adds somebody who has the first look of another, once.
func (h *cliHouse) enrolTwin(name string) {
	h.t.Helper()
	st := h.store()
	faces, err := st.Faces(h.t.Context())
	must(h.t, err)
	p, err := st.AddPerson(h.t.Context(), name, nil, nil)
	must(h.t, err)
	twin := store.Face{Descriptor: faces[0].Descriptor, Quality: 0.2}
	twin.Descriptor[0] += 0.25
	must(h.t, st.AddFace(h.t.Context(), p.ID, twin))
	must(h.t, st.Close())
}

// The file testdata/report.txt is the report of a made-up house, as a pipe gets it.
func TestFaceReport(t *testing.T) {
	want, err := os.ReadFile("testdata/report.txt")
	must(t, err)
	bothWays(t, func(h *cliHouse) { h.enrolMany(12, 3); h.enrolTwin("Twin") }, func(t *testing.T, h *cliHouse) {
		got := h.ok("face", "report", "--rate", "0.001")
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("(-testdata/report.txt +got):\n%s", diff)
		}
		var r faceReport
		must(t, json.Unmarshal([]byte(h.ok("--json", "face", "report", "--rate", "0.001")), &r))
		if r.People != 13 || r.Faces != 37 || r.Genuine.Comparisons != 36 || r.Impostor.Units != 13*12/2 || len(r.Alike) != 1 ||
			r.Alike[0].People[1].Name != "Twin" || len(r.Weak) != 1 || r.Advice[1].Setting != "verify" || r.Advice[1].Basis != face.Estimated {
			t.Errorf("got %+v", r)
		}
		if r.Advice[0].Rate*13 != r.Advice[1].Rate {
			t.Errorf("identify compares with 13: its rate is %v of %v", r.Advice[0].Rate, r.Advice[1].Rate)
		}
	})
}

// keepLooks has records in the journal, each with the first face of a person before the camera.
func (h *cliHouse) keepLooks(wrong bool, recs ...door.Record) {
	h.t.Helper()
	st := h.store()
	ctx := h.t.Context()
	faces, err := st.Faces(ctx)
	must(h.t, err)
	recs, err = st.Append(ctx, recs)
	must(h.t, err)
	for _, r := range recs {
		l := store.Look{Seq: r.Seq, Time: r.Time, Person: r.Person, Near: []door.Match{{Person: r.Person, Distance: 0.1}}}
		for _, f := range faces {
			if f.Person == r.Person {
				l.Descriptor = f.Descriptor
			}
		}
		l.Descriptor[0] += 0.125
		must(h.t, st.KeepLook(ctx, l))
		if wrong {
			_, err := st.MarkLook(ctx, r.Seq, true)
			must(h.t, err)
		}
	}
	must(h.t, st.Close())
}

// Looks from cameras count as the person's where something else said so, too, and as somebody
// else's where the owner said that.
func TestFaceReportOfLooksFromCameras(t *testing.T) {
	seen := func(kind door.Kind, person string, factors ...door.Factor) door.Record {
		return door.Record{Time: time.Now().UTC(), Door: "front", Kind: kind, Side: door.Entry, Person: person, Factors: door.SetOf(factors...)}
	}
	bothWays(t, func(h *cliHouse) {
		h.enrolMany(3, 2)
		h.keepLooks(false, seen(door.KindGranted, "p1", door.PIN, door.FaceID), seen(door.KindGranted, "p2", door.FaceID),
			seen(door.KindSeen, "p1", door.FaceID), seen(door.KindDenied, "p1", door.PIN, door.FaceID))
		h.keepLooks(true, seen(door.KindSeen, "p3", door.FaceID), seen(door.KindGranted, "p1", door.PIN, door.FaceID))
	}, func(t *testing.T, h *cliHouse) {
		var r faceReport
		must(t, json.Unmarshal([]byte(h.ok("--json", "face", "report")), &r))
		// 6 enrolled looks, each against the other of its person and the two others; one look of
		// p1 against p1, p2 and p3; two that were not p3 and p1.
		if r.Seen != 1 || r.Refuted != 2 || r.Genuine.Comparisons != 6+1 || r.Impostor.Comparisons != 12+2+2 {
			t.Errorf("got %+v", r)
		}
		if at := r.Impostor.Spread.Least; at < 0.12 || at > 0.13 {
			t.Errorf("the looks that were taken back are %v off, want 0.125", at)
		}
		out := h.ok("face", "report")
		for _, line := range []string{"from cameras: 1 look that opened with another factor, 2 taken back with `face not`", "only those count that opened"} {
			if !strings.Contains(out, line) {
				t.Errorf("%q is missing:\n%s", line, out)
			}
		}
	})
}

func TestHistogram(t *testing.T) {
	for name, tt := range map[string]struct {
		bins []int
		want []string
	}{
		"nothing":  {[]int{0, 0, 0}, nil},
		"one":      {[]int{0, 1, 0}, []string{" █", " █"}},
		"halves":   {[]int{2, 1, 0, 2}, []string{"█  █", "██ █"}},
		"eighths":  {[]int{16, 9, 1}, []string{"█▁", "██▁"}},
		"one seen": {[]int{1, 1_000_000}, []string{" █", "▁█"}},
	} {
		if diff := cmp.Diff(tt.want, histogram(tt.bins, 2)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAxis(t *testing.T) {
	for distance, want := range map[float64]int{0: 0, 0.5: 25, 0.55: 27, 1.2: 59, 7: 59} {
		if got := column(distance); got != want {
			t.Errorf("%v stands in column %d, want %d", distance, got, want)
		}
	}
	got := axis(reportBins)
	if strings.Index(got[1], "1.0") != 50 || []rune(got[0])[50] != '┴' {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestNumbersOfTheReport(t *testing.T) {
	for share, want := range map[float64]string{0: "0 %", 1: "100 %", 0.333: "33 %", 0.0455: "4.5 %", 1.9e-7: "0.000019 %", 0.0999: "10 %"} {
		if got := percent(share); got != want {
			t.Errorf("%v: %q, want %q", share, got, want)
		}
	}
	for rate, want := range map[float64]string{1e-4: "10000", 1e-4 / 12: "120000", 0.5: "2", 0.04444: "22.5", 1e-9: "1000000000", 1. / 1234567: "1230000"} {
		if got := inverse(rate); got != want {
			t.Errorf("%v: %q, want %q", rate, got, want)
		}
	}
	for rate, want := range map[float64]int{1e-4: 246, 1e-3: 78} { // 246 people have 30135 pairs, 78 have 3003
		if got := peopleFor(rate); got != want {
			t.Errorf("%v: %d people, want %d", rate, got, want)
		}
	}
}
