//go:build vision

package main

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

// withCamera puts a camera outside the front door.
func withCamera(source string) func(*Config) {
	return func(c *Config) {
		cam := cameraDefaults()
		cam.Source = source
		c.Doors[0].Cameras = []Camera{cam}
	}
}

func (h *testHub) awaitVision(reason string) door.Record {
	h.tb.Helper()
	return h.records.next(h.tb, reason, func(r door.Record) bool {
		return r.Kind == door.KindProblem && strings.HasPrefix(r.Details[door.DetailPart], "vision/front") && (reason == "" || r.Reason == reason)
	})
}

// Without models the hub says how to get them, and opens by what it has.
func TestNoModels(t *testing.T) {
	h := startTestHub(t, withCamera(portraits()), func(c *Config) { c.Face.Models = t.TempDir() })
	r := h.awaitVision("no_models")
	if !strings.Contains(r.Details[door.DetailText], "make models") {
		t.Errorf("the problem does not say what to do: %+v", r)
	}
	h.enters(annPIN)
	if r := h.await(door.KindGranted); r.Person != h.ann {
		t.Errorf("granted: %+v", r)
	}
}

// Where the policy asks for a face, a hub that cannot see opens to nobody and says why.
func TestNoModelsAndFaceNeeded(t *testing.T) {
	h := startTestHub(t, withCamera(portraits()), func(c *Config) {
		c.Face.Models = t.TempDir()
		c.House.Policy = []door.Set{door.SetOf(door.PIN, door.FaceID)}
		c.House.Window = time.Second
	})
	h.awaitVision("no_models")
	h.enters(annPIN)
	if r := h.await(door.KindDenied); r.Reason != door.ReasonNoVision || r.Person != h.ann {
		t.Errorf("denied: %+v", r)
	}
	if h.doors["front"].sim.Energised() || slices.Contains(kinds(h.records.seen()), door.KindGranted) {
		t.Error("the door was opened")
	}
}

// A camera that is not there, or answers nothing, is a problem; the hub is up and stops.
func TestCameraThatIsNotThere(t *testing.T) {
	needPictures(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { silent.Close() })
	for name, source := range map[string]string{
		"device": filepath.Join("/dev", "video63"), "file": filepath.Join(t.TempDir(), "none.mp4"),
		"nobody there": "http://" + freeAddr(t) + "/stream", "says nothing": "http://" + silent.Addr().String() + "/stream",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startTestHub(t, withCamera(source))
			h.enters(annPIN)
			h.await(door.KindGranted)
			r := h.records.next(t, "the camera's problem", func(r door.Record) bool {
				return r.Kind == door.KindProblem && r.Door == "front"
			})
			if !strings.HasPrefix(r.Reason, "camera_") {
				t.Errorf("problem: %+v", r)
			}
			until(t, "blindness", func() bool { return h.blind("front") })
		})
	}
}

// Of two cameras outside one that sees is enough: no fallback opens before both are lost.
func TestOneCameraOfTwo(t *testing.T) {
	needPictures(t)
	for name, c := range map[string]struct {
		first string
		lost  int
		want  []door.Kind
	}{
		"one lost":  {portraits(), 1, []door.Kind{door.KindStarted, door.KindDenied, door.KindStopped}},
		"both lost": {filepath.Join(t.TempDir(), "none.mp4"), 2, []door.Kind{door.KindStarted, door.KindGranted, door.KindLocked, door.KindStopped}},
	} {
		t.Run(name, func(t *testing.T) {
			h := startTestHub(t, withCamera(c.first), func(c *Config) {
				lost := cameraDefaults()
				lost.Source = filepath.Join(t.TempDir(), "none.mp4")
				c.Doors[0].Cameras = append(c.Doors[0].Cameras, lost)
				c.House.Policy = []door.Set{door.SetOf(door.PIN, door.FaceID)}
				c.House.Fallback = []door.Set{door.SetOf(door.PIN, door.Card)}
				c.House.Window = 2 * time.Second
			})
			for range c.lost {
				h.awaitVision("camera_lost")
			}
			h.hub.send(door.Claim{Door: "front", Side: door.Entry, Reader: "card", Factor: door.Card, Person: h.ann})
			h.enters(annPIN)
			h.await(c.want[1])
			h.stop()
			got := slices.DeleteFunc(kinds(h.records.seen()), func(k door.Kind) bool { return k == door.KindSeen })
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// The demo without models or portraits says how to get them.
func TestSceneWithoutPictures(t *testing.T) {
	t.Setenv("DOORHUB_CACHE", t.TempDir())
	t.Setenv("DOORHUB_PORTRAITS", "")
	code, _, errOut := runs(t, "run", "--demo", "--once")
	if code != exitFailed || !strings.Contains(errOut, "make models") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

func TestMetricsOfCameras(t *testing.T) {
	needPictures(t)
	h := startTestHub(t, withMetrics, withCamera(portraits()))
	labels := []string{"camera=0", "door=front", "side=entry"}
	until(t, "frames and looks", func() bool {
		f := h.scrape()
		return value(f, "doorhub_camera_frames_total", labels...) >= 2 && value(f, "doorhub_face_looks_total", labels...) >= 2
	})
}
