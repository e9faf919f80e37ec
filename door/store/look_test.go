package store

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

func someLook(seq uint64, person string, near ...door.Match) Look {
	return Look{Seq: seq, Time: noon.Add(time.Duration(seq) * time.Minute), Person: person, Near: near,
		Liveness: "live", Descriptor: someFace(seq).Descriptor}
}

func mustKeep(tb testing.TB, s *Store, looks ...Look) {
	tb.Helper()
	for _, l := range looks {
		must(tb, s.KeepLook(context.Background(), l))
	}
}

func wantLooks(tb testing.TB, s *Store, f LookFilter, want ...Look) {
	tb.Helper()
	got, err := s.Looks(context.Background(), f)
	must(tb, err)
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("looks of %+v (-want +got):\n%s", f, diff)
	}
}

// mustEnrol adds somebody with a face.
func mustEnrol(tb testing.TB, s *Store, name string) string {
	tb.Helper()
	id := mustAdd(tb, s, name)
	must(tb, s.AddFace(context.Background(), id, someFace(1)))
	return id
}

func TestLooks(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann, bob := mustEnrol(t, s, "Ann"), mustEnrol(t, s, "Bob")
	of := []Look{
		someLook(3, ann, door.Match{Person: ann, Distance: 0.31}, door.Match{Person: bob, Distance: 0.62}),
		someLook(5, ""),
		someLook(9, ann, door.Match{Person: bob, Distance: 0.4}, door.Match{Person: ann, Distance: 0.5}),
		someLook(12, bob, door.Match{Person: bob, Distance: 0.2}),
	}
	mustKeep(t, s, of...)
	wantLooks(t, s, LookFilter{}, of...)
	wantLooks(t, s, LookFilter{Person: ann}, of[0], of[2])
	wantLooks(t, s, LookFilter{From: of[2].Time}, of[2], of[3])
	wantLooks(t, s, LookFilter{Wrong: true})
	got, err := s.Look(ctx, 9)
	must(t, err)
	if diff := cmp.Diff(of[2], got); diff != "" {
		t.Errorf("look 9 (-want +got):\n%s", diff)
	}
	for _, seq := range []uint64{0, 4, math.MaxUint64} {
		_, err := s.Look(ctx, seq)
		wantErr(t, err, ErrNoLook)
	}
}

func TestLooksRefused(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann := mustAdd(t, s, "Ann")
	wantErr(t, s.KeepLook(ctx, someLook(1, "p9")), ErrNoPerson)
	wantErr(t, s.KeepLook(ctx, someLook(1, "Ann")), ErrNoPerson)
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		l := someLook(1, ann)
		l.Descriptor[64] = float32(bad)
		wantErr(t, s.KeepLook(ctx, l), ErrFace)
		wantErr(t, s.KeepLook(ctx, someLook(1, ann, door.Match{Person: ann, Distance: bad})), ErrFace)
	}
	mustKeep(t, s, someLook(1, ann))
	if err := s.KeepLook(ctx, someLook(1, "")); err == nil {
		t.Error("two looks for one record")
	}
	wantLooks(t, s, LookFilter{}, someLook(1, ann))
}

func TestBestAndRunnerUp(t *testing.T) {
	p := func(id string, d float64) door.Match { return door.Match{Person: id, Distance: d} }
	for name, c := range map[string]struct {
		look       Look
		best, next door.Match
		margin     float64
	}{
		"identified":             {Look{Person: "p1", Near: []door.Match{p("p1", 0.25), p("p2", 0.5)}}, p("p1", 0.25), p("p2", 0.5), 0.25},
		"verified, other nearer": {Look{Person: "p2", Near: []door.Match{p("p1", 0.25), p("p2", 0.5)}}, p("p2", 0.5), p("p1", 0.25), -0.25},
		"nobody":                 {Look{Near: []door.Match{p("p1", 0.75), p("p2", 1)}}, p("p1", 0.75), p("p2", 1), 0.25},
		"alone":                  {Look{Person: "p1", Near: []door.Match{p("p1", 0.25)}}, p("p1", 0.25), door.Match{}, 0},
		"nobody enrolled":        {Look{}, door.Match{}, door.Match{}, 0},
	} {
		best, ok := c.look.Best()
		if best != c.best || ok != (c.best != door.Match{}) {
			t.Errorf("%s: best %v, %v; want %v", name, best, ok, c.best)
		}
		next, margin, ok := c.look.RunnerUp()
		if next != c.next || margin != c.margin || ok != (c.next != door.Match{}) {
			t.Errorf("%s: runner-up %v by %v, %v; want %v by %v", name, next, margin, ok, c.next, c.margin)
		}
	}
}

// Of a crowd only the nearest are kept, and whom the face was taken for.
func TestFewOfManyNear(t *testing.T) {
	s := newStore(t)
	last := ""
	var near []door.Match
	for i := range 20 {
		last = mustEnrol(t, s, strings.Repeat("x", i+1))
		near = append(near, door.Match{Person: last, Distance: float64(i) / 40})
	}
	mustKeep(t, s, someLook(1, last, near...))
	wantLooks(t, s, LookFilter{}, someLook(1, last, append(near[:nearKept:nearKept], near[19])...))
}

func TestLooksAreMarked(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann := mustEnrol(t, s, "Ann")
	l, stranger := someLook(1, ann, door.Match{Person: ann, Distance: 0.4}), someLook(2, "")
	mustKeep(t, s, l, stranger)
	mark := func(seq uint64, wrong bool) error { _, err := s.MarkLook(ctx, seq, wrong); return err }
	wantErr(t, mark(1, false), ErrMarked)
	got, err := s.MarkLook(ctx, 1, true)
	must(t, err)
	marked := l
	marked.Wrong = true
	if diff := cmp.Diff(marked, got); diff != "" {
		t.Errorf("marked (-want +got):\n%s", diff)
	}
	wantErr(t, mark(1, true), ErrMarked)
	wantErr(t, mark(2, true), ErrNobody)
	wantErr(t, mark(3, true), ErrNoLook)
	wantLooks(t, s, LookFilter{Wrong: true}, marked)
	wantLooks(t, s, LookFilter{}, marked, stranger)
	must(t, mark(1, false))
	wantLooks(t, s, LookFilter{}, l, stranger)
}

func TestAtMostFiftyMarks(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann, bob := mustAdd(t, s, "Ann"), mustAdd(t, s, "Bob")
	for seq := range uint64(mostWrong + 1) {
		mustKeep(t, s, someLook(seq+1, ann))
	}
	for seq := range uint64(mostWrong) {
		_, err := s.MarkLook(ctx, seq+1, true)
		must(t, err)
	}
	_, err := s.MarkLook(ctx, mostWrong+1, true)
	wantErr(t, err, ErrTooManyFaces)
	mustKeep(t, s, someLook(99, bob))
	_, err = s.MarkLook(ctx, 99, true)
	must(t, err)
}

// Time and number bound what is kept; what the owner marked stays, since it still works.
func TestLooksAreBounded(t *testing.T) {
	ctx, c := context.Background(), Defaults()
	c.KeepLooks, c.MostLooks = time.Hour, 100
	s := mustOpen(t, newFolder(t), With(c))
	ann := mustAdd(t, s, "Ann")
	first := someLook(1, ann)
	mustKeep(t, s, first)
	_, err := s.MarkLook(ctx, 1, true)
	must(t, err)
	first.Wrong = true
	var rest []Look
	for seq := uint64(2); seq <= 110; seq++ {
		rest = append(rest, someLook(seq, ""))
	}
	mustKeep(t, s, rest...)
	wantLooks(t, s, LookFilter{}, append([]Look{first}, rest[len(rest)-100:]...)...)
	must(t, s.PruneLooks(ctx, rest[len(rest)-2].Time.Add(time.Hour)))
	wantLooks(t, s, LookFilter{}, first, rest[len(rest)-2], rest[len(rest)-1])
}

func TestNoLooksAreKept(t *testing.T) {
	c := Defaults()
	dir := newFolder(t)
	s := mustOpen(t, dir)
	mustKeep(t, s, someLook(1, ""))
	mustClose(t, s)
	c.KeepLooks = 0
	s = mustOpen(t, dir, With(c))
	mustKeep(t, s, someLook(2, ""))
	must(t, s.PruneLooks(context.Background(), noon.Add(time.Hour)))
	wantLooks(t, s, LookFilter{})
}

// A person erased takes along the looks at their face, and those that may be. Faces taken away
// leave the marks by which others are not taken for the person.
func TestLooksGoWithTheFace(t *testing.T) {
	ctx := context.Background()
	for name, c := range map[string]struct {
		remove func(*Store, context.Context, string) error
		left   []int
	}{
		"person": {(*Store).RemovePerson, []int{1, 3, 5, 6}}, "faces": {(*Store).RemoveFaces, []int{1, 2, 3, 5, 6}},
	} {
		s := newStore(t)
		ann, bob := mustEnrol(t, s, "Ann"), mustEnrol(t, s, "Bob")
		near := func(person string, distance float64) door.Match {
			return door.Match{Person: person, Distance: distance}
		}
		of := []Look{
			someLook(1, ann), someLook(2, bob, near(bob, 0.1)), someLook(3, ann, near(ann, 0.3)), someLook(4, ""),
			someLook(5, "", near(bob, 0.57), near(ann, 0.58)), // may be hers
			someLook(6, "", near(bob, 0.5), near(ann, 0.61)),
			someLook(7, bob, near(bob, 0.4), near(ann, 0.45)), // his, as far as anybody knows
			someLook(8, bob, near(bob, 0.45), near(ann, 0.46)),
		}
		mustKeep(t, s, of...)
		for _, i := range []int{2, 7} { // not hers, and perhaps hers
			_, err := s.MarkLook(ctx, of[i].Seq, true)
			must(t, err)
			of[i].Wrong = true
		}
		must(t, c.remove(s, ctx, ann))
		var want []Look
		for _, i := range c.left {
			want = append(want, of[i])
		}
		late := func(seq uint64, person string, near ...door.Match) error {
			return s.KeepLook(ctx, someLook(seq, person, near...)) // of a record from before
		}
		wantErr(t, late(9, ann, near(ann, 0.3)), ErrNoPerson)
		wantErr(t, late(10, "", near(bob, 0.57), near(ann, 0.58)), ErrNoPerson)
		t.Log(name)
		wantLooks(t, s, LookFilter{}, want...)
	}
}

func TestLooksAreSealedOnDisk(t *testing.T) {
	dir := newFolder(t)
	s := mustOpen(t, dir)
	mustKeep(t, s, someLook(1, ""))
	mustClose(t, s)
	content, err := os.ReadFile(filepath.Join(dir, databaseFile))
	must(t, err)
	if bytes.Contains(content, descriptorBytes(someLook(1, "").Descriptor)[:16]) {
		t.Error("the descriptor stands in the database in clear")
	}
}

// A look that was put elsewhere, or given to somebody else, does not open there.
func TestBadLooksAreNamedAndTheOthersLoad(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann, bob := mustAdd(t, s, "Ann"), mustAdd(t, s, "Bob")
	mustKeep(t, s, someLook(1, ann), someLook(2, ann), someLook(3, bob), someLook(4, bob), someLook(5, bob))
	raw(t, s.dir, `UPDATE looks SET sealed = x'00' WHERE seq = 1`,
		`UPDATE looks SET sealed = (SELECT sealed FROM looks WHERE seq = 3) WHERE seq = 2`,
		`UPDATE looks SET person = 1 WHERE seq = 4`,
		`UPDATE looks SET near = '{' WHERE seq = 5`)
	got, err := s.Looks(ctx, LookFilter{})
	if diff := cmp.Diff([]Look{someLook(3, bob)}, got); diff != "" {
		t.Errorf("looks (-want +got):\n%s", diff)
	}
	for _, seq := range []string{"record 1", "record 2", "record 4", "record 5"} {
		if err == nil || !strings.Contains(err.Error(), seq) {
			t.Errorf("error %v does not name %s", err, seq)
		}
	}
}

// A database of the version before is brought up to date with all that it holds.
func TestDatabaseWithoutLooks(t *testing.T) {
	dir := newFolder(t)
	s := mustOpen(t, dir)
	mustAdd(t, s, "Ann")
	mustClose(t, s)
	raw(t, dir, `DROP TABLE looks`, `PRAGMA user_version = 2`)
	s = mustOpen(t, dir)
	mustKeep(t, s, someLook(1, "p1"))
	wantLooks(t, s, LookFilter{}, someLook(1, "p1"))
}
