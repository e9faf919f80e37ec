package store

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func withPicture(f Face, text string) Face {
	f.Picture = []byte(text)
	return f
}

// filesBelow lists the files in a folder and its folders.
func filesBelow(tb testing.TB, dir string) (names []string) {
	tb.Helper()
	must(tb, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil && !e.IsDir() {
			names = append(names, path)
		}
		return err
	}))
	return names
}

func TestPicturesAreKeptBesideFacesForTheOwnerAlone(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann, bob := mustAdd(t, s, "Ann"), mustAdd(t, s, "Bob")
	must(t, s.AddFace(ctx, ann, withPicture(someFace(1), "a jpeg")))
	must(t, s.AddFace(ctx, ann, someFace(2)))
	must(t, s.AddFace(ctx, ann, withPicture(someFace(3), "\x89PNG and so on")))
	must(t, s.AddFace(ctx, bob, withPicture(someFace(4), "another jpeg")))
	p, err := s.Person(ctx, ann)
	must(t, err)
	if len(p.Pictures) != 2 || !strings.HasSuffix(p.Pictures[0], ".jpg") || !strings.HasSuffix(p.Pictures[1], ".png") {
		t.Fatalf("pictures of Ann: %q", p.Pictures)
	}
	for i, want := range []string{"a jpeg", "\x89PNG and so on"} {
		got, err := os.ReadFile(p.Pictures[i])
		must(t, err)
		if string(got) != want {
			t.Errorf("picture %d: %q, want %q", i+1, got, want)
		}
		for path, mode := range map[string]os.FileMode{p.Pictures[i]: 0o600, filepath.Dir(p.Pictures[i]): 0o700} {
			info, err := os.Stat(path)
			must(t, err)
			if info.Mode().Perm() != mode {
				t.Errorf("%s has mode %o, want %o", path, info.Mode().Perm(), mode)
			}
		}
	}
	must(t, s.RemoveFaces(ctx, ann))
	must(t, s.RemoveFaces(ctx, ann))
	if p, err = s.Person(ctx, ann); err != nil || p.Pictures != nil {
		t.Errorf("after the faces are gone: %q, %v", p.Pictures, err)
	}
	if left := filesBelow(t, filepath.Join(s.dir, picturesFolder)); len(left) != 1 {
		t.Errorf("left: %q, want Bob's alone", left)
	}
	must(t, s.RemovePerson(ctx, bob))
	if left := filesBelow(t, filepath.Join(s.dir, picturesFolder)); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// A face that cannot be kept leaves no picture behind, of nobody and of nobody's.
func TestNoPictureWithoutItsFace(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	wantErr(t, s.AddFace(ctx, "p9", withPicture(someFace(1), "a jpeg")), ErrNoPerson)
	ann := mustAdd(t, s, "Ann")
	for i := range uint64(mostFaces) {
		must(t, s.AddFace(ctx, ann, someFace(i)))
	}
	wantErr(t, s.AddFace(ctx, ann, withPicture(someFace(99), "a jpeg")), ErrTooManyFaces)
	if left := filesBelow(t, filepath.Join(s.dir, picturesFolder)); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// A power cut may leave a picture without its face; it goes with the person all the same.
func TestPicturesLeftByAPowerCutGoWithThePerson(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann := mustAdd(t, s, "Ann")
	if _, err := s.keepPicture(1, []byte("a jpeg")); err != nil {
		t.Fatal(err)
	}
	must(t, s.RemovePerson(ctx, ann))
	if left := filesBelow(t, filepath.Join(s.dir, picturesFolder)); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

func TestPicturesThatCannotBeKept(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann := mustAdd(t, s, "Ann")
	must(t, os.WriteFile(filepath.Join(s.dir, picturesFolder), nil, 0o600))
	if err := s.AddFace(ctx, ann, withPicture(someFace(1), "a jpeg")); err == nil || !strings.Contains(err.Error(), "folder of pictures") {
		t.Errorf("kept where no folder can be made: %v", err)
	}
	wantFaces(t, s, nil)
}

func TestConsent(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann := mustAdd(t, s, "Ann")
	agreed := func(seed uint64, at time.Time) Face {
		f := someFace(seed)
		f.Consent = at
		return f
	}
	consent := func() time.Time {
		p, err := s.Person(ctx, ann)
		must(t, err)
		return p.Consent
	}
	if got := consent(); !got.IsZero() {
		t.Errorf("without a face: %v", got)
	}
	faces := []PersonFace{{ann, agreed(1, noon)}, {ann, agreed(2, noon.Add(time.Hour))}}
	for _, f := range faces {
		must(t, s.AddFace(ctx, ann, f.Face))
	}
	wantFaces(t, s, faces)
	if got := consent(); !got.Equal(noon.Add(time.Hour)) {
		t.Errorf("to both: %v, want the later", got)
	}
	must(t, s.AddFace(ctx, ann, someFace(3)))
	if got := consent(); !got.IsZero() {
		t.Errorf("not to the third: %v", got)
	}
}

// Faces enrolled before consent was noted are read as they were.
func TestOpenBringsFacesUpToDate(t *testing.T) {
	ctx, dir := context.Background(), newFolder(t)
	s := mustOpen(t, dir)
	ann := mustAdd(t, s, "Ann")
	must(t, s.AddFace(ctx, ann, someFace(1)))
	mustClose(t, s)
	raw(t, dir, `ALTER TABLE faces DROP COLUMN consent`, `ALTER TABLE faces DROP COLUMN picture`, `DROP TABLE looks`, `PRAGMA user_version = 1`)
	s = mustOpen(t, dir)
	defer mustClose(t, s)
	wantFaces(t, s, []PersonFace{{ann, someFace(1)}})
	want := Person{Name: "Ann", Faces: 1}
	want.ID = ann
	got, err := s.Person(ctx, ann)
	must(t, err)
	got.Added = time.Time{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
