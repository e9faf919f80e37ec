package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOpenAgain(t *testing.T) {
	for _, name := range []string{"data", "with space", "100% odd?#&;name", "ünï"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), name)
			if err := CreateKey(dir); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, dir)
			mustAppend(t, s, someRecords(3)...)
			head := s.Head()
			mustClose(t, s)
			if _, err := os.Stat(filepath.Join(dir, databaseFile)); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, dir)
			if s.Head() != head {
				t.Errorf("head %v after opening again, want %v", s.Head(), head)
			}
			if err := s.HeadProblem(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  error
		says  string
	}{
		{"no key, no database", func(t *testing.T, dir string) { remove(t, dir, keyFile, databaseFile) }, ErrNoKey, "doorhub init"},
		{"no key beside a database", func(t *testing.T, dir string) { remove(t, dir, keyFile) }, ErrNoKey, "backup"},
		{"no folder", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, ErrNoKey, "doorhub init"},
		{"folder is a file", func(t *testing.T, dir string) {
			must(t, os.RemoveAll(dir))
			must(t, os.WriteFile(dir, nil, 0o600))
		}, syscall.ENOTDIR, "must be a folder"},
		{"key open to others", func(t *testing.T, dir string) { must(t, os.Chmod(filepath.Join(dir, keyFile), 0o640)) }, ErrKeyMode, "chmod 600 "},
		{"key of another database", func(t *testing.T, dir string) {
			replace(t, dir, keyFile, strings.Repeat("ab", keyLen))
		}, ErrWrongKey, "restore the key file"},
		{"database of a newer version", func(t *testing.T, dir string) { raw(t, dir, `PRAGMA user_version = 99`) }, ErrNewer, "schema 99"},
		{"another program's database", func(t *testing.T, dir string) { raw(t, dir, `PRAGMA application_id = 1`) }, ErrNotDatabase, "another program's"},
		{"no database at all", func(t *testing.T, dir string) {
			replace(t, dir, databaseFile, strings.Repeat("this is a text. ", 1000))
		}, ErrNotDatabase, "restore your backup"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := newFolder(t)
			mustClose(t, mustOpen(t, dir))
			c.spoil(t, dir)
			s, err := Open(dir)
			if err == nil {
				s.Close()
			}
			wantErr(t, err, c.want)
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q does not say %q", err, c.says)
			}
		})
	}
}

func TestOpenRefusesDamagedKey(t *testing.T) {
	for _, text := range []string{"", "abc", strings.Repeat("zz", keyLen), strings.Repeat("ab", keyLen+1)} {
		dir := newFolder(t)
		replace(t, dir, keyFile, text)
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("key %q: got error %v, want one that says it is damaged", text, err)
		}
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := newFolder(t)
	s := mustOpen(t, dir)
	_, err := Open(dir)
	wantErr(t, err, ErrInUse)
	mustClose(t, s)
	mustClose(t, s)
	if _, err := s.Append(context.Background(), someRecords(1)); err == nil {
		t.Error("appended to a closed store")
	}
	mustOpen(t, dir)
}

func TestOpenOnReadOnlyFileSystem(t *testing.T) {
	dir := newFolder(t)
	mustClose(t, mustOpen(t, dir))
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: a read-only folder; this user may not mount: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
	must(t, syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	_, err := Open(dir)
	wantErr(t, err, ErrReadOnly)
	wantErr(t, CreateKey(dir), ErrKeyExists)
	if err := CreateKey(filepath.Join(dir, "new")); !errors.Is(err, ErrReadOnly) {
		t.Errorf("a key in a read-only folder: %v, want %v", err, ErrReadOnly)
	}
}

func TestOpenChecksSettings(t *testing.T) {
	for _, spoil := range []func(*Config){
		func(c *Config) { c.MinPIN = 3 }, func(c *Config) { c.MinPIN = 13 },
		func(c *Config) { c.BusyTimeout = 0 }, func(c *Config) { c.BusyTimeout = time.Hour },
		func(c *Config) { c.KeepLooks = time.Minute }, func(c *Config) { c.KeepLooks = -time.Hour },
		func(c *Config) { c.MostLooks = 0 }, func(c *Config) { c.MostLooks = 2_000_000 },
	} {
		c := Defaults()
		spoil(&c)
		if _, err := Open(newFolder(t), With(c)); err == nil {
			t.Errorf("opened with %+v", c)
		}
	}
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
}

func TestCreateKeyReplacesNothing(t *testing.T) {
	dir := newFolder(t)
	before, err := os.ReadFile(filepath.Join(dir, keyFile))
	must(t, err)
	wantErr(t, CreateKey(dir), ErrKeyExists)
	mustClose(t, mustOpen(t, dir))
	wantErr(t, CreateKey(dir), ErrKeyExists)
	after, err := os.ReadFile(filepath.Join(dir, keyFile))
	must(t, err)
	if string(before) != string(after) {
		t.Error("the key was replaced")
	}
	remove(t, dir, keyFile)
	wantErr(t, CreateKey(dir), ErrNoKey)
	if _, err := os.Stat(filepath.Join(dir, keyFile)); err == nil {
		t.Error("a new key was made beside a database")
	}
}

func TestSubkeysDiffer(t *testing.T) {
	k, err := deriveKeys(make([]byte, keyLen))
	must(t, err)
	seen := map[string]bool{}
	for _, sub := range [][]byte{k.index, k.pepper, k.face, k.journal, k.owner, k.check} {
		if len(sub) != keyLen || seen[string(sub)] {
			t.Errorf("subkey %x is short or stands twice", sub)
		}
		seen[string(sub)] = true
	}
}

func TestWriteHeedsContextBeforeItBegins(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Append(ctx, someRecords(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("append with a cancelled context: %v", err)
	}
	mustAppend(t, s, someRecords(1)...)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func remove(tb testing.TB, dir string, names ...string) {
	tb.Helper()
	for _, n := range names {
		must(tb, os.Remove(filepath.Join(dir, n)))
	}
}

func replace(tb testing.TB, dir, name, text string) {
	tb.Helper()
	must(tb, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

// raw runs statements on the database of a closed or open store behind its back.
func raw(tb testing.TB, dir string, statements ...string) {
	tb.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, databaseFile)+"?_pragma=busy_timeout(5000)")
	must(tb, err)
	defer db.Close()
	for _, st := range statements {
		if _, err := db.Exec(st); err != nil {
			tb.Fatalf("%s: %v", st, err)
		}
	}
}

func TestAlias(t *testing.T) {
	dir := t.TempDir()
	must(t, CreateKey(dir))
	var names []string
	for range 2 {
		s, err := Open(dir)
		must(t, err)
		names = append(names, s.Alias("readings"), s.Alias("bus"))
		must(t, s.Close())
	}
	must(t, CreateKey(filepath.Join(dir, "other")))
	s, err := Open(filepath.Join(dir, "other"))
	must(t, err)
	names = append(names, s.Alias("readings"))
	must(t, s.Close())
	if names[0] != names[2] || names[1] != names[3] || names[0] == names[1] || names[0] == names[4] || len(names[0]) != 16 {
		t.Errorf("aliases: %v", names)
	}
}
