package face

import (
	"image"
	"slices"
)

// gate tells where something moves before one camera, from small grey pictures. It holds each
// pixel against its own slow mean and against the picture before, by the noise that it usually
// has, so that neither a dark night's noise nor a light that stays on keeps it open. The zero
// value is ready.
type gate struct {
	size  image.Point
	last  []byte
	mean  []int32 // of each pixel, times gateUnit
	noise []int32 // mean absolute deviation, times gateUnit
}

const (
	gateUnit     = 256
	gateWidth    = 160 // pixels of the small picture
	gateBlock    = 8   // pixels: what moves is told in blocks
	blockEnough  = 4   // pixels of a block that must have moved
	moveLeast    = 10  // grey levels, and
	moveNoise    = 4   // times the usual noise, that a pixel must differ from its mean by
	stepNoise    = 6   // ... and from the picture before, whose noise comes on top
	meanSlow     = 32  // looks over which the mean follows what moves
	meanFast     = 8   // ... and what does not
	noiseSlow    = 32
	firstNoise   = 2    // grey levels, until it is known
	regionMargin = 1    // blocks around what moved
	wholeEnough  = 0.65 // of the picture: where more moved, all of it did
)

// look takes in the next picture and returns the regions in which something moved, in its
// pixels: all of it the first time.
func (g *gate) look(grey []byte, size image.Point) []image.Rectangle {
	whole := []image.Rectangle{{Max: size}}
	if size != g.size {
		g.begin(grey, size)
		return whole
	}
	b := newBlocks(size)
	for y := range size.Y {
		row := y * size.X
		for x := range size.X {
			if g.moved(row+x, grey[row+x]) {
				b.count(x, y)
			}
		}
	}
	copy(g.last, grey)
	regions := b.regions()
	var covered int
	for _, r := range regions {
		covered += area(r)
	}
	if float64(covered) > wholeEnough*float64(size.X*size.Y) {
		return whole
	}
	return regions
}

func (g *gate) begin(grey []byte, size image.Point) {
	*g = gate{size: size, last: slices.Clone(grey), mean: make([]int32, len(grey)), noise: make([]int32, len(grey))}
	for i, v := range grey {
		g.mean[i], g.noise[i] = int32(v)*gateUnit, firstNoise*gateUnit
	}
}

// moved judges one pixel and lets its mean and noise follow.
func (g *gate) moved(i int, v byte) bool {
	d := int32(v)*gateUnit - g.mean[i]
	off := max(d, -d)
	enough := max(moveLeast*gateUnit, moveNoise*g.noise[i])
	step := (int32(v) - int32(g.last[i])) * gateUnit
	moved := off > enough || max(step, -step) > max(moveLeast*gateUnit, stepNoise*g.noise[i])
	if off > enough {
		g.mean[i] += d / meanSlow
	} else {
		g.mean[i] += d / meanFast
	}
	g.noise[i] += (off - g.noise[i]) / noiseSlow
	return moved
}

// blocks counts the pixels that moved in each block of a picture.
type blocks struct {
	picture image.Point
	size    image.Point // blocks
	moved   []int
}

func newBlocks(picture image.Point) blocks {
	size := image.Pt((picture.X+gateBlock-1)/gateBlock, (picture.Y+gateBlock-1)/gateBlock)
	return blocks{picture, size, make([]int, size.X*size.Y)}
}

func (b blocks) count(x, y int) { b.moved[y/gateBlock*b.size.X+x/gateBlock]++ }

// regions joins neighbouring blocks in which something moved, and returns what encloses them,
// with a margin.
func (b blocks) regions() []image.Rectangle {
	var found []image.Rectangle
	for i := range b.moved {
		if r := b.spread(i); !r.Empty() {
			r = r.Inset(-regionMargin)
			r = image.Rectangle{Min: r.Min.Mul(gateBlock), Max: r.Max.Mul(gateBlock)}
			found = append(found, r.Intersect(image.Rectangle{Max: b.picture}))
		}
	}
	return joined(found)
}

// spread returns what encloses the blocks that hang together with i, and forgets them.
func (b blocks) spread(i int) (r image.Rectangle) {
	todo := []int{i}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if b.moved[i] < blockEnough {
			continue
		}
		b.moved[i] = 0
		x, y := i%b.size.X, i/b.size.X
		r = r.Union(image.Rect(x, y, x+1, y+1))
		for ny := max(y-1, 0); ny <= min(y+1, b.size.Y-1); ny++ {
			for nx := max(x-1, 0); nx <= min(x+1, b.size.X-1); nx++ {
				todo = append(todo, ny*b.size.X+nx)
			}
		}
	}
	return r
}

// joined unites rectangles that overlap, until none do.
func joined(rs []image.Rectangle) []image.Rectangle {
	for i := 0; i < len(rs); i++ {
		for j := i + 1; j < len(rs); j++ {
			if rs[i].Overlaps(rs[j]) {
				rs[i] = rs[i].Union(rs[j])
				rs = slices.Delete(rs, j, j+1)
				i, j = -1, len(rs)
			}
		}
	}
	return rs
}
