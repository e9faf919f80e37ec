//go:build vision

package face

import (
	"context"
	"errors"
	"image"

	"gocv.io/x/gocv"

	"github.com/doorhub/doorhub/door"
)

// ErrNoPicture says that no picture could be taken of what is before a camera.
var ErrNoPicture = errors.New("no picture: the camera shows nothing that faces can be looked for in")

// WitnessedBy has the faces remembered by a witness that all watchers share, with pictures
// scaled down to a width in pixels; with 0 none are taken. It must be called before Watch.
func (w *Watcher) WitnessedBy(all *Witness, width int) { w.witness, w.width = all, width }

// Picture takes a picture of what is before the camera now, faces or not: of the next frame in
// which faces are looked for.
func (w *Watcher) Picture(ctx context.Context) (*Picture, error) {
	answer := make(chan *Picture, 1)
	select {
	case w.asked <- answer:
	case <-ctx.Done():
		return nil, ErrNoPicture
	}
	select {
	case p := <-answer:
		return p, nil
	case <-ctx.Done():
		return nil, ErrNoPicture
	}
}

// notes tells the witness of a look and returns the picture to be taken, if any.
func (w *Watcher) notes(l *look, faces []*candidate, followed []*track) *Picture {
	place := w.follow.place
	var all []glimpsed
	for i, t := range followed {
		g := glimpsed{box: t.box, score: faces[i].quality.Score()}
		g.Place, g.Track, g.Taken, g.Liveness = place, t.number, l.now, door.Unjudged
		if live, ok := w.live[t.number]; ok {
			g.Liveness = live.Liveness
		}
		if t.told {
			g.Descriptor, g.Near = t.template.mean(), t.near
		}
		all = append(all, g)
	}
	pic := w.witness.note(l.now, place, all)
	for len(w.asked) > 0 && !l.view.empty() {
		if pic == nil {
			pic = newPicture(l.now, place, all)
		}
		(<-w.asked) <- pic
	}
	return pic
}

// take makes the picture of a frame.
func (p *Picture) take(img gocv.Mat, width int) {
	if p == nil {
		return
	}
	defer close(p.done)
	if width == 0 {
		return
	}
	p.size = bounds(img).Size()
	scale := min(1, float64(width)/float64(img.Cols()))
	small := gocv.NewMat()
	defer small.Close()
	gocv.Resize(img, &small, image.Pt(max(1, int(float64(p.size.X)*scale)), max(1, int(float64(p.size.Y)*scale))), 0, 0, interpolation(scale))
	buf, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, small, []int{gocv.IMWriteJpegQuality, jpegQuality})
	if err != nil {
		return
	}
	defer buf.Close()
	p.jpeg = append([]byte(nil), buf.GetBytes()...)
}
