package face

import (
	"image"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

var frontEntry = Place{"front", door.Entry}

func glimpse(track int, score float64) glimpsed {
	return glimpsed{Sight: Sight{Place: frontEntry, Track: track, Descriptor: at(float32(track)), Liveness: door.Live,
		Near: []door.Match{{Person: "ann", Distance: float64(track) / 10}}}, box: image.Rect(track, 0, track+10, 10), score: score}
}

// looked shows a witness one look.
func looked(w *Witness, at time.Time, faces ...glimpsed) *Picture {
	for i := range faces {
		faces[i].Taken = at
	}
	return w.note(at, frontEntry, faces)
}

func TestWitnessRemembersTheLastLook(t *testing.T) {
	now := time.Now()
	w := &Witness{}
	if _, ok := w.Of(1); ok {
		t.Error("somebody nobody has seen")
	}
	looked(w, now, glimpse(1, 0.5), glimpse(2, 0.5))
	later := glimpse(1, 0.5)
	later.Descriptor, later.Near, later.Liveness = at(9), nil, door.Spoof
	looked(w, now.Add(time.Second), later)
	got, ok := w.Of(1)
	want := later.Sight
	want.Taken, want.Picture = now.Add(time.Second), got.Picture
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Picture{})); !ok || diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, ok := w.Of(2); !ok || got.Descriptor != at(2) {
		t.Errorf("who has left: %v, %+v", ok, got)
	}
}

// A picture is due for a new face, a clearly better look, and once the last is some seconds old;
// one serves all faces in it that had none as good.
func TestWitnessTakesFewPictures(t *testing.T) {
	now := time.Now()
	w := &Witness{}
	first := looked(w, now, glimpse(1, 0.4))
	want := []Boxed{{Box: image.Rect(1, 0, 11, 10), Track: 1, Near: []door.Match{{Person: "ann", Distance: 0.1}}, Liveness: door.Live}}
	if first == nil {
		t.Fatal("no picture of a new face")
	}
	if diff := cmp.Diff(want, first.Faces); diff != "" {
		t.Errorf("faces (-want +got):\n%s", diff)
	}
	picture := func(track int) *Picture { s, _ := w.Of(track); return s.Picture }
	for name, c := range map[string]struct {
		after time.Duration
		score float64
		due   bool
	}{
		"as good": {time.Second, 0.4, false}, "a little better": {time.Second, 0.49, false},
		"clearly better": {time.Second, 0.51, true}, "worse, later": {pictureFor + 1, 0.1, true},
	} {
		w = &Witness{}
		first = looked(w, now, glimpse(1, 0.4))
		next := looked(w, now.Add(c.after), glimpse(1, c.score))
		if (next != nil) != c.due || next != nil && picture(1) != next || next == nil && picture(1) != first {
			t.Errorf("%s: due %v", name, next != nil)
		}
	}
	w = &Witness{}
	first = looked(w, now, glimpse(1, 0.4))
	both := looked(w, now.Add(time.Second), glimpse(1, 0.4), glimpse(2, 0.4))
	if both == nil || picture(1) != first || picture(2) != both || len(both.Faces) != 2 {
		t.Error("a new face beside one with a picture")
	}
	if looked(w, now.Add(time.Second)) != nil {
		t.Error("a picture of nobody")
	}
	if (*Witness)(nil).note(now, frontEntry, []glimpsed{glimpse(1, 1)}) != nil {
		t.Error("a picture for no witness")
	}
}

func TestWitnessForgets(t *testing.T) {
	now := time.Now()
	w := &Witness{}
	for track := 1; track <= sightsKept+10; track++ {
		looked(w, now, glimpse(track, 1))
	}
	looked(w, now, glimpse(11, 1)) // who is still there is not the first to go
	looked(w, now, glimpse(sightsKept+11, 1))
	for track, want := range map[int]bool{10: false, 11: true, 12: false, 13: true, sightsKept + 11: true} {
		if _, ok := w.Of(track); ok != want {
			t.Errorf("track %d: remembered %v", track, ok)
		}
	}
	looked(w, now.Add(sightFor+time.Second), glimpse(999, 1))
	if _, ok := w.Of(13); ok {
		t.Error("remembered for too long")
	}
}
