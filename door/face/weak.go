package face

import "slices"

// Weakness says in one word why an enrolment is weak.
type Weakness string

// The weaknesses.
const (
	FewFaces   Weakness = "few"         // fewer than three looks
	WideSpread Weakness = "wide"        // a look far from all others
	LowQuality Weakness = "low_quality" // looks that were small, blurred, dark or turned away
)

// Weak is an enrolment by which a door may fail to know its person.
type Weak struct {
	Person  string     `json:"person"` // id
	Faces   int        `json:"faces"`
	Spread  float64    `json:"spread"`            // of the look farthest from all others; 0 with one look
	Quality float64    `json:"quality,omitempty"` // the median of those known
	Why     []Weakness `json:"why"`
}

const (
	fewFaces   = 3    // fewer do not hold the looks of a person
	wideSpread = 0.45 // the default thresholds leave little beyond it
	lowQuality = 0.35 // about that of a face of 80 pixels that is a little blurred
)

func weakness(p References) (Weak, bool) {
	w := Weak{Person: p.Person, Faces: len(p.Faces)}
	var all []Descriptor
	var quality []float64
	for _, f := range p.Faces {
		all = append(all, f.Descriptor)
		if f.Quality > 0 {
			quality = append(quality, f.Quality)
		}
	}
	if len(all) > 1 {
		for i := range all {
			w.Spread = max(w.Spread, nearestOther(all, i))
		}
	}
	if len(quality) > 0 {
		slices.Sort(quality)
		w.Quality = quality[len(quality)/2]
	}
	add := func(is bool, why Weakness) {
		if is {
			w.Why = append(w.Why, why)
		}
	}
	add(w.Faces < fewFaces, FewFaces)
	add(w.Spread > wideSpread, WideSpread)
	add(w.Quality > 0 && w.Quality < lowQuality, LowQuality)
	return w, len(w.Why) > 0
}
