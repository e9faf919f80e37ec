package broker

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/doorhub/doorhub/door"
)

// What a caller may want to know of a failed change of users.
var (
	ErrUserExists  = errors.New("there is already a user of this name")
	ErrUserUnknown = errors.New("there is no user of this name")
)

// tokenBytes of randomness need no slow hash: nobody can guess 256 bits, however fast.
const tokenBytes = 32

// User is one who may connect to the embedded broker.
type User struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Created time.Time `json:"created,omitzero"` // to the second; zero: not known
}

// Users knows who may connect, by a file that holds no token, only the SHA-256 of each. It is
// safe for use by many goroutines, but only one process may have the file open.
type Users struct {
	path    string
	nobody  [sha256.Size]byte // compared with when a name is unknown, so that both take as long
	mu      sync.RWMutex
	known   map[string]account
	watches []func(name string)
	changes atomic.Uint64 // grows after each
}

type account struct {
	User
	Token string `json:"token_sha256"` // hex
	hash  [sha256.Size]byte
	rules []Rule
	lent  bool
}

type usersFile struct {
	Users []account `json:"users"`
}

// OpenUsers reads the users of a file; a file that is not there has none and is made by the
// first Add.
func OpenUsers(path string) (*Users, error) {
	u := &Users{path: path, known: map[string]account{}}
	if _, err := rand.Read(u.nobody[:]); err != nil {
		return nil, fmt.Errorf("bus users: %w", err)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return nil, fmt.Errorf("bus users: %w; let the user who runs doorhub read it", err)
	}
	if err := u.read(text); err != nil {
		return nil, fmt.Errorf("bus users: %s: %w; restore it from a backup, or remove it and add the users again", path, err)
	}
	return u, nil
}

func (u *Users) read(text []byte) error {
	var f usersFile
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return err
	}
	for _, a := range f.Users {
		if err := validUser(a.Name, a.Role); err != nil {
			return err
		}
		if _, twice := u.known[a.Name]; twice {
			return fmt.Errorf("user %s stands there twice", a.Name)
		}
		if n, err := hex.Decode(a.hash[:], []byte(a.Token)); err != nil || n != len(a.hash) {
			return fmt.Errorf("user %s: token_sha256 must be %d hex digits", a.Name, 2*len(a.hash))
		}
		a.rules = Rules(a.Name, a.Role)
		u.known[a.Name] = a
	}
	return nil
}

func validUser(name string, role Role) error {
	if err := door.ValidID(name); err != nil {
		return fmt.Errorf("user %w", err)
	}
	_, err := ParseRole(string(role))
	return err
}

// Add makes a user and returns its token, which is shown this once and stored nowhere.
func (u *Users) Add(name string, role Role) (token string, err error) {
	return u.add(name, role, false)
}

// Lend makes a user who is never written to the file and lives as long as u: the hub's own
// connection to its embedded broker.
func (u *Users) Lend(name string, role Role) (token string, err error) {
	return u.add(name, role, true)
}

func (u *Users) add(name string, role Role, lent bool) (string, error) {
	if err := validUser(name, role); err != nil {
		return "", err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.known[name]; ok {
		return "", fmt.Errorf("user %s: %w: choose another, or rotate its token", name, ErrUserExists)
	}
	a := account{User: User{name, role, time.Now().UTC().Truncate(time.Second)}, rules: Rules(name, role), lent: lent}
	return u.issue(a)
}

// Rotate gives a user a new token. The old one is worthless at once, and a connection made
// with it is cut.
func (u *Users) Rotate(name string) (token string, err error) {
	u.mu.Lock()
	a, ok := u.known[name]
	if !ok {
		u.mu.Unlock()
		return "", fmt.Errorf("user %s: %w", name, ErrUserUnknown)
	}
	token, err = u.issue(a)
	u.mu.Unlock()
	if err == nil {
		u.tell(name)
	}
	return token, err
}

// Revoke removes a user and cuts its connections.
func (u *Users) Revoke(name string) error {
	u.mu.Lock()
	a, ok := u.known[name]
	if !ok {
		u.mu.Unlock()
		return fmt.Errorf("user %s: %w", name, ErrUserUnknown)
	}
	u.forget(name)
	err := u.write()
	if err != nil {
		u.set(a)
	}
	u.mu.Unlock()
	if err == nil {
		u.tell(name)
	}
	return err
}

// issue stores a with a new token. The caller holds the lock.
func (u *Users) issue(a account) (string, error) {
	secret := make([]byte, tokenBytes)
	if _, err := rand.Read(secret); err != nil {
		return "", fmt.Errorf("user %s: %w", a.Name, err)
	}
	token := base64.RawURLEncoding.EncodeToString(secret)
	a.hash = sha256.Sum256([]byte(token))
	a.Token = hex.EncodeToString(a.hash[:])
	before, had := u.known[a.Name]
	u.set(a)
	if a.lent {
		return token, nil
	}
	if err := u.write(); err != nil {
		u.forget(a.Name)
		if had {
			u.set(before)
		}
		return "", err
	}
	return token, nil
}

// set and forget change what is known. The caller holds the lock.
func (u *Users) set(a account) {
	u.known[a.Name] = a
	u.changes.Add(1)
}

func (u *Users) forget(name string) {
	delete(u.known, name)
	u.changes.Add(1)
}

func (u *Users) write() error {
	f := usersFile{Users: []account{}}
	for _, a := range u.known {
		if !a.lent {
			f.Users = append(f.Users, a)
		}
	}
	slices.SortFunc(f.Users, func(a, b account) int { return strings.Compare(a.Name, b.Name) })
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("bus users: %w", err)
	}
	if err := replaceFile(u.path, append(text, '\n')); err != nil {
		return fmt.Errorf("bus users: nothing was changed: %w", err)
	}
	return nil
}

// List returns the users of the file by name.
func (u *Users) List() []User {
	u.mu.RLock()
	defer u.mu.RUnlock()
	list := []User{}
	for _, a := range u.known {
		if !a.lent {
			list = append(list, a.User)
		}
	}
	slices.SortFunc(list, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Check reports whether token is the named user's, and the user's role. It takes as long for a
// name that nobody has as for one with another token.
func (u *Users) Check(name, token string) (Role, bool) {
	given := sha256.Sum256([]byte(token))
	u.mu.RLock()
	a, ok := u.known[name]
	u.mu.RUnlock()
	if !ok {
		a.hash = u.nobody
	}
	if same := subtle.ConstantTimeCompare(given[:], a.hash[:]) == 1; !same || !ok {
		return "", false
	}
	return a.Role, true
}

// holds reports whether the user still has the token of this hash.
func (u *Users) holds(name string, hash [sha256.Size]byte) bool {
	u.mu.RLock()
	defer u.mu.RUnlock()
	a, ok := u.known[name]
	return ok && subtle.ConstantTimeCompare(a.hash[:], hash[:]) == 1
}

// rules returns what the user may do now; nothing when it was revoked.
func (u *Users) rules(name string) []Rule {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.known[name].rules
}

// May reports whether a user may do something at present: publish a message that is not retained
// on a topic, or subscribe to a filter. Whom the file does not know may nothing.
func (u *Users) May(name string, a Action, topic string) bool {
	if a == Publish {
		return MayPublish(u.rules(name), topic, false)
	}
	return MaySubscribe(u.rules(name), topic)
}

// role returns what a user is; "" when there is none of that name.
func (u *Users) role(name string) Role {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.known[name].Role
}

// watch has f called with the name of each user whose token has become worthless.
func (u *Users) watch(f func(name string)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.watches = append(u.watches, f)
}

func (u *Users) tell(name string) {
	u.mu.RLock()
	watches := slices.Clone(u.watches)
	u.mu.RUnlock()
	for _, f := range watches {
		f(name)
	}
}
