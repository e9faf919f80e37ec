//go:build vision

package face

import (
	"bufio"
	"cmp"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"
)

// peer is the Python package face_recognition in a process of its own.
type peer struct {
	b    *testing.B
	ask  *json.Encoder
	hear *bufio.Reader
}

// peerFace is one face that the peer found.
type peerFace struct {
	Width      int          `json:"width"`
	Descriptor [128]float32 `json:"descriptor"`
}

// newPeer starts the Python that DOORHUB_PEER names, or skips the benchmark.
func newPeer(b *testing.B) *peer {
	b.Helper()
	python := os.Getenv("DOORHUB_PEER")
	if python == "" {
		b.Skip("SKIPPED, there is nothing to compare with: make bench-peer installs the Python package face_recognition and sets DOORHUB_PEER")
	}
	cmd := exec.Command(python, "-W", "ignore", "testdata/peer.py")
	cmd.Env = append(os.Environ(), "OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	return &peer{b, json.NewEncoder(in), bufio.NewReader(out)}
}

// find has the peer find and describe all faces in a picture, and returns the CPU time it took.
func (p *peer) find(name string, shrink, upsample int) ([]peerFace, time.Duration) {
	p.b.Helper()
	path := filepath.Join(os.Getenv("DOORHUB_FACES"), name)
	if err := p.ask.Encode(map[string]any{"path": path, "shrink": shrink, "upsample": upsample}); err != nil {
		p.b.Fatal(err)
	}
	line, err := p.hear.ReadBytes('\n')
	if err != nil {
		p.b.Fatal("face_recognition: ", err)
	}
	var answer struct {
		Seconds float64    `json:"seconds"`
		Faces   []peerFace `json:"faces"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		p.b.Fatal(err)
	}
	return answer.Faces, time.Duration(answer.Seconds * float64(time.Second))
}

// BenchmarkPeer holds the pipeline against the Python package face_recognition on the same
// frames, in turns: CPU time, both on one thread.
func BenchmarkPeer(b *testing.B) {
	frame := decoded(b, shared(b, "crowd12.jpg"))
	p := newPeer(b)
	r := recogniser(b)
	// The peer describes all of 12 faces at either scale, and 9 of a frame of a quarter.
	for _, way := range []struct {
		name             string
		shrink, upsample int
		faces            int
	}{{"crowd", 1, 0, 12}, {"default", 1, 1, 12}, {"quarter", 4, 1, 9}} {
		b.Run(way.name, func(b *testing.B) {
			for b.Loop() {
				inTurns(b, "ms/face", peerRounds, func() float64 { return millis(firstSight(b, r, frame)) / 12 }, func() float64 {
					faces, took := p.find("crowd12.jpg", way.shrink, way.upsample)
					if len(faces) < way.faces {
						b.Fatalf("the peer finds %d faces, not %d", len(faces), way.faces)
					}
					return millis(took) / float64(len(faces))
				})
			}
		})
	}
	b.Run("standing", func(b *testing.B) {
		scenes := swaying(b, frame, 10)
		for b.Loop() {
			inTurns(b, "ms/frame", 3, func() float64 { return millis(stay(b, r, scenes)) / standingFrames }, func() float64 {
				_, took := p.find("crowd12.jpg", 1, 0)
				return millis(took)
			})
		}
	})
}

const peerRounds = 7

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// inTurns reports the medians of what ours and theirs return, and of their ratio turn by turn.
func inTurns(b *testing.B, unit string, rounds int, ours, theirs func() float64) {
	var o, t, ratio []float64
	for range rounds {
		o, t = append(o, ours()), append(t, theirs())
		ratio = append(ratio, o[len(o)-1]/t[len(t)-1])
	}
	b.ReportMetric(middle(o), "ours-"+unit)
	b.ReportMetric(middle(t), "peer-"+unit)
	b.ReportMetric(middle(ratio), "ratio")
	b.ReportMetric(0, "ns/op")
}

func middle(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

// BenchmarkPeerAccepts compares of how many pictures it is known who they show, from the other
// pictures of the same people, while nobody is taken for somebody else.
func BenchmarkPeerAccepts(b *testing.B) {
	pictures := portraitsOf(b)
	p := newPeer(b)
	r := recogniser(b)
	for b.Loop() {
		ours, theirs := map[string]Descriptor{}, map[string]Descriptor{}
		for name := range pictures {
			faces, err := r.Find(decoded(b, shared(b, name)))
			if err != nil {
				b.Fatal(err)
			}
			if len(faces) > 0 {
				ours[name] = slices.MaxFunc(faces, func(x, y Face) int { return cmp.Compare(x.Box.Dx(), y.Box.Dx()) }).Descriptor
			}
			if found, _ := p.find(name, 1, 1); len(found) > 0 {
				theirs[name] = slices.MaxFunc(found, func(x, y peerFace) int { return cmp.Compare(x.Width, y.Width) }).Descriptor
			}
		}
		mine, limit := accepts(pictures, ours)
		their, theirLimit := accepts(pictures, theirs)
		b.ReportMetric(mine, "ours-pictures")
		b.ReportMetric(their, "peer-pictures")
		b.ReportMetric(mine-their, "more")
		b.ReportMetric(limit, "ours-limit")
		b.ReportMetric(theirLimit, "peer-limit")
		b.ReportMetric(0, "ns/op")
	}
}

var portraitName = regexp.MustCompile(`^([a-z]+)[0-9]*\.jpg$`)

// portraitsOf returns the pictures in the folder of faces and whom each shows.
func portraitsOf(b *testing.B) map[string]string {
	shared(b, "crowd12.jpg") // or skip
	names, err := os.ReadDir(os.Getenv("DOORHUB_FACES"))
	if err != nil {
		b.Fatal(err)
	}
	who := map[string]string{}
	for _, n := range names {
		m := portraitName.FindStringSubmatch(n.Name())
		if m == nil || m[1] == "crowd" || m[1] == "pristin" { // many people each
			continue
		}
		who[n.Name()] = m[1]
	}
	return who
}

// accepts returns how many pictures are nearest to another one of the same person, and nearer
// than limit, below which none is nearest to one of somebody else.
func accepts(who map[string]string, described map[string]Descriptor) (right, limit float64) {
	limit = math.Inf(1)
	var near []float64 // of those that are nearest to the right one
	for name, d := range described {
		best, least := "", math.Inf(1)
		for other, o := range described {
			if apart := Distance(d, o); other != name && apart < least {
				best, least = other, apart
			}
		}
		if who[best] == who[name] {
			near = append(near, least)
		} else {
			limit = min(limit, least)
		}
	}
	for _, d := range near {
		if d < limit {
			right++
		}
	}
	return right, limit
}
