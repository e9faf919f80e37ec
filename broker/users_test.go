package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.json")
	u, err := OpenUsers(path)
	must(t, err)
	old, err := u.Add("window", RoleSensor)
	must(t, err)
	_, err = u.Add("ha", RoleHomeAssistant)
	must(t, err)
	lent, err := u.Lend("hub", RoleHub)
	must(t, err)
	token, err := u.Rotate("window")
	must(t, err)
	must(t, u.Revoke("ha"))

	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file mode: %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	must(t, err)
	for _, secret := range []string{old, token, lent, `"hub"`, `"ha"`} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the file holds %s", secret)
		}
	}
	if role, ok := u.Check("hub", lent); !ok || role != RoleHub {
		t.Error("the lent user is not known")
	}
	u, err = OpenUsers(path)
	must(t, err)
	list := u.List()
	if diff := cmp.Diff([]User{{"window", RoleSensor, list[0].Created}}, list); diff != "" {
		t.Error(diff)
	}
	if age := time.Since(list[0].Created); age < 0 || age > time.Minute {
		t.Errorf("created %s", list[0].Created)
	}
	for _, c := range []struct {
		name, token string
		want        bool
	}{{"window", token, true}, {"window", old, false}, {"window", "", false}, {"ha", token, false}, {"hub", lent, false}, {"", "", false}} {
		if role, ok := u.Check(c.name, c.token); ok != c.want || ok && role != RoleSensor {
			t.Errorf("Check(%s): %q, %t", c.name, role, ok)
		}
	}
}

func TestUsersRefuse(t *testing.T) {
	u, err := OpenUsers(filepath.Join(t.TempDir(), "users.json"))
	must(t, err)
	_, err = u.Add("window", RoleSensor)
	must(t, err)
	if _, err := u.Add("window", RoleViewer); !errors.Is(err, ErrUserExists) {
		t.Errorf("twice: %v", err)
	}
	for _, name := range []string{"", "a/b", "#", "+", "A", "a b", "ann\n", strings.Repeat("a", 33)} {
		if _, err := u.Add(name, RoleSensor); err == nil {
			t.Errorf("name %q passes", name)
		}
	}
	if _, err := u.Add("x", "root"); err == nil {
		t.Error("role root passes")
	}
	if _, err := u.Rotate("nobody"); !errors.Is(err, ErrUserUnknown) {
		t.Errorf("rotate: %v", err)
	}
	if err := u.Revoke("nobody"); !errors.Is(err, ErrUserUnknown) {
		t.Errorf("revoke: %v", err)
	}
}

// When the file cannot be written, what is known stays as it was.
func TestUsersUnwritable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	must(t, os.Mkdir(dir, 0o700))
	u, err := OpenUsers(filepath.Join(dir, "users.json"))
	must(t, err)
	token, err := u.Add("window", RoleSensor)
	must(t, err)
	must(t, os.RemoveAll(dir))
	if _, err := u.Add("other", RoleSensor); err == nil {
		t.Error("add: no error")
	}
	if _, err := u.Rotate("window"); err == nil {
		t.Error("rotate: no error")
	}
	if err := u.Revoke("window"); err == nil {
		t.Error("revoke: no error")
	}
	if _, ok := u.Check("window", token); !ok {
		t.Error("the user's token is no longer good")
	}
	if diff := cmp.Diff([]User{{"window", RoleSensor, u.List()[0].Created}}, u.List()); diff != "" {
		t.Error(diff)
	}
}

func TestUsersDamagedFile(t *testing.T) {
	sum := strings.Repeat("0", 64)
	for want, text := range map[string]string{
		"unexpected":    `{"users":[`,
		"unknown field": `{"users":[{"name":"a","role":"sensor","token_sha256":"` + sum + `","admin":true}]}`,
		"64 hex":        `{"users":[{"name":"a","role":"sensor","token_sha256":"00"}]}`,
		"role":          `{"users":[{"name":"a","role":"root","token_sha256":"` + sum + `"}]}`,
		"1 to 32":       `{"users":[{"name":"a/b","role":"sensor","token_sha256":"` + sum + `"}]}`,
		"twice":         `{"users":[{"name":"a","role":"sensor","token_sha256":"` + sum + `"},{"name":"a","role":"hub","token_sha256":"` + sum + `"}]}`,
	} {
		path := filepath.Join(t.TempDir(), "users.json")
		must(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := OpenUsers(path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// What a user left at a broker that is closed is nobody's when meanwhile the user was revoked,
// made again, or given another token.
func TestRevokedUsersSessionIsNotRestored(t *testing.T) {
	for way, change := range map[string]func(*Users) error{
		"revoked": func(u *Users) error { return u.Revoke("viewer") },
		"revoked and made again": func(u *Users) error {
			if err := u.Revoke("viewer"); err != nil {
				return err
			}
			_, err := u.Add("viewer", RoleViewer)
			return err
		},
		"rotated":   func(u *Users) error { _, err := u.Rotate("viewer"); return err },
		"untouched": func(*Users) error { return nil },
	} {
		t.Run(way, func(t *testing.T) {
			h := start(t)
			l := h.as("viewer")
			l.keep = true
			h.in(t, l).subscribe("doorhub/alarm/state", 1)
			must(t, h.Close())
			must(t, change(h.users))
			h.restart(t)
			back := h.session("viewer/viewer1") != nil
			subscribed := len(h.mq.Topics.Subscribers("doorhub/alarm/state").Subscriptions) != 0
			if want := way == "untouched"; back != want || subscribed != want {
				t.Errorf("the session is back: %t, subscribed: %t", back, subscribed)
			}
		})
	}
}
