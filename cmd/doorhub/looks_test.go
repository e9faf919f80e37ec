package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/album"
	"github.com/doorhub/doorhub/door/store"
)

// looked is a house with Ann (p1) and Bob (p2), in which cameras have seen what the records 5
// to 10 tell: Ann let in, Bob seen by mistake, a stranger, a PIN alone, a window, and a face of
// which no look is kept.
func looked(h *cliHouse) {
	h.enrolMany(2, 2)
	at := time.Now().Add(-time.Hour)
	h.journal(slices.Repeat([]door.Record{{Time: at, Kind: door.KindStarted}}, 4)...)
	h.journal(
		door.Record{Time: at, Kind: door.KindGranted, Door: "front", Side: door.Entry, Person: "p1", Factors: door.SetOf(door.PIN, door.FaceID)},
		door.Record{Time: at, Kind: door.KindSeen, Door: "front", Side: door.Entry, Person: "p2", Factors: door.SetOf(door.FaceID)},
		door.Record{Time: at, Kind: door.KindSeen, Door: "front", Side: door.Entry},
		door.Record{Time: at, Kind: door.KindGranted, Door: "front", Side: door.Entry, Person: "p1", Factors: door.SetOf(door.PIN)},
		door.Record{Time: at, Kind: door.KindIntrusion, Details: map[string]string{door.DetailSensor: "kitchen"}},
		door.Record{Time: at, Kind: door.KindSeen, Door: "front", Side: door.Entry, Person: "p2", Factors: door.SetOf(door.FaceID)},
	)
	st := h.store()
	faces, err := st.Faces(h.t.Context())
	must(h.t, err)
	for seq, person := range map[uint64]string{5: "p1", 6: "p2", 7: ""} {
		l := store.Look{Seq: seq, Time: at, Person: person, Descriptor: faces[0].Descriptor, Liveness: "unjudged",
			Near: []door.Match{{Person: "p1", Distance: 0.7}, {Person: "p2", Distance: 0.4}}}
		must(h.t, st.KeepLook(h.t.Context(), l))
	}
	must(h.t, st.Close())
	pictures, err := album.Open(filepath.Join(h.data, eventsFolder), album.Defaults())
	must(h.t, err)
	for _, e := range []album.Entry{{Seq: 5, Door: "front", People: []string{"p1"}}, {Seq: 6, Door: "front", People: []string{"p2", "p1"}},
		{Seq: 7, Door: "front"}, {Seq: 9}} {
		e.At = at
		must(h.t, pictures.Keep(e, fmt.Appendf(nil, "picture %d", e.Seq)))
	}
}

func (h *cliHouse) refuses(want string, args ...string) {
	h.t.Helper()
	if got := h.do("", args...); got.code != exitFailed || got.err != "doorhub: "+want+"\n" || got.out != "" {
		h.t.Errorf("doorhub %q: %+v\nwant %s", args, got, want)
	}
}

func TestFaceNot(t *testing.T) {
	bothWays(t, looked, func(t *testing.T, h *cliHouse) {
		const noted = "noted: the face of record 6 is not that of Person 2; one that is as near to it as to hers or his no longer counts as Person 2 (--undo takes this back)\n"
		if out := h.ok("face", "not", "6"); out != noted {
			t.Errorf("got %q", out)
		}
		report := func() (r faceReport) {
			must(t, json.Unmarshal([]byte(h.ok("--json", "face", "report")), &r))
			return r
		}
		if r := report(); r.Refuted != 1 || r.Seen != 1 {
			t.Errorf("%d looks refuted, %d seen, want 1 each", r.Refuted, r.Seen)
		}
		h.refuses("record 6: nothing to change: it was said before (--undo takes it back)", "face", "not", "6")
		if out := h.ok("face", "not", "6", "--undo"); out != "the face of record 6 counts as that of Person 2 again\n" {
			t.Errorf("got %q", out)
		}
		if r := report(); r.Refuted != 0 {
			t.Errorf("%d looks refuted after the undo", r.Refuted)
		}
		if out := h.ok("--json", "face", "not", "5"); out != `{"seq":5,"person":"p1","name":"Person 1"}`+"\n" {
			t.Errorf("got %q", out)
		}
		h.refuses("record 6: nothing to change: it was not said that the face is somebody else's", "face", "not", "6", "--undo")
		h.refuses("record 7: the face was taken for nobody: there is nothing to take back", "face", "not", "7")
		h.refuses("record 8 (granted) came of no face: doorhub log --all --type seen --type granted --type denied lists those that may", "face", "not", "8")
		h.refuses("record 10: no look at a face is kept: it may be older than store.keep_looks", "face", "not", "10")
		h.refuses("there is no record 999: doorhub log --all lists them", "face", "not", "999")
		h.refuses("there is no record 0: doorhub log --all lists them", "face", "not", "0")
		var got []string
		for line := range strings.Lines(h.ok("--json", "log", "--type", "changed")) {
			var r logRow
			must(t, json.Unmarshal([]byte(line), &r))
			got = append(got, fmt.Sprintln(r.Person, r.Factors, r.Reason, r.Details))
		}
		want := []string{"p2 face not_this_person map[record:6]\n", "p2 face this_person_again map[record:6]\n", "p1 face not_this_person map[record:5]\n"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("journal (-want +got):\n%s", diff)
		}
	})
}

func TestPicturesInTheLog(t *testing.T) {
	bothWays(t, looked, func(t *testing.T, h *cliHouse) {
		var with []uint64
		for line := range strings.Lines(h.ok("--json", "log", "--all")) {
			var r logRow
			must(t, json.Unmarshal([]byte(line), &r))
			if r.Picture {
				with = append(with, r.Seq)
			}
		}
		if diff := cmp.Diff([]uint64{5, 6, 7, 9}, with); diff != "" {
			t.Errorf("records with a picture (-want +got):\n%s", diff)
		}
		file, dir := filepath.Join(t.TempDir(), "6.jpg"), filepath.Join(t.TempDir(), "all")
		must(t, os.WriteFile(file, []byte("something longer"), 0o644)) // that everybody can read
		out := masked(h.ok("log", "show", "6", "--picture", file))
		if want := "ID Time Door Kind Side Person Name Factors Reason Picture Details\nSEQ TIME front seen entry p2 Person 2 face yes\n"; out != want {
			t.Errorf("got %q\nwant %q", out, want)
		}
		h.holds(file, "picture 6")
		if out := h.ok("log", "--pictures", dir, "--person", "p2"); strings.Count(out, "\n") != 2 {
			t.Errorf("got %q, want the one record of Person 2 with a picture", out)
		}
		h.holds(filepath.Join(dir, "6.jpg"), "picture 6")
		h.ok("log", "--pictures", dir)
		for _, seq := range with {
			h.holds(filepath.Join(dir, fmt.Sprintf("%d.jpg", seq)), fmt.Sprintf("picture %d", seq))
		}
		got := h.do("", "log", "show", "8", "--picture", filepath.Join(dir, "8.jpg"))
		if got.code != exitFailed || got.err != "doorhub: record 8: no picture is kept: it may be older than pictures.keep, or no camera saw anything\n" {
			t.Errorf("a record without a picture: %+v", got)
		}
		h.refuses("there is no record 999: doorhub log --all lists them", "log", "show", "999")
		if got := h.do("", "log", "--picture", file); got.code != exitUsage || !strings.Contains(got.err, "say of which record") {
			t.Errorf("no record named: %+v", got)
		}
		if got := h.do("", "log", "show", "6", "--picture", filepath.Join(dir, "none", "x.jpg")); got.code == 0 || !strings.Contains(got.err, "no such file") {
			t.Errorf("no such folder: %+v", got)
		}
	})
}

// holds checks a file that nobody else can read.
func (h *cliHouse) holds(file, want string) {
	h.t.Helper()
	got, err := os.ReadFile(file)
	must(h.t, err)
	info, err := os.Stat(file)
	must(h.t, err)
	if string(got) != want || info.Mode().Perm() != 0o600 {
		h.t.Errorf("%s holds %q, mode %v; want %q, readable to nobody else", file, got, info.Mode(), want)
	}
}

// Who is erased is gone from the pictures and the looks, too.
func TestErasedFromPictures(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{false, true} {
		h := newCLIHouse(t)
		looked(h)
		stop := func() outcome { return outcome{} }
		if running {
			stop = h.start()
		}
		h.ok("people", "remove", "p1")
		stop()
		files, err := os.ReadDir(filepath.Join(h.data, eventsFolder))
		must(t, err)
		var left []string
		for _, f := range files {
			left = append(left, f.Name())
		}
		if diff := cmp.Diff([]string{"7.front.jpg", "9._.jpg"}, left); diff != "" {
			t.Errorf("running %v: pictures (-want +got):\n%s", running, diff)
		}
		st := h.store()
		looks, err := st.Looks(t.Context(), store.LookFilter{})
		must(t, errors.Join(err, st.Close()))
		if len(looks) != 2 || looks[0].Person != "p2" {
			t.Errorf("running %v: looks %+v", running, looks)
		}
	}
}

func TestDecisionsNeedAHub(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	h.refuses("no hub is running: start it with doorhub run, or as a service", "face", "decisions")
	if got := h.do("", "face", "decisions", "-n", "0"); got.code != exitUsage {
		t.Errorf("-n 0: %+v", got)
	}
	if hasVision {
		return
	}
	h.start()
	h.refuses(errNoVision.Error(), "face", "decisions")
}

// The bus shows the newest picture of a door until it is erased or too old.
func TestPicturesOnTheBus(t *testing.T) {
	h := startTestHub(t)
	f := sub(t, h.as("homeassistant"), "doorhub/door/front/image")
	at := h.clock.now().Wall
	h.pictures.keep(album.Entry{Seq: 3, At: at, Door: "front"}, []byte("three"))
	says(t, f, "doorhub/door/front/image", "three")
	h.pictures.keep(album.Entry{Seq: 5, At: at, Door: "front", People: []string{h.ann}}, []byte("five"))
	says(t, f, "doorhub/door/front/image", "five")
	h.pictures.keep(album.Entry{Seq: 4, At: at, Door: "front"}, []byte("four")) // older, drawn late
	h.pictures.keep(album.Entry{Seq: 6, At: at, Door: "back"}, []byte("six"))   // of a door that was taken out of the config
	if m := says(t, sub(t, h.as("homeassistant"), "doorhub/door/front/image"), "doorhub/door/front/image"); !m.retained || m.payload != "five" {
		t.Errorf("a late subscriber gets %+v", m)
	}
	_, err := h.service.removePerson(t.Context(), whoRequest{Who: h.ann})
	must(t, err)
	says(t, f, "doorhub/door/front/image", "four")
	h.pictures.keep(album.Entry{Seq: 7, At: at, Door: "front", People: []string{h.ann}}, []byte("seven")) // drawn before, kept after
	h.pictures.keep(album.Entry{Seq: 8, At: at, Door: "front"}, []byte("eight"))
	if m := says(t, f, "doorhub/door/front/image"); m.payload != "eight" {
		t.Errorf("after the erasure: %+v", m)
	}
}

// Who may read pictures: Home Assistant and viewers. What is not to be shown is not told.
func TestPicturesOfTheBusAreOff(t *testing.T) {
	h := startTestHub(t, func(c *Config) { c.Pictures.Show = false })
	h.pictures.keep(album.Entry{Seq: 3, At: h.clock.now().Wall, Door: "front"}, []byte("three"))
	h.bus.mu.Lock()
	m, told := h.bus.states[discovery.Image("front", nil).Topic]
	h.bus.mu.Unlock()
	if !told || len(m.Payload) != 0 {
		t.Errorf("told: %v %q", told, m.Payload)
	}
	got, err := h.service.picture(t.Context(), pictureRequest{Seq: 3})
	if err != nil || !bytes.Equal(got.Data, []byte("three")) {
		t.Errorf("the picture: %q, %v", got.Data, err)
	}
}

// A folder that cannot be written is a problem, told once and once when it is over, and costs
// no more than the pictures.
func TestPicturesCannotBeKept(t *testing.T) {
	th := newTestHouse(t)
	blocked := filepath.Join(th.cfg.Data, eventsFolder)
	must(t, os.WriteFile(blocked, nil, 0o600))
	h := th.start(t)
	of := func(k door.Kind) {
		t.Helper()
		h.records.next(t, string(k), func(r door.Record) bool { return r.Kind == k && r.Details[door.DetailPart] == "pictures" })
	}
	of(door.KindProblem)
	h.enters(annPIN)
	h.await(door.KindGranted)
	must(t, os.Remove(blocked))
	h.pictures.keep(album.Entry{Seq: 1, At: h.clock.now().Wall, Door: "front"}, []byte("one"))
	of(door.KindProblemGone)
}
