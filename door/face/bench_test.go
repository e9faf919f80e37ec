//go:build vision

package face

import "testing"

func BenchmarkFind720p(b *testing.B) {
	r := recogniser(b)
	img := scene(b, file(b, "obama2.jpg"), 300, 720)
	for b.Loop() {
		if faces, err := r.Find(img); err != nil || len(faces) != 1 {
			b.Fatal(len(faces), err)
		}
	}
}

func BenchmarkFindEmpty720p(b *testing.B) {
	r := recogniser(b)
	img := scene(b, nil, 0, 0)
	for b.Loop() {
		if faces, err := r.Find(img); err != nil || len(faces) != 0 {
			b.Fatal(len(faces), err)
		}
	}
}

func BenchmarkNewRecogniser(b *testing.B) {
	recogniser(b)
	for b.Loop() {
		r, err := NewRecogniser(Defaults())
		if err != nil {
			b.Fatal(err)
		}
		r.Close()
	}
}
