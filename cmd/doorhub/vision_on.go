//go:build vision

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/camera"
	"github.com/doorhub/doorhub/door/face"
	"github.com/doorhub/doorhub/door/store"
)

const hasVision = true

// vision is what sees faces: one recogniser, one gallery, and a watcher for each camera.
type vision struct {
	cfg     Config
	gallery face.Gallery
	seen    face.Witness
	store   *store.Store
	players map[string]*camera.Player // by door/side; of the demo
	watched []func() eye
	lenses  map[string]*lens // by door/side; the first camera there
	alone   bool             // no hub runs: cameras are opened when they are needed
	placed  []placed

	mu     sync.Mutex
	rec    *face.Recogniser
	judges map[string][]*face.AttackDetector // by door/side, one for each camera
}

// recogniser loads the models when they are first needed.
func (v *vision) recogniser() (*face.Recogniser, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.rec == nil {
		rec, err := face.NewRecogniser(v.cfg.Face)
		if err != nil {
			return nil, err
		}
		v.rec = rec
	}
	return v.rec, nil
}

func (v *vision) close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.rec != nil {
		v.rec.Close()
	}
	return nil
}

// reload takes the faces anew from the store. One that cannot be read costs nobody else.
func (v *vision) reload(ctx context.Context) error {
	faces, err := v.store.Faces(ctx)
	looks, err2 := v.store.Looks(ctx, store.LookFilter{Wrong: true})
	return errors.Join(err, err2, v.gallery.Replace(withWrong(enrolled(faces), looks)))
}

// withWrong adds the looks that were taken for people and are not theirs.
func withWrong(people []face.Enrolled, wrong []store.Look) []face.Enrolled {
	for i := range people {
		for _, l := range wrong {
			if l.Person == people[i].Person {
				people[i].Not = append(people[i].Not, l.Descriptor)
			}
		}
	}
	return people
}

func enrolled(faces []store.PersonFace) []face.Enrolled {
	var people []face.Enrolled
	at := map[string]int{}
	for _, f := range faces {
		i, ok := at[f.Person]
		if !ok {
			i = len(people)
			at[f.Person] = i
			people = append(people, face.Enrolled{Person: f.Person})
		}
		people[i].Descriptors = append(people[i].Descriptors, f.Descriptor)
	}
	return people
}

// Enrol judges pictures against everybody known.
func (v *vision) Enrol(who string, pictures []picture, known []store.PersonFace) ([]pictureResult, error) {
	rec, g, err := v.ready(known)
	if err != nil {
		return nil, err
	}
	data := make([][]byte, len(pictures))
	for i, p := range pictures {
		data[i] = p.Data
	}
	e, err := rec.Enrol(who, data, g, v.cfg.House.Identify)
	if err != nil {
		return nil, err
	}
	return pictureResults(pictures, e), nil
}

// Explain tells what a camera would make of a picture.
func (v *vision) Explain(p picture, known []store.PersonFace, wrong []store.Look) (face.Explanation, error) {
	rec, err := v.recogniser()
	if err != nil {
		return face.Explanation{}, err
	}
	var g face.Gallery
	if err := g.Replace(withWrong(enrolled(known), wrong)); err != nil {
		return face.Explanation{}, err
	}
	return rec.Explain(p.Data, &g)
}

// ready is what an enrolment needs.
func (v *vision) ready(known []store.PersonFace) (*face.Recogniser, *face.Gallery, error) {
	rec, err := v.recogniser()
	if err != nil {
		return nil, nil, err
	}
	g := new(face.Gallery)
	return rec, g, g.Replace(enrolled(known))
}

func pictureResults(pictures []picture, e face.Enrolment) []pictureResult {
	results := make([]pictureResult, len(pictures))
	for i, p := range pictures {
		results[i].Name = p.Name
		seen := e.Portraits[i]
		if seen.Faces > 0 {
			results[i].Quality = &seen.Measure
		}
		if seen.Other.Person != "" {
			results[i].Other = &otherView{whoView{ID: seen.Other.Person}, seen.Other.Distance}
		}
	}
	for _, r := range e.Refused {
		results[r.Picture-1].Refused, results[r.Picture-1].Reason = r.Detail, r.Reason
	}
	next := 0
	for i := range results {
		if results[i].Refused == "" && next < len(e.Descriptors) {
			results[i].Face = &store.Face{Descriptor: e.Descriptors[next], Source: results[i].Name, Quality: e.Portraits[i].Score}
			next++
		}
	}
	return results
}

// openVision watches the faces before every camera. Missing models or cameras keep no door
// from its other factors: they are told as problems.
func (h *hub) openVision(ctx context.Context) error {
	h.vision = &vision{cfg: h.cfg, store: h.store, players: map[string]*camera.Player{}, lenses: map[string]*lens{}, judges: map[string][]*face.AttackDetector{}}
	h.undo.add("vision", h.vision.close)
	h.reloadFaces(ctx)
	e, err := h.newEvidence()
	if err != nil {
		return err
	}
	var numbers face.Numbers
	for _, d := range h.cfg.Doors {
		for i := range d.Cameras {
			if err := h.watchCamera(ctx, d, i, &numbers); err != nil {
				return fmt.Errorf("door %s: camera: %w", d.ID, err)
			}
		}
	}
	e.watchers = h.vision.placed
	h.spawn(ctx, "evidence", e.run)
	if h.panel != nil && h.cfg.Pictures.Show {
		h.spawn(ctx, "stills", h.tellStills)
	}
	return nil
}

// newEvidence begins to collect what records came of.
func (h *hub) newEvidence() (*evidence, error) {
	pen, err := face.NewPen()
	e := &evidence{cfg: h.cfg, seen: &h.vision.seen, pen: pen, store: h.store, pictures: h.pictures, names: &h.names, clock: h.clock,
		log: h.log.With("component", "evidence"), queue: make(chan door.Write, evidenceQueue)}
	h.watchWrites(e.wrote)
	return e, err
}

func (h *hub) watchCamera(ctx context.Context, d Door, i int, numbers *face.Numbers) error {
	c := d.Cameras[i]
	place := door.Vision{Door: d.ID, Side: c.Side, Camera: d.nthOnSide(i)}
	report := func(reason, detail string) {
		v := place
		v.Reason, v.Detail = reason, detail
		h.send(v)
	}
	rec, err := h.vision.recogniser()
	if errors.Is(err, face.ErrModels) {
		h.log.Warn("no faces", "component", "vision", "door", d.ID, "error", err)
		report("no_models", err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	l := newLens(d.ID, c.Side)
	cam, err := h.openCamera(d, c, l.hears(report))
	if err != nil {
		return err
	}
	h.vision.mount(l, cam)
	h.undo.add("camera", cam.Close)
	w := face.NewWatcher(h.cfg.Face, face.Place{Door: d.ID, Side: c.Side}, rec, &h.vision.gallery, numbers, h.send)
	if h.cfg.House.JudgesLiveness() {
		w.JudgeBy(h.vision.newJudge(d.ID, c.Side, h.send))
	}
	w.WitnessedBy(&h.vision.seen, h.cfg.pictureWidth())
	h.vision.placed = append(h.vision.placed, placed{d.ID, c.Side, w})
	h.vision.watched = append(h.vision.watched, func() eye { return eye{place, cam.Count(), w.Looks()} })
	h.spawn(ctx, "faces", func(ctx context.Context) { face.Watch(ctx, w, cam.Frames()) })
	return nil
}

func (h *hub) openCamera(d Door, c Camera, report func(reason, detail string)) (*camera.Camera, error) {
	if !h.cfg.demo {
		return camera.Open(c.Config, report)
	}
	p, err := camera.OpenPlayer(c.Config, report)
	if err != nil {
		return nil, err
	}
	h.vision.players[d.ID+"/"+string(c.Side)] = p
	return p.Camera, nil
}

// newJudge makes one that the house can ask.
func (v *vision) newJudge(doorID string, side door.Side, send func(door.Input)) *face.AttackDetector {
	judge, at := face.NewAttackDetector(send), doorID+"/"+string(side)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.judges[at] = append(v.judges[at], judge)
	return judge
}

// ask has a face watched for a turn of the head.
func (v *vision) ask(w door.Watch) {
	v.mu.Lock()
	judges := v.judges[w.Door+"/"+string(w.Side)]
	v.mu.Unlock()
	for _, judge := range judges {
		judge.Ask(w)
	}
}

// eyes are the cameras as they fare. It must not be called before all are open.
func (v *vision) eyes() []eye {
	var all []eye
	for _, look := range v.watched {
		all = append(all, look())
	}
	return all
}

// decisions are the newest n of all cameras, the newest last; n is 1 or more.
func (h *hub) decisions(n int) ([]face.Decision, error) {
	var all []face.Decision
	for _, p := range h.vision.placed {
		all = append(all, p.watcher.Decisions(n)...)
	}
	slices.SortStableFunc(all, func(a, b face.Decision) int { return a.Taken.Compare(b.Taken) })
	return all[max(0, len(all)-n):], nil
}

// stage puts a portrait before a camera of the demo; "" clears the doorway.
func (v *vision) stage(doorID string, side door.Side, name string) error {
	p := v.players[doorID+"/"+string(side)]
	switch {
	case p == nil:
		return fmt.Errorf("door %s has no camera on its %s side", doorID, side)
	case name == "":
		p.Clear()
		return nil
	}
	return p.Show(name)
}

func (h *hub) enroller() (enroller, error) {
	_, err := h.vision.recogniser()
	return h.vision, err
}

// newEnroller is for commands that find no hub running.
func newEnroller(cfg Config) (enroller, error) {
	v := &vision{cfg: cfg, alone: true}
	_, err := v.recogniser()
	return v, err
}
