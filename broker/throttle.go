package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	freeFailures = 20               // wrong logins of an address or a user before it is blocked
	moreFailures = 5                // after a block, before the next
	firstBlock   = time.Minute      // doubled by each
	longestBlock = 15 * time.Minute // to this
	forgiveAfter = time.Hour        // without a wrong login
	mostTracked  = 10_000           // addresses and users with wrong logins, or with right ones
)

// throttle limits logins with wrong tokens, by address and by user name. Guessing a token of
// 256 bits is hopeless, however often one may try; what is limited is the work and the noise.
// So a user must not be locked out by somebody who uses its name: from where it has logged in
// before, it always may. A block outlives a restart, from which it runs anew.
type throttle struct {
	path   string
	exempt func(address string) bool // from blocks by address
	tell   func(what string)

	mu      sync.Mutex
	failed  map[string]*failures
	friends map[string]bool // "address user" of logins that went well
}

// failures are the wrong logins of one address or user.
type failures struct {
	n     int
	last  time.Time
	block time.Duration // the present or last
	until time.Time
}

// throttleFile is what outlives a restart.
type throttleFile struct {
	Blocked map[string]int64 `json:"blocked"` // seconds
	Friends []string         `json:"friends"`
}

func openThrottle(path string, tell func(what string)) (*throttle, error) {
	t := &throttle{path: path, exempt: loopback, tell: tell, failed: map[string]*failures{}, friends: map[string]bool{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	var f throttleFile
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		return t, fmt.Errorf("blocked logins: %w; all may try again", err)
	}
	for key, s := range f.Blocked {
		d := min(time.Duration(s)*time.Second, longestBlock)
		t.failed[key] = &failures{n: freeFailures, last: time.Now(), block: d, until: time.Now().Add(d)}
	}
	for _, pair := range f.Friends {
		t.friends[pair] = true
	}
	return t, nil
}

// address is what is counted of a remote address: an IPv6 network counts as one. "" is within
// this process.
func address(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return ""
	}
	if tcp.IP.To4() == nil {
		return tcp.IP.Mask(net.CIDRMask(64, 128)).String()
	}
	return tcp.IP.String()
}

func byAddress(address string) string { return "address " + address }
func byUser(user string) string       { return "user " + user }

// welcome reports whether a connection from an address may try to log in at all.
func (t *throttle) welcome(address string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.blocked(byAddress(address)) || slices.ContainsFunc(t.pairs(), func(pair string) bool {
		return strings.HasPrefix(pair, address+" ")
	})
}

func (t *throttle) pairs() []string {
	var all []string
	for pair := range t.friends {
		all = append(all, pair)
	}
	return all
}

// allowed reports whether a login of a user from an address is looked at.
func (t *throttle) allowed(address, user string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return address == "" || t.friends[address+" "+user] || !t.blocked(byAddress(address)) && !t.blocked(byUser(user))
}

func (t *throttle) blocked(key string) bool {
	f := t.failed[key]
	return f != nil && time.Now().Before(f.until)
}

// list returns who is blocked, each sorted.
func (t *throttle) list() (addresses, users []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.failed {
		if !t.blocked(key) {
			continue
		}
		if a, ok := strings.CutPrefix(key, byAddress("")); ok {
			addresses = append(addresses, a)
		} else {
			users = append(users, strings.TrimPrefix(key, byUser("")))
		}
	}
	slices.Sort(addresses)
	slices.Sort(users)
	return addresses, users
}

// right notes a login that went well.
func (t *throttle) right(address, user string) error {
	pair := address + " " + user
	t.mu.Lock()
	defer t.mu.Unlock()
	if address == "" || t.friends[pair] {
		return nil
	}
	if len(t.friends) >= mostTracked {
		clear(t.friends) // those that come again are noted again
	}
	t.friends[pair] = true
	return t.write()
}

// wrong notes a login that did not, with the name of a user that there is, or "".
func (t *throttle) wrong(address, user string) error {
	if address == "" {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	began := user != "" && t.count(byUser(user))
	if !t.exempt(address) && t.count(byAddress(address)) {
		began = true
	}
	if !began {
		return nil
	}
	return t.write()
}

// count adds a wrong login and reports whether it begins a block.
func (t *throttle) count(key string) bool {
	now := time.Now()
	f := t.failed[key]
	if f == nil || now.Sub(f.last) > forgiveAfter {
		t.makeRoom(now)
		f = &failures{}
		t.failed[key] = f
	}
	f.n++
	f.last = now
	if f.n < freeFailures || now.Before(f.until) {
		return false
	}
	f.block = min(max(firstBlock, 2*f.block), longestBlock)
	f.until = now.Add(f.block)
	f.n = freeFailures - moreFailures
	t.tell(fmt.Sprintf("%s for %s", key, f.block))
	return true
}

// makeRoom forgets who has done nothing wrong for long or, when all have, those not blocked.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.failed) < mostTracked {
		return
	}
	for key, f := range t.failed {
		if now.Sub(f.last) > forgiveAfter || now.After(f.until) {
			delete(t.failed, key)
		}
	}
	if len(t.failed) >= mostTracked {
		clear(t.failed)
	}
}

func (t *throttle) write() error {
	f := throttleFile{Blocked: map[string]int64{}, Friends: t.pairs()}
	for key, x := range t.failed {
		if t.blocked(key) {
			f.Blocked[key] = int64(x.block / time.Second)
		}
	}
	slices.Sort(f.Friends)
	text, err := json.Marshal(f)
	if err == nil {
		err = replaceFile(t.path, text)
	}
	if err != nil {
		return fmt.Errorf("blocked logins are forgotten at the next restart: %w", err)
	}
	return nil
}
