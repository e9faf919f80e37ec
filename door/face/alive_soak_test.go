//go:build vision

package face

import (
	"fmt"
	"hash/maphash"
	"image"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/face/dlib"
	"gocv.io/x/gocv"
)

// presentations is how many of each kind are shown: a few, or 300 in the soak, or as many as
// DOORHUB_PRESENTATIONS says.
func presentations() int {
	if n, err := strconv.Atoi(os.Getenv("DOORHUB_PRESENTATIONS")); err == nil && n > 0 {
		return n
	}
	if os.Getenv("DOORHUB_SOAK") == "1" {
		return 300
	}
	return 3
}

func everySitter(t testing.TB, r *Recogniser) []*sitter {
	t.Helper()
	files, err := portraitFiles()
	if err != nil {
		t.Fatal(err)
	}
	var all []*sitter
	for _, f := range files {
		if s, ok := sit(t, r, f); ok {
			all = append(all, &s)
		}
	}
	if len(all) == 0 {
		t.Skip("SKIPPED, liveness is untested here: no sample portraits: get them with deploy/models/fetch.sh")
	}
	t.Logf("%d portraits; DOORHUB_FACES=%q", len(all), os.Getenv("DOORHUB_FACES"))
	return all
}

// looksPerDetection is how many frames the detector's landmarks serve for.
const looksPerDetection = 4

// present shows a clip to a judge as a camera would: the real detector looks at every fourth
// frame, or when the judge asks for it.
func present(t testing.TB, r *Recogniser, c *clip, hear func(at time.Duration, e Evidence)) {
	t.Helper()
	var a Alive
	defer a.Close()
	var stream Stream
	seed := maphash.MakeSeed()
	n := 0
	c.frames(t, func(at time.Duration, frame gocv.Mat) bool {
		grey := gocv.NewMat()
		defer grey.Close()
		gocv.CvtColor(frame, &grey, gocv.ColorBGRToGray)
		v := View{Grey: grey, At: time.Unix(1e9, 0).Add(at)}
		v.Stream = hashed(t, &stream, seed, v.At, frame)
		if n%looksPerDetection == 0 || a.Landmarked() {
			v.Landmarks = landmarksIn(t, r, grey)
		}
		n++
		hear(at, a.Look(v))
		return true
	})
}

// landmarksIn looks for the face with the detector that the pipeline uses; none are returned
// unless there is exactly one face.
func landmarksIn(t testing.TB, r *Recogniser, grey gocv.Mat) (landmarks []image.Point) {
	t.Helper()
	spots, err := r.seek(grey, bounds(grey), 1, dlib.AnySize)
	if err != nil {
		t.Fatal(err)
	}
	if len(spots) != 1 {
		return nil
	}
	err = r.with(func(w *worker) (err error) {
		landmarks, err = w.finder.Place(grey, spots[0].box)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return landmarks
}

// scene makes a presentation of one kind.
func sceneOf(kind string, r *rand.Rand, sitters []*sitter) *clip {
	s := sitters[r.IntN(len(sitters))]
	switch kind {
	case "genuine":
		return genuine(r, s)
	case "eye holes":
		return mask(r, s, sitters[r.IntN(len(sitters))])
	case "frozen", "looped":
		return repeated(r, s, kind)
	case "replay":
		return replay(r, s)
	}
	return flatPhoto(r, s, kind)
}

// rate is a share with the bounds that hold in 95 of 100 cases (Clopper and Pearson, "The use
// of confidence or fiducial limits illustrated in the case of the binomial", 1934).
func rate(k, n int) string {
	low, high := 0.0, 1.0
	atMost := func(k int, p float64) float64 {
		sum := 0.0
		for i := range k + 1 {
			a, _ := math.Lgamma(float64(n + 1))
			b, _ := math.Lgamma(float64(i + 1))
			c, _ := math.Lgamma(float64(n - i + 1))
			sum += math.Exp(a - b - c + float64(i)*math.Log(p) + float64(n-i)*math.Log(1-p))
		}
		return sum
	}
	find := func(above func(p float64) bool) float64 {
		a, b := 1e-12, 1-1e-12
		for range 60 {
			if m := (a + b) / 2; above(m) {
				b = m
			} else {
				a = m
			}
		}
		return a
	}
	if k > 0 {
		low = find(func(p float64) bool { return 1-atMost(k-1, p) > 0.025 })
	}
	if k < n {
		high = find(func(p float64) bool { return atMost(k, p) < 0.025 })
	}
	return fmt.Sprintf("%d/%d = %.1f %% (95 %%: %.1f to %.1f)", k, n, 100*float64(k)/float64(n), 100*low, 100*high)
}

// TestSoakLiveness shows pictures and heads. By default a few of each kind; the rates that are
// published come from 300.
func TestSoakLiveness(t *testing.T) {
	r := recogniser(t)
	sitters := everySitter(t, r)
	n := presentations()
	for _, kind := range []string{"genuine", "flat", "tilted", "bent", "shaken", "close", "cut-out", "eye holes", "talking", "frozen", "looped"} {
		t.Run(kind, func(t *testing.T) {
			verdicts := map[door.Liveness]int{}
			for i := range n {
				random := rand.New(rand.NewPCG(uint64(i), 1))
				ever := map[door.Liveness]bool{}
				var last Evidence
				c := sceneOf(kind, random, sitters)
				present(t, r, c, func(at time.Duration, e Evidence) {
					if last = e; at >= c.judged {
						ever[e.Liveness] = true
					}
				})
				v := last.Liveness
				if wrong := map[bool]door.Liveness{true: door.Spoof, false: door.Live}[kind == "genuine"]; ever[wrong] {
					v = wrong
					t.Logf("seed %d: %s: %+v", i, wrong, last)
				}
				verdicts[v]++
			}
			t.Logf("%s: live %s, picture %s, unsure %s", kind, rate(verdicts[door.Live], n), rate(verdicts[door.Spoof], n),
				rate(n-verdicts[door.Live]-verdicts[door.Spoof], n))
			if kind == "genuine" && verdicts[door.Spoof] > n/20 {
				t.Error("more than 5 % of the heads are taken for pictures")
			}
			if kind == "genuine" && verdicts[door.Live] < n/2 {
				t.Error("fewer than half of the heads are known for heads")
			}
			if kind != "genuine" && verdicts[door.Live] > 0 {
				t.Error("a picture is taken for a head")
			}
		})
	}
}
