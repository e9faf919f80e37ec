package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face"
)

type guideRequest struct {
	Who      string        `json:"who"`
	Camera   string        `json:"camera"` // of a door, or of door/side
	Poses    []face.Pose   `json:"poses"`
	Patience time.Duration `json:"patience"` // for each pose
	faceTerms
}

// guideOrder is a guided enrolment that was found to be possible.
type guideOrder struct {
	person   string // id
	door     string
	side     door.Side
	poses    []face.Pose
	patience time.Duration
}

// guideLine is one thing to tell whoever guides: a look, or in the end what became of a pose.
type guideLine struct {
	Look   *guideLook     `json:"look,omitempty"`
	Result *pictureResult `json:"result,omitempty"`
}

// guideLook is a look with what is to be said of it.
type guideLook struct {
	face.Guided
	Say string `json:"say"`
}

const (
	leastPatience = 3 * time.Second // loading a camera takes some
	mostPatience  = 10 * time.Minute
)

var errStopping = errors.New("the hub is stopping: nothing was enrolled")

func callGuide(ctx context.Context, s *service, raw json.RawMessage, to reply) error {
	req, err := decode[guideRequest](raw)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.stopping:
			cancel(errStopping)
		case <-ctx.Done():
		}
	}()
	results, err := s.guide(ctx, req, func(g face.Guided) {
		if err := to.live(guideLine{Look: &guideLook{g, g.Hint.Words(g.Pose)}}); err != nil {
			cancel(err) // nobody listens any more
		}
	})
	for i := range results {
		err = errors.Join(err, to.item(guideLine{Result: &results[i]}))
	}
	return err
}

// guide enrols somebody's face before a door's camera. What is seen is told look by look; the
// door's prompt says which pose is asked for.
func (s *service) guide(ctx context.Context, req guideRequest, tell func(face.Guided)) ([]pictureResult, error) {
	o, err := s.guideOrder(ctx, req)
	if err != nil {
		return nil, err
	}
	vision, err := s.faces()
	if err != nil {
		return nil, err
	}
	known, err := s.knownFaces(ctx)
	if err != nil {
		return nil, err
	}
	asked := face.Pose("")
	pictures, results, err := vision.Guide(ctx, o, known, func(g face.Guided) {
		if g.Pose != asked {
			s.asks(o, g.Pose)
			asked = g.Pose
		}
		tell(g)
	})
	s.asks(o, "")
	if err != nil {
		return nil, err
	}
	if refused := slices.DeleteFunc(slices.Clone(results), func(r pictureResult) bool { return r.Refused == "" }); len(refused) > 0 {
		return refused, errors.Join(s.compareOthers(ctx, refused), errNoPose)
	}
	return results, s.takeFaces(ctx, o.person, pictures, results, req.Keep, door.Record{Door: o.door, Side: o.side})
}

// errNoPose ends a guided enrolment whose poses do not count together.
var errNoPose = errors.New("nothing was enrolled: see the reasons above")

// asks shows at the door how the head is to be held; "" ends it.
func (s *service) asks(o guideOrder, p face.Pose) {
	if s.say == nil {
		return
	}
	say := map[face.Pose]door.Saying{face.PoseStraight: door.SayFace, face.PoseLeft: door.SayLeft, face.PoseRight: door.SayRight, "": door.SayReady}[p]
	s.say(door.Prompt{Door: o.door, Side: o.side, Say: say})
}

func (s *service) guideOrder(ctx context.Context, req guideRequest) (guideOrder, error) {
	p, err := s.store.FindPerson(ctx, req.Who)
	if err != nil {
		return guideOrder{}, err
	}
	o := guideOrder{person: p.ID, poses: req.Poses, patience: req.Patience}
	if o.door, o.side, err = s.cfg.cameraOf(req.Camera); err != nil {
		return o, err
	}
	if err := checkPoses(req.Poses); err != nil {
		return o, err
	}
	if req.Patience < leastPatience || req.Patience > mostPatience {
		return o, fmt.Errorf("patience %s: use %s to %s for each pose", req.Patience, leastPatience, mostPatience)
	}
	if !req.Consent {
		return o, errNoConsent
	}
	return o, nil
}

func checkPoses(poses []face.Pose) error {
	for i, p := range poses {
		if !slices.Contains(face.Poses(), p) || slices.Contains(poses[:i], p) {
			return fmt.Errorf("pose %.40q: use each of straight, left and right at most once", p)
		}
	}
	if len(poses) == 0 {
		return errors.New("no pose: use straight, left and right")
	}
	return nil
}

// cameraOf finds the door and the side that a camera is named by: "front" is the camera outside
// the front door if there is one, "front/exit" the one inside.
func (c Config) cameraOf(name string) (doorID string, side door.Side, err error) {
	doorID, wanted, given := strings.Cut(name, "/")
	var there []string
	for _, d := range c.Doors {
		for _, cam := range d.Cameras {
			there = append(there, d.ID+"/"+string(cam.Side))
		}
	}
	sides := []door.Side{door.Entry, door.Exit}
	if given {
		sides = []door.Side{door.Side(wanted)}
	}
	for _, side := range sides {
		if slices.Contains(there, doorID+"/"+string(side)) {
			return doorID, side, nil
		}
	}
	if len(there) == 0 {
		return "", "", errors.New("no door has a camera: name one in the config, under doors, cameras")
	}
	slices.Sort(there)
	return "", "", fmt.Errorf("there is no camera %.40q: use one of %s", name, strings.Join(slices.Compact(there), ", "))
}
