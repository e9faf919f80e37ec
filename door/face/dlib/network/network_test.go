//go:build vision

package network

import (
	"math"
	"os"
	"path/filepath"
	"testing"
)

func model(t *testing.T) string {
	t.Helper()
	cache := os.Getenv("DOORHUB_CACHE")
	if home, err := os.UserHomeDir(); cache == "" && err == nil {
		cache = filepath.Join(home, ".cache", "doorhub")
	}
	path := filepath.Join(cache, "models", "dlib_face_recognition_resnet_model_v1.dat")
	if _, err := os.Stat(path); err != nil {
		t.Skip("SKIPPED, the network is untested here: no models: ", err)
	}
	return path
}

// That it is the network which the model was made for shows in that the file can be read as
// one, and in the length of what it says: it was taught distances of about 0.6.
func TestDescribe(t *testing.T) {
	n, err := New(model(t))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	chip := make([]byte, Side*Side*3)
	for i := range chip {
		chip[i] = byte(i / 3 % Side)
	}
	a, err := n.Describe(chip)
	if err != nil {
		t.Fatal(err)
	}
	var length float64
	for _, v := range a {
		length += float64(v) * float64(v)
	}
	if length = math.Sqrt(length); !(length > 0.5 && length < 3) {
		t.Errorf("length %v", length)
	}
	if again, err := n.Describe(chip); err != nil || again != a {
		t.Errorf("another answer to the same question, or %v", err)
	}
	if _, err := n.Describe(chip[1:]); err == nil {
		t.Error("a chip of another size is described")
	}
}

func TestNewRefusesWhatIsNoModel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.dat")
	if err := os.WriteFile(path, []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(path); err == nil {
		t.Error("taken")
	}
}
