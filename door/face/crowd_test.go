//go:build vision

package face

import (
	"encoding/json"
	"image"
	"os"
	"path/filepath"
	"testing"
)

// shared reads a file of the folder of faces that DOORHUB_FACES names, or skips the test:
// its pictures are in no repository.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	dir := os.Getenv("DOORHUB_FACES")
	if dir == "" {
		t.Skip("SKIPPED, crowds are untested here: DOORHUB_FACES names no folder with crowd12.jpg")
	}
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// standing is who stands where in crowd12.jpg: the upper left corner of a tile.
type standing struct {
	name string
	x, y int
}

const tile = 213 // pixels

// UnmarshalJSON reads [name, x, y].
func (s *standing) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&s.name, &s.x, &s.y})
}

func crowd(t testing.TB) []standing {
	t.Helper()
	var all []standing
	if err := json.Unmarshal(shared(t, "crowd12.json"), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// in returns the face whose middle lies on the tile.
func (s standing) in(faces []Face) (Face, bool) {
	on := image.Rect(s.x, s.y, s.x+tile, s.y+tile)
	for _, f := range faces {
		if f.Box.Min.Add(f.Box.Max).Div(2).In(on) {
			return f, true
		}
	}
	return Face{}, false
}

func TestEverybodyInACrowdIsFoundAndDescribed(t *testing.T) {
	r := recogniser(t)
	faces, err := r.Find(decoded(t, shared(t, "crowd12.jpg")))
	if err != nil || len(faces) != 12 {
		t.Fatalf("%d faces, %v; want 12", len(faces), err)
	}
	for _, s := range crowd(t) {
		f, ok := s.in(faces)
		if !ok {
			t.Errorf("%s is not found", s.name)
			continue
		}
		alone, err := r.Find(decoded(t, shared(t, s.name+".jpg")))
		if err != nil || len(alone) == 0 {
			t.Fatalf("%s alone: %d faces, %v", s.name, len(alone), err)
		}
		// The same picture, three to six times as large.
		if d := Distance(f.Descriptor, alone[0].Descriptor); d > 0.25 {
			t.Errorf("%s in the crowd is %.2f from her portrait", s.name, d)
		}
	}
}
