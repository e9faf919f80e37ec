//go:build vision

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/store"
)

// startWatched runs a hub whose front door is watched by a demo's camera, with Ann enrolled by
// a portrait.
func startWatched(t *testing.T, change ...func(*Config)) *testHub {
	t.Helper()
	needPictures(t)
	h := startTestHub(t, append([]func(*Config){withCamera(portraits()), func(c *Config) {
		c.demo = true
		c.House.Policy = []door.Set{door.SetOf(door.PIN, door.FaceID)}
		c.House.Liveness = door.LivenessOff // it is shown portraits
		c.House.Quiet = 0
	}}, change...)...)
	data, err := os.ReadFile(filepath.Join(portraits(), "obama.jpg"))
	must(t, err)
	req := enrolRequest{Who: h.ann, Pictures: []picture{{"obama.jpg", data}}}
	req.Consent = true
	_, err = h.service.enrol(t.Context(), req, func(int, int) {})
	must(t, err)
	return h
}

func (h *testHub) shows(portrait string) {
	h.tb.Helper()
	must(h.tb, h.vision.stage("front", door.Entry, portrait))
}

// picturedAs waits for the picture of a record, and returns how large it is.
func (h *testHub) picturedAs(r door.Record) (width, height int) {
	h.tb.Helper()
	until(h.tb, "the picture of "+string(r.Kind), func() bool { return h.pictures.album.Has(r.Seq) })
	p, err := h.service.picture(context.Background(), pictureRequest{Seq: r.Seq})
	must(h.tb, err)
	c, err := jpeg.DecodeConfig(bytes.NewReader(p.Data))
	must(h.tb, err)
	return c.Width, c.Height
}

// leaves waits until nobody has been in view for so long that whoever comes is somebody new.
func (h *testHub) leaves() {
	h.tb.Helper()
	last := h.vision.placed[0].watcher.Decisions(1)[0].Track
	until(h.tb, "the doorway to be empty", func() bool {
		s, _ := h.vision.seen.Of(last)
		return time.Since(s.Taken) > 2*h.testHouse.cfg.Face.Gone
	})
}

func (h *testHub) looks(of string) []store.Look {
	h.tb.Helper()
	looks, err := h.store.Looks(context.Background(), store.LookFilter{Person: of})
	must(h.tb, err)
	return looks
}

// What a camera saw of what was seen, granted, denied or forced is kept with the record; the
// owner's word against it counts from the next look on, and a person erased leaves nothing.
func TestEvidence(t *testing.T) {
	t.Parallel()
	h := startWatched(t)
	h.shows("obama2.jpg")
	seen := h.await(door.KindSeen)
	h.enters(annPIN)
	granted := h.await(door.KindGranted)
	if seen.Person != h.ann || granted.Person != h.ann {
		t.Fatalf("seen %+v, granted %+v", seen, granted)
	}
	for _, r := range []door.Record{seen, granted} {
		if w, high := h.picturedAs(r); w != h.testHouse.cfg.Pictures.Width || high < 100 {
			t.Errorf("%s: the picture is %dx%d", r.Kind, w, high)
		}
	}
	until(t, "both looks", func() bool { return len(h.looks(h.ann)) == 2 })
	if l := h.looks(h.ann)[0]; l.Seq != seen.Seq || len(l.Near) != 1 || l.Near[0].Person != h.ann || l.Liveness != seen.Details[door.DetailLiveness] {
		t.Errorf("look %+v of %+v", l, seen)
	}
	h.shows("")
	leaf := h.doors["front"].sim
	must(t, leaf.Open())
	h.await(door.KindEntry)
	must(t, leaf.Shut())
	h.await(door.KindLocked)
	leaf.Force()
	h.picturedAs(h.await(door.KindForced)) // of nobody
	h.hub.send(door.Sensor{Sensor: h.testHouse.cfg.Sensors[0].ID, Open: true})
	h.picturedAs(h.await(door.KindIntrusion))

	h.leaves()
	_, err := h.service.notThem(t.Context(), notRequest{Seq: seen.Seq})
	must(t, err)
	h.shows("obama2.jpg")
	if r := h.await(door.KindSeen); r.Person != "" {
		t.Errorf("the same face counts as %s still: %+v", r.Person, r)
	}
	h.decides()

	theirs := h.vision.placed[0].watcher.Decisions(100)[0].Track
	_, err = h.service.removePerson(t.Context(), whoRequest{Who: h.ann})
	must(t, err)
	h.keepsNothingLate(theirs)
	for _, r := range []door.Record{seen, granted} {
		if h.pictures.album.Has(r.Seq) {
			t.Errorf("the picture of %s is there", r.Kind)
		}
	}
	// Left is the last look, at who is not Ann.
	if left, err := h.store.Looks(t.Context(), store.LookFilter{}); err != nil || slices.ContainsFunc(left, func(l store.Look) bool {
		return l.Seq <= granted.Seq || l.Person != "" || len(l.Near) != 0
	}) {
		t.Errorf("looks left: %+v, %v", left, err)
	}
}

// keepsNothingLate has a record come of a face that was in view before its owner was erased.
func (h *testHub) keepsNothingLate(track int) {
	h.tb.Helper()
	e, err := h.newEvidence()
	must(h.tb, err)
	const seq = 1 << 40
	r := door.Record{Seq: seq, Time: time.Now(), Kind: door.KindDenied, Door: "front", Side: door.Entry, Reason: door.ReasonFaceMismatch}
	if s, ok := h.vision.seen.Of(track); !ok || len(s.Picture.Faces) != 1 || s.Near[0].Person != h.ann {
		h.tb.Fatalf("what is remembered of track %d: %+v", track, s)
	}
	e.secure(soon(h.tb), door.Write{Record: r, Track: track})
	_, err = h.store.Look(context.Background(), seq)
	if !errors.Is(err, store.ErrNoLook) || h.pictures.album.Has(seq) {
		h.tb.Errorf("after the erasure: a picture %v, the look: %v", h.pictures.album.Has(seq), err)
	}
}

// decides checks the decisions that the command shows.
func (h *testHub) decides() {
	h.tb.Helper()
	raw, err := json.Marshal(decisionsRequest{Last: 100})
	must(h.tb, err)
	var made []decisionView
	must(h.tb, callDecisions(context.Background(), h.service, raw, reply{item: func(v any) error {
		made = append(made, v.(decisionView))
		return nil
	}}))
	first, last := made[0], made[len(made)-1]
	if first.Door != "front" || first.Track == 0 || first.Quality.Score <= 0 || len(first.Near) != 1 || first.Near[0].Name != "Ann" ||
		first.Near[0].Distance > 0.5 || first.Margin == nil || first.Took["find"] <= 0 || first.Took["describe"] <= 0 || first.Box[2] < 50 {
		h.tb.Errorf("the first decision: %+v", first)
	}
	if len(last.Near) != 0 || last.Time.Before(first.Time) {
		h.tb.Errorf("the last decision: %+v", last)
	}
}

// A face that nobody is known by is seen, and has a picture that names nobody.
func TestAStrangerIsPictured(t *testing.T) {
	t.Parallel()
	h := startWatched(t)
	h.shows("biden.jpg")
	seen := h.await(door.KindSeen)
	if seen.Person != "" || seen.Details[door.DetailNearest] != h.ann {
		t.Errorf("seen: %+v", seen)
	}
	h.picturedAs(seen)
	h.namesInPicture(seen)
	until(t, "the look", func() bool { l, err := h.store.Look(t.Context(), seen.Seq); return err == nil && l.Person == "" })
}

// Who is denied for a face that is somebody else's has a picture of that face, which goes with
// the person who was claimed.
func TestADeniedIsPictured(t *testing.T) {
	t.Parallel()
	h := startWatched(t, func(c *Config) { c.House.Window = 3 * time.Second })
	h.shows("biden.jpg")
	h.await(door.KindSeen)
	h.enters(annPIN)
	denied := h.await(door.KindDenied)
	if denied.Person != h.ann || denied.Reason != door.ReasonFaceMismatch {
		t.Errorf("denied: %+v", denied)
	}
	h.picturedAs(denied)
	h.namesInPicture(denied, h.ann)
	until(t, "the look", func() bool { l, err := h.store.Look(t.Context(), denied.Seq); return err == nil && l.Person == "" })
}

// namesInPicture checks whom the file of a record's picture says that it is about.
func (h *testHub) namesInPicture(r door.Record, people ...string) {
	h.tb.Helper()
	want := strings.Join(append([]string{fmt.Sprint(r.Seq), "front"}, append(people, "jpg")...), ".")
	if _, err := os.Stat(filepath.Join(h.testHouse.cfg.Data, eventsFolder, want)); err != nil {
		h.tb.Error(err)
	}
}

// A box has the name of whom the house took the face for, else of whom it would identify; a
// picture of somebody has none.
func TestWhoseABoxIs(t *testing.T) {
	e := &evidence{cfg: Defaults()}
	near := func(distance float64) []door.Match { return []door.Match{{Person: "p2", Distance: distance}} }
	of := func(reason string) door.Write {
		return door.Write{Track: 1, Record: door.Record{Kind: door.KindDenied, Person: "p1", Reason: reason}}
	}
	for name, c := range map[string]struct {
		w    door.Write
		box  face.Boxed
		want string
	}{
		"of the record":        {of(""), face.Boxed{Track: 1, Near: near(0.3)}, "p1"},
		"of another":           {of(""), face.Boxed{Track: 2, Near: near(0.3)}, "p2"},
		"of nobody known":      {of(""), face.Boxed{Track: 2, Near: near(0.52)}, ""},
		"of who was not meant": {of(door.ReasonFaceMismatch), face.Boxed{Track: 1, Near: near(0.3)}, "p2"},
		"a picture was shown":  {of(door.ReasonSpoof), face.Boxed{Track: 1, Near: near(0.3)}, ""},
		"a picture beside":     {of(""), face.Boxed{Track: 2, Near: near(0.3), Liveness: door.Spoof}, ""},
	} {
		if got := e.whose(c.w, c.box); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Pictures that are not to be kept are not, and looks are all the same.
func TestNoPicturesAreKept(t *testing.T) {
	t.Parallel()
	h := startWatched(t, func(c *Config) { c.Pictures.Keep = 0 })
	h.shows("obama2.jpg")
	seen := h.await(door.KindSeen)
	until(t, "the look", func() bool { return len(h.looks(h.ann)) == 1 })
	h.stop()
	if h.pictures.album.Has(seen.Seq) {
		t.Error("there is a picture")
	}
	if _, err := os.Stat(filepath.Join(h.testHouse.cfg.Data, eventsFolder)); !os.IsNotExist(err) {
		t.Errorf("the folder of pictures: %v", err)
	}
}
