package store

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// ErrOwner says that the data folder is another user's. What this one wrote into it, that
// user, the service's, could not write any more: root is no exception.
var ErrOwner = errors.New("run this as that user")

// checkOwner refuses a folder that is not of this process's effective user. What is missing,
// no folder or out of reach is left for others to name.
func checkOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return nil
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	name, as := ownerName(stat.Uid)
	return fmt.Errorf("the data folder %s belongs to user %s: %w, as in: sudo -u %s doorhub …", dir, name, ErrOwner, as)
}

// ownerName is what people call a user, and what sudo -u does.
func ownerName(uid uint32) (name, sudo string) {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username, u.Username
	}
	return id, "'#" + id + "'"
}
