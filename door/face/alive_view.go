//go:build vision

package face

import (
	"image"
	"image/color"
	"math"

	"gocv.io/x/gocv"
)

// A face is followed in a picture of its own of this size, the eyes this far apart or less:
// larger ones cost more and tell little more.
const (
	workSide = 256 // pixels
	workEyes = 52  // pixels
)

// aspect is how a face is seen in a frame: what the first view shows at p is at plane(p + bow
// at p), in pixels.
type aspect struct {
	plane homography
	bow   bow
}

// faceView is a frame as it would look if the face were still seen as in the first view.
type faceView struct {
	img    gocv.Mat   // grey, workSide x workSide, contrast evened out
	x, y   gocv.Mat   // where each pixel was taken from, 32-bit
	source homography // from there to where a plane would have it in the first view
}

func (v *faceView) close() {
	v.img.Close()
	v.x.Close()
	v.y.Close()
}

// gridStep is how many pixels of a view are placed together.
const gridStep = 4

// newFaceView draws the frame (grey) as a says. toFace leads from the first view's pixels to
// places on the face.
func newFaceView(grey gocv.Mat, a aspect, toFace homography) *faceView {
	v := &faceView{img: gocv.NewMat(), x: gocv.NewMat(), y: gocv.NewMat()}
	to := a.plane
	if k := math.Sqrt(math.Abs(to[0]*to[4] - to[1]*to[3])); k > 1.5 {
		small := gocv.NewMat()
		defer small.Close()
		to = shrink(grey, to, k, &small)
		grey = small
	}
	v.source = to.inverse()
	v.place(to, a.bow, toFace)
	gocv.Remap(grey, &v.img, &v.x, &v.y, gocv.InterpolationLinear, gocv.BorderReplicate, color.RGBA{})
	even(&v.img)
	return v
}

// place says where each pixel is taken from.
func (v *faceView) place(to homography, b bow, toFace homography) {
	const n = workSide / gridStep
	gx, gy := gocv.NewMatWithSize(n, n, gocv.MatTypeCV32FC1), gocv.NewMatWithSize(n, n, gocv.MatTypeCV32FC1)
	defer gx.Close()
	defer gy.Close()
	xs, errx := gx.DataPtrFloat32()
	ys, erry := gy.DataPtrFloat32()
	if errx != nil || erry != nil {
		return // never: they were made so
	}
	fromFace := toFace.inverse()
	for j := range n {
		for i := range n {
			p := point{(float64(i)+0.5)*gridStep - 0.5, (float64(j)+0.5)*gridStep - 0.5}
			f := toFace.apply(p)
			d := b.at(f)
			q := to.apply(fromFace.apply(point{f.x + d.x, f.y + d.y}))
			xs[j*n+i], ys[j*n+i] = float32(q.x), float32(q.y)
		}
	}
	gocv.Resize(gx, &v.x, image.Pt(workSide, workSide), 0, 0, gocv.InterpolationLinear)
	gocv.Resize(gy, &v.y, image.Pt(workSide, workSide), 0, 0, gocv.InterpolationLinear)
}

// plane returns where a plane would have what is seen at p.
func (v *faceView) plane(p point) point {
	x, y := min(max(p.x, 0), workSide-1.001), min(max(p.y, 0), workSide-1.001)
	i, j := int(x), int(y)
	fx, fy := x-float64(i), y-float64(j)
	at := func(m *gocv.Mat) float64 {
		return (1-fy)*((1-fx)*float64(m.GetFloatAt(j, i))+fx*float64(m.GetFloatAt(j, i+1))) +
			fy*((1-fx)*float64(m.GetFloatAt(j+1, i))+fx*float64(m.GetFloatAt(j+1, i+1)))
	}
	return v.source.apply(point{at(&v.x), at(&v.y)})
}

// shrink draws the part of the frame that is looked at k times smaller, and returns the map
// into that: what is only picked out pixel by pixel flickers.
func shrink(grey gocv.Mat, to homography, k float64, small *gocv.Mat) homography {
	var box image.Rectangle
	for _, corner := range []point{{0, 0}, {workSide, 0}, {0, workSide}, {workSide, workSide}} {
		p := to.apply(corner)
		at := image.Pt(int(p.x), int(p.y))
		box = box.Union(image.Rectangle{at.Sub(image.Pt(2, 2)), at.Add(image.Pt(3, 3))})
	}
	if box = box.Intersect(bounds(grey)); box.Empty() {
		box = bounds(grey)
	}
	part := grey.Region(box)
	defer part.Close()
	size := image.Pt(max(1, int(float64(box.Dx())/k)), max(1, int(float64(box.Dy())/k)))
	gocv.Resize(part, small, size, 0, 0, gocv.InterpolationArea)
	kx, ky := float64(size.X)/float64(box.Dx()), float64(size.Y)/float64(box.Dy())
	return homography{kx, 0, kx*(0.5-float64(box.Min.X)) - 0.5, 0, ky, ky*(0.5-float64(box.Min.Y)) - 0.5, 0, 0, 1}.times(to)
}

// even takes slow changes of brightness out of a picture and gives it a fixed contrast, so
// that exposure and shade matter less.
func even(img *gocv.Mat) {
	const blur, contrast = 10, 28
	slow, fast, mean, deviation := gocv.NewMat(), gocv.NewMat(), gocv.NewMat(), gocv.NewMat()
	defer slow.Close()
	defer fast.Close()
	defer mean.Close()
	defer deviation.Close()
	gocv.BoxFilter(*img, &slow, -1, image.Pt(2*blur+1, 2*blur+1))
	gocv.AddWeighted(*img, 0.5, slow, -0.5, 128, &fast)
	inner := fast.Region(image.Rect(workSide/4, workSide/4, workSide*3/4, workSide*3/4))
	defer inner.Close()
	gocv.MeanStdDev(inner, &mean, &deviation)
	k := contrast / max(deviation.GetDoubleAt(0, 0), 2)
	fast.ConvertToWithParams(img, gocv.MatTypeCV8U, float32(k), float32(128-128*k))
}

// alike compares the face in two views: 1 is the same, 0 nothing in common.
func (v *faceView) alike(first gocv.Mat, eyes float64) float64 {
	half := int(0.9 * eyes)
	box := image.Rect(workSide/2-half, workSide/2-half, workSide/2+half, workSide/2+half)
	a, b := first.Region(box), v.img.Region(box)
	result, mask := gocv.NewMat(), gocv.NewMat()
	defer a.Close()
	defer b.Close()
	defer result.Close()
	defer mask.Close()
	gocv.MatchTemplate(a, b, &result, gocv.TmCcoeffNormed, mask)
	return float64(result.GetFloatAt(0, 0))
}
