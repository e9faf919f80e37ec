package store

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"testing"
)

// nobody is the user of the kernel that owns nothing; nameless is in no list of users.
const (
	nobody   = 65534
	nameless = 3_999_999
)

func TestFolderOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: a data folder of another user; only root can give one away")
	}
	called := "65534"
	as := "'#65534'"
	if u, err := user.LookupId(called); err == nil {
		called, as = u.Username, u.Username
	}
	for _, c := range []struct {
		uid        int
		called, as string
	}{{nobody, called, as}, {nameless, "3999999", "'#3999999'"}} {
		dir := newFolder(t)
		must(t, os.Chmod(filepath.Join(dir, keyFile), 0o644)) // the owner is named before all else
		must(t, os.Chown(dir, c.uid, -1))
		want := "the data folder " + dir + " belongs to user " + c.called + ": run this as that user, as in: sudo -u " + c.as + " doorhub …"
		s, err := Open(dir)
		if err == nil {
			s.Close()
		}
		wantErr(t, err, ErrOwner)
		if err.Error() != want {
			t.Errorf("got  %q\nwant %q", err, want)
		}
		for _, name := range []string{lockFile, databaseFile, headFileName} {
			if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s was made in the folder of another: %v", name, err)
			}
		}
		must(t, os.Chown(dir, os.Geteuid(), -1))
		must(t, os.Chmod(filepath.Join(dir, keyFile), 0o600))
		mustClose(t, mustOpen(t, dir))
	}
}

func TestNoKeyInFolderOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: a key in a folder of another user; only root can give one away")
	}
	dir := t.TempDir()
	must(t, os.Chown(dir, nobody, -1))
	wantErr(t, CreateKey(dir), ErrOwner)
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("%d files were made in the folder of another, the first %s", len(entries), entries[0].Name())
	}
}
