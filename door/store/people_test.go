package store

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/doorhub/doorhub/door"
)

func mustAdd(tb testing.TB, s *Store, name string) string {
	tb.Helper()
	p, err := s.AddPerson(context.Background(), name, nil, nil)
	must(tb, err)
	return p.ID
}

func TestPeople(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	two := []door.Set{door.SetOf(door.PIN, door.FaceID), door.SetOf(door.Card)}
	without := []door.Set{door.SetOf(door.PIN, door.Card)}
	ann, err := s.AddPerson(ctx, "  Ann \t", two, without)
	must(t, err)
	mustAdd(t, s, `Bobby "Tables" <script>alert('x')</script>; DROP TABLE people`)
	must(t, s.SetPIN(ctx, "p1", "246810"))
	must(t, s.SetRemoteCode(ctx, "p2", "86420975"))
	must(t, s.AddFace(ctx, "p2", Face{}))

	got, err := s.People(ctx)
	must(t, err)
	want := []Person{
		{Person: door.Person{ID: "p1", Policies: two, Fallback: without}, Name: "Ann", PIN: true},
		{Person: door.Person{ID: "p2"}, Name: `Bobby "Tables" <script>alert('x')</script>; DROP TABLE people`, Remote: true, Faces: 1},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Person{}, "Added")); diff != "" {
		t.Errorf("people (-want +got):\n%s", diff)
	}
	if !got[0].Added.Equal(ann.Added) || time.Since(ann.Added).Abs() > time.Hour {
		t.Errorf("added %v, read back %v", ann.Added, got[0].Added)
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name, says string
	}{
		{"", "empty"}, {" \t ", "empty"}, {"\u200d", "empty"},
		{"Ann\nEve", "line break"}, {"Ann\rEve", "line break"}, {"a\x00b", "control"}, {"a\u2028b", "line break"}, {"a\u202eb", "control"}, {"a\x1b[31m", "control"},
		{"a\xffb", "UTF-8"}, {strings.Repeat("x", 101), "1 to 100"}, {strings.Repeat("x", 10_000), "1 to 100"},
	} {
		_, err := newStore(t).AddPerson(context.Background(), c.name, nil, nil)
		wantErr(t, err, ErrName)
		if !strings.Contains(err.Error(), c.says) || len(err.Error()) > 200 {
			t.Errorf("name %.20q: error %q does not say %q shortly", c.name, err, c.says)
		}
	}
	s := newStore(t)
	for _, name := range []string{"O'Neil", "李小龍", "Ω", strings.Repeat("é", 100), "-", "p", "' OR 1=1 --"} {
		mustAdd(t, s, name)
	}
}

func TestNamesDifferInMoreThanCase(t *testing.T) {
	s := newStore(t)
	mustAdd(t, s, "Ann Straße")
	for _, name := range []string{"Ann Straße", "ANN STRASSE", "ann  straße"} {
		_, err := s.AddPerson(context.Background(), name, nil, nil)
		if name == "ANN STRASSE" { // not the same letters without case
			must(t, err)
			continue
		}
		wantErr(t, err, ErrNameTaken)
	}
}

func TestFindPerson(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	mustAdd(t, s, "Ann")
	mustAdd(t, s, "p3")
	mustAdd(t, s, "Cy")
	for word, want := range map[string]string{"Ann": "p1", "aNN": "p1", " ann ": "p1", "p1": "p1", "p2": "p2", "cy": "p3", "P3": "p2"} {
		p, err := s.FindPerson(ctx, word)
		if err != nil || p.ID != want {
			t.Errorf("%q finds %q, %v; want %s", word, p.ID, err, want)
		}
	}
	_, err := s.FindPerson(ctx, "p3")
	wantErr(t, err, ErrAmbiguous)
	for _, word := range []string{"", "An", "p9", "p01", "p-1", "%", "p" + strings.Repeat("9", 1000)} {
		_, err := s.FindPerson(ctx, word)
		wantErr(t, err, ErrNoPerson)
	}
}

func TestPoliciesAreChecked(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	if _, err := s.AddPerson(ctx, "Ann", []door.Set{0}, nil); err == nil {
		t.Error("added somebody with an empty policy")
	}
	id := mustAdd(t, s, "Ann")
	if err := s.SetPolicies(ctx, id, nil, []door.Set{door.SetOf(door.PIN)}); err == nil {
		t.Error("set a fallback of one factor")
	}
	want := []door.Set{door.SetOf(door.Card, door.PIN)}
	must(t, s.SetPolicies(ctx, id, want, nil))
	p, err := s.Person(ctx, id)
	must(t, err)
	if diff := cmp.Diff(want, p.Policies); diff != "" {
		t.Errorf("policies (-want +got):\n%s", diff)
	}
	wantErr(t, s.SetPolicies(ctx, "p9", want, nil), ErrNoPerson)
}

func TestRemovePersonErasesAllButTheID(t *testing.T) {
	ctx, dir := context.Background(), newFolder(t)
	s := mustOpen(t, dir)
	const name = "Wilhelmina Featherstonehaugh"
	mustAdd(t, s, name)
	must(t, s.SetPIN(ctx, "p1", "246810"))
	must(t, s.AddFace(ctx, "p1", Face{Source: "wilhelmina.jpg"}))
	must(t, s.RemovePerson(ctx, "p1"))

	for _, secret := range []string{name, strings.ToLower(name), "wilhelmina.jpg"} {
		for _, file := range []string{databaseFile, databaseFile + "-wal"} {
			content, err := os.ReadFile(filepath.Join(dir, file))
			must(t, err)
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%q is still in %s", secret, file)
			}
		}
	}
	if who, err := s.LookupPIN(ctx, "246810"); err != nil || who != "" {
		t.Errorf("the erased PIN names %q, %v", who, err)
	}
	if faces, err := s.Faces(ctx); err != nil || len(faces) != 0 {
		t.Errorf("%d faces are left, %v", len(faces), err)
	}
	_, err := s.Person(ctx, "p1")
	wantErr(t, err, ErrNoPerson)
	wantErr(t, s.RemovePerson(ctx, "p1"), ErrNoPerson)

	mustClose(t, s)
	s = mustOpen(t, dir)
	if id := mustAdd(t, s, name); id != "p2" {
		t.Errorf("the next person is %s, want p2", id)
	}
}

func TestRemovePersonWhileSomebodyReads(t *testing.T) {
	s := newStore(t)
	mustAdd(t, s, "Ann")
	mustAppend(t, s, someRecords(3)...)
	rows, err := s.reader.Query(`SELECT seq FROM journal`)
	must(t, err)
	defer rows.Close()
	if !rows.Next() {
		t.Fatal("nothing to read")
	}
	must(t, s.RemovePerson(context.Background(), "p1"))
	var wait int
	must(t, s.writer.QueryRow(`PRAGMA busy_timeout`).Scan(&wait))
	if wait != 5000 {
		t.Errorf("writer waits %d ms after an erasure, want 5000", wait)
	}
	mustAppend(t, s, someRecords(1)...)
}
