package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face"
)

type decisionsRequest struct {
	Last int `json:"last"`
}

// decisionView is what became of one face in one look at a frame.
type decisionView struct {
	Time     time.Time      `json:"time,omitzero"`
	Door     string         `json:"door,omitempty"`
	Side     door.Side      `json:"side,omitempty"`
	Track    int            `json:"track,omitempty"` // 0: it was no face
	Box      [4]int         `json:"box"`             // left, top, width, height in pixels of the frame
	Score    float64        `json:"score"`           // of the detector
	Quality  qualityView    `json:"quality"`
	Why      face.Why       `json:"why"` // it was described, or not
	Looks    int            `json:"looks"`
	Settled  bool           `json:"settled"` // they are enough to tell who it is
	Near     []nearView     `json:"near,omitempty"`
	Margin   *float64       `json:"margin,omitempty"` // of the nearest to the next, else to the limit
	Liveness door.Liveness  `json:"liveness"`
	Alive    *aliveView     `json:"alive,omitempty"` // what it was judged by, where it is judged
	Faces    int            `json:"faces"`           // in the frame
	Over     int            `json:"over,omitempty"`
	Took     map[string]int `json:"took_us"` // microseconds
}

type qualityView struct {
	Score     float64 `json:"score"`
	Size      float64 `json:"size"`
	Sharpness float64 `json:"sharpness"`
	Light     float64 `json:"light"`
	Pose      float64 `json:"pose"`
}

// aliveView is what a face's motion tells. Angles are degrees.
type aliveView struct {
	Reason  face.Cause `json:"reason"`
	Turned  float64    `json:"turned"`  // the farthest that was judged
	Relief  float64    `json:"relief"`  // that no bent sheet has, in eye distances
	Plane   float64    `json:"plane"`   // pixels that a plane leaves unexplained
	Bend    float64    `json:"bend"`    // ... and a bent sheet
	Noise   float64    `json:"noise"`   // ... and the error of tracking
	Points  int        `json:"points"`  // followed
	For     int        `json:"for"`     // looks that spoke for a head
	Against int        `json:"against"` // ... and for a picture
}

type nearView struct {
	Person   string  `json:"person"`
	Name     string  `json:"name,omitempty"`
	Distance float64 `json:"distance"`
}

// callDecisions answers with the newest decisions, the newest last.
func callDecisions(ctx context.Context, s *service, raw json.RawMessage, to reply) error {
	req, err := decode[decisionsRequest](raw)
	if err != nil {
		return err
	}
	if s.decisions == nil {
		return errNoHub
	}
	if req.Last < 1 {
		return fmt.Errorf("last %d: ask for 1 decision or more", req.Last)
	}
	made, err := s.decisions(req.Last)
	if err != nil {
		return err
	}
	people, err := s.store.People(ctx)
	if err != nil {
		return err
	}
	var ns names
	ns.set(people)
	for _, d := range made {
		if err := to.item(viewDecision(d, &ns)); err != nil {
			return err
		}
	}
	return nil
}

func viewDecision(d face.Decision, ns *names) decisionView {
	q := d.Quality
	v := decisionView{Door: d.Place.Door, Side: d.Place.Side, Track: d.Track,
		Box: [4]int{d.Box.Min.X, d.Box.Min.Y, d.Box.Dx(), d.Box.Dy()}, Score: d.Score,
		Quality: qualityView{q.Score(), q.Size, q.Sharpness, q.Light, q.Pose}, Why: d.Why, Looks: d.Looks, Settled: d.Settled,
		Liveness: d.Liveness, Faces: d.Faces, Over: d.Over,
		Took: tookView(d.Took)}
	if !d.Taken.IsZero() {
		v.Time = d.Taken.UTC()
	}
	for _, m := range d.Near {
		v.Near = append(v.Near, nearView{m.Person, ns.of(m.Person), m.Distance})
	}
	if _, margin, ok := d.Best(); ok {
		v.Margin = &margin
	}
	if e := d.Alive; e.Liveness != "" {
		v.Alive = &aliveView{e.Reason, e.Turned, e.Relief, e.Plane, e.Bend, e.Noise, e.Points, e.For, e.Against}
	}
	return v
}

// tookView is how long the stages of a look took, in microseconds.
func tookView(s face.Stages) map[string]int {
	took := map[string]int{}
	for name, d := range map[string]time.Duration{"gate": s.Gate, "find": s.Find, "measure": s.Measure, "describe": s.Describe, "match": s.Match} {
		took[name] = int(d.Microseconds())
	}
	return took
}
