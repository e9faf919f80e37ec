package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/store"
)

// looking is an enroller that sees given looks, and then fails.
type looking struct {
	looks []face.Guided
	err   error
}

func (looking) Enrol(string, []picture, []store.PersonFace) ([]pictureResult, error) { return nil, nil }

func (looking) Explain(picture, []store.PersonFace, []store.Look) (face.Explanation, error) {
	return face.Explanation{}, nil
}

func (l looking) Guide(_ context.Context, _ guideOrder, _ []store.PersonFace, tell func(face.Guided)) ([]picture, []pictureResult, error) {
	for _, g := range l.looks {
		tell(g)
	}
	return nil, nil, l.err
}

// The door says how to hold the head, once for each pose, and is ready again when it ends.
func TestThePromptSaysWhichPoseIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	must(t, store.CreateKey(dir))
	st, err := store.Open(dir)
	must(t, err)
	defer st.Close()
	_, err = st.AddPerson(t.Context(), "Ann", nil, nil)
	must(t, err)
	cfg := Defaults()
	front := doorDefaults()
	front.ID, front.Cameras = "front", []Camera{{Side: door.Exit}}
	cfg.Doors = []Door{front}
	ended := errors.New("ended")
	eyes := looking{[]face.Guided{{Pose: face.PoseStraight}, {Pose: face.PoseStraight, Taken: true}, {Pose: face.PoseLeft}, {Pose: face.PoseRight}}, ended}
	var said []door.Prompt
	s := &service{cfg: cfg, store: st, faces: func() (enroller, error) { return eyes, nil }, say: func(p door.Prompt) { said = append(said, p) }}
	_, err = s.guide(t.Context(), guideRequest{Who: "Ann", Camera: "front", Poses: face.Poses(), Patience: time.Minute, faceTerms: faceTerms{Consent: true}}, func(face.Guided) {})
	if !errors.Is(err, ended) {
		t.Error(err)
	}
	var want []door.Prompt
	for _, say := range []door.Saying{door.SayFace, door.SayLeft, door.SayRight, door.SayReady} {
		want = append(want, door.Prompt{Door: "front", Side: door.Exit, Say: say})
	}
	if d := cmp.Diff(want, said); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if _, err = s.guide(t.Context(), guideRequest{Who: "Ann", Camera: "front", Poses: face.Poses(), Patience: time.Minute}, nil); !errors.Is(err, errNoConsent) {
		t.Errorf("without consent: %v", err)
	}
}
