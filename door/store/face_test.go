package store

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func someFace(seed uint64) Face {
	r := rand.New(rand.NewPCG(seed, 1))
	f := Face{Quality: 0.75, Source: "a.jpg", Added: noon}
	for i := range f.Descriptor {
		f.Descriptor[i] = r.Float32()*2 - 1
	}
	return f
}

func TestFaces(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann, bob := mustAdd(t, s, "Ann"), mustAdd(t, s, "Bob")
	want := []PersonFace{{ann, someFace(1)}, {bob, someFace(2)}, {ann, someFace(3)}}
	for _, f := range want {
		must(t, s.AddFace(ctx, f.Person, f.Face))
	}
	wantFaces(t, s, want)
	must(t, s.RemoveFaces(ctx, ann))
	must(t, s.RemoveFaces(ctx, ann))
	wantFaces(t, s, want[1:2])
	wantErr(t, s.AddFace(ctx, "p9", someFace(1)), ErrNoPerson)
}

func wantFaces(tb testing.TB, s *Store, want []PersonFace) {
	tb.Helper()
	got, err := s.Faces(context.Background())
	must(tb, err)
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("faces (-want +got):\n%s", diff)
	}
}

func TestFacesWithoutNumbersAreRefused(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann := mustAdd(t, s, "Ann")
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		f := someFace(1)
		f.Descriptor[127] = float32(bad)
		wantErr(t, s.AddFace(ctx, ann, f), ErrFace)
		f = someFace(1)
		f.Quality = bad
		wantErr(t, s.AddFace(ctx, ann, f), ErrFace)
	}
	wantFaces(t, s, nil)
}

func TestBadFacesAreNamedAndTheOthersLoad(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann, bob := mustAdd(t, s, "Ann"), mustAdd(t, s, "Bob")
	for i := range uint64(5) {
		must(t, s.AddFace(ctx, ann, someFace(i)))
	}
	must(t, s.AddFace(ctx, bob, someFace(9)))
	nan := someFace(2)
	nan.Descriptor[0] = float32(math.NaN())
	sealed, err := seal(s.keys.face, descriptorBytes(nan.Descriptor), faceData(1, 3))
	must(t, err)
	if _, err := s.writer.Exec(`UPDATE faces SET sealed = ? WHERE id = 3`, sealed); err != nil {
		t.Fatal(err)
	}
	raw(t, s.dir,
		`UPDATE faces SET sealed = x'00' WHERE id = 1`,
		`UPDATE faces SET sealed = (SELECT sealed FROM faces WHERE id = 6) WHERE id = 2`, // Bob's face in Ann's row
		`UPDATE faces SET person = 2 WHERE id = 4`)                                       // Ann's face given to Bob
	got, err := s.Faces(ctx)
	if diff := cmp.Diff([]PersonFace{{ann, someFace(4)}, {bob, someFace(9)}}, got); diff != "" {
		t.Errorf("faces (-want +got):\n%s", diff)
	}
	for _, row := range []string{"face 1 of p1", "face 2 of p1", "face 3 of p1", "face 4 of p2"} {
		if err == nil || !strings.Contains(err.Error(), row) {
			t.Errorf("error %v does not name %s", err, row)
		}
	}
}

func TestAtMostFiftyFaces(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann, bob := mustAdd(t, s, "Ann"), mustAdd(t, s, "Bob")
	for i := range uint64(mostFaces) {
		must(t, s.AddFace(ctx, ann, someFace(i)))
	}
	wantErr(t, s.AddFace(ctx, ann, someFace(99)), ErrTooManyFaces)
	must(t, s.AddFace(ctx, bob, someFace(99)))
}

func TestDescriptorsAreSealedOnDisk(t *testing.T) {
	ctx, dir := context.Background(), newFolder(t)
	s := mustOpen(t, dir)
	must(t, s.AddFace(ctx, mustAdd(t, s, "Ann"), someFace(1)))
	mustClose(t, s)
	content, err := os.ReadFile(filepath.Join(dir, databaseFile))
	must(t, err)
	if bytes.Contains(content, descriptorBytes(someFace(1).Descriptor)[:16]) {
		t.Error("the descriptor stands in the database in clear")
	}
}
