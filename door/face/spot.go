package face

import "image"

// spot is a place where a face was found, in pixels of the picture.
type spot struct {
	box   image.Rectangle // may reach over the edge
	score float64         // how sure the detector is: 0 is dlib's own threshold, 1 a clear face
	front bool            // it looks like a face from the front, neither turned nor tilted
}

// scaled returns r in a picture that is f times as large.
func scaled(r image.Rectangle, f float64) image.Rectangle {
	return image.Rectangle{Min: scaledPoint(r.Min, f), Max: scaledPoint(r.Max, f)}
}

func scaledPoint(p image.Point, f float64) image.Point {
	return image.Pt(int(float64(p.X)*f), int(float64(p.Y)*f))
}
