//go:build vision

package face

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"unicode"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// Pen draws faces' boxes and names into pictures. It may be used from any goroutine.
type Pen struct{ font *sfnt.Font }

// NewPen returns a pen that writes Latin, Greek and Cyrillic.
func NewPen() (*Pen, error) {
	f, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, fmt.Errorf("the font that names are drawn in: %w", err)
	}
	return &Pen{f}, nil
}

// Writes reports whether the pen has every letter of a text.
func (p *Pen) Writes(text string) bool {
	var buf sfnt.Buffer
	for _, r := range text {
		if i, err := p.font.GlyphIndex(&buf, r); i == 0 && !unicode.IsSpace(r) || err != nil {
			return false
		}
	}
	return true
}

const (
	drawnQuality = 85 // of the JPEG
	letters      = 22 // pictures are so many letters high
	leastLetters = 13 // pixels
)

// Draw puts pictures below one another in a JPEG file, a box around each face and what label
// says of it on the box, "" for nothing. It waits for pictures that are still being taken, and
// leaves out those that could not be; with none left it returns ErrNoPicture.
func (p *Pen) Draw(ctx context.Context, pictures []*Picture, label func(Boxed) string) ([]byte, error) {
	var drawn []*image.RGBA
	var size image.Point
	for _, pic := range pictures {
		img, err := pic.decode(ctx)
		if err != nil {
			return nil, err
		}
		if img == nil {
			continue
		}
		if err := p.mark(img, pic, label); err != nil {
			return nil, err
		}
		drawn = append(drawn, img)
		size = image.Pt(max(size.X, img.Rect.Dx()), size.Y+img.Rect.Dy())
	}
	if len(drawn) == 0 {
		return nil, ErrNoPicture
	}
	var out bytes.Buffer
	err := jpeg.Encode(&out, stacked(drawn, size), &jpeg.Options{Quality: drawnQuality})
	return out.Bytes(), err
}

func stacked(parts []*image.RGBA, size image.Point) image.Image {
	if len(parts) == 1 {
		return parts[0]
	}
	all, y := image.NewRGBA(image.Rectangle{Max: size}), 0
	for _, img := range parts {
		draw.Draw(all, img.Rect.Add(image.Pt(0, y)), img, image.Point{}, draw.Src)
		y += img.Rect.Dy()
	}
	return all
}

// decode returns nil for a picture that could not be taken.
func (p *Picture) decode(ctx context.Context) (*image.RGBA, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.jpeg == nil {
		return nil, nil
	}
	img, err := jpeg.Decode(bytes.NewReader(p.jpeg))
	if err != nil {
		return nil, err
	}
	out := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
	return out, nil
}

// mark draws the boxes, and then the names, so that no box crosses a name.
func (p *Pen) mark(img *image.RGBA, pic *Picture, label func(Boxed) string) error {
	scale := float64(img.Rect.Dx()) / float64(max(1, pic.size.X))
	face, err := opentype.NewFace(p.font, &opentype.FaceOptions{
		Size: float64(max(leastLetters, img.Rect.Dy()/letters)), DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return err
	}
	defer face.Close()
	named, other := color.RGBA{60, 200, 90, 255}, color.RGBA{235, 180, 50, 255}
	names := make([]string, len(pic.Faces))
	for i, f := range pic.Faces {
		ink := other
		if names[i] = label(f); names[i] != "" {
			ink = named
		}
		frame(img, scaled(f.Box, scale), max(2, img.Rect.Dx()/320), ink)
	}
	for i, f := range pic.Faces {
		if names[i] != "" {
			write(img, face, scaled(f.Box, scale), names[i], named)
		}
	}
	return nil
}

// frame draws the edges of a box, so thick.
func frame(img draw.Image, box image.Rectangle, thick int, ink color.Color) {
	inner := box.Inset(thick)
	for _, edge := range []image.Rectangle{
		{Min: box.Min, Max: image.Pt(box.Max.X, inner.Min.Y)}, {Min: image.Pt(box.Min.X, inner.Max.Y), Max: box.Max},
		{Min: box.Min, Max: image.Pt(inner.Min.X, box.Max.Y)}, {Min: image.Pt(inner.Max.X, box.Min.Y), Max: box.Max},
	} {
		draw.Draw(img, edge, image.NewUniform(ink), image.Point{}, draw.Src)
	}
}

// write writes a name above a box, or where there is no room, into it; never over the edge.
func write(img draw.Image, face font.Face, box image.Rectangle, name string, ground color.Color) {
	m := face.Metrics()
	high := m.Height.Ceil()
	wide := font.MeasureString(face, name).Ceil() + high/2
	at := image.Pt(box.Min.X, box.Min.Y-high)
	at.X = max(0, min(at.X, img.Bounds().Dx()-wide))
	if at.Y < 0 {
		at.Y = max(0, box.Min.Y)
	}
	plate := image.Rectangle{Min: at, Max: at.Add(image.Pt(wide, high))}
	draw.Draw(img, plate, image.NewUniform(ground), image.Point{}, draw.Src)
	d := font.Drawer{Dst: img, Src: image.Black, Face: face,
		Dot: fixed.Point26_6{X: fixed.I(at.X + high/4), Y: fixed.I(at.Y) + m.Ascent}}
	d.DrawString(name)
}
