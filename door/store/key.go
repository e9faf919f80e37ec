package store

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Names of the files in the data folder.
const (
	databaseFile = "doorhub.db"
	keyFile      = "key"
	headFileName = "head"
	lockFile     = "lock"
)

// keyLen is the length of the key and of every key derived from it, in bytes.
const keyLen = 32

// ErrNoKey says that the data folder has no key file.
var ErrNoKey = errors.New("no key file")

// ErrKeyExists says that the data folder has a key already; a second one is never made.
var ErrKeyExists = errors.New("there is a key already")

// ErrKeyMode says that others can read the key file.
var ErrKeyMode = errors.New("the key file is open to others")

// ErrWrongKey says that the key is not the one the database was made with.
var ErrWrongKey = errors.New("this key is not the database's")

// keys are derived from the key file by HKDF-SHA-256 (RFC 5869), one for each use, so that
// no use can tell anything about another.
type keys struct {
	index   []byte // keyed index of PINs and remote codes
	pepper  []byte // mixed into them before argon2id
	face    []byte // seals face descriptors
	journal []byte // the hash chain
	owner   []byte // seals what only the owner may read
	alias   []byte // makes names that nobody can guess
	check   []byte // kept in the database to know its key by; opens nothing
}

// CreateKey makes the data folder (0700) where there is none, and in it the key file: 32
// random bytes as hex, 0600. It never replaces a key, and makes none beside a database,
// whose key would then be lost, and none in a folder of another user (ErrOwner).
func CreateKey(dir string) error {
	if err := checkOwner(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return explainFile("make the data folder", dir, err)
	}
	if _, err := os.Stat(filepath.Join(dir, databaseFile)); !errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, keyFile)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w, but a database made with one: restore the key file from your backup", dir, ErrNoKey)
		}
	}
	var key [keyLen]byte
	rand.Read(key[:]) // never fails, by its documentation
	return writeKey(filepath.Join(dir, keyFile), hex.AppendEncode(nil, key[:]))
}

func writeKey(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w: keep it, or choose another data folder", path, ErrKeyExists)
	}
	if err != nil {
		return explainFile("write the key", path, err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close(), syncFolder(filepath.Dir(path))); err != nil {
		return errors.Join(explainFile("write the key", path, err), os.Remove(path)) // half a key helps nobody
	}
	return nil
}

// syncFolder makes the creation of a file in dir durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func loadKey(dir string) ([]byte, error) {
	path := filepath.Join(dir, keyFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missingKey(dir)
	}
	if err != nil {
		return nil, explainFile("read the key", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file: put the key file there", path)
	}
	if info.Mode().Perm()&0o177 != 0 {
		return nil, fmt.Errorf("%w (mode %04o): run chmod 600 %s", ErrKeyMode, info.Mode().Perm(), path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, explainFile("read the key", path, err)
	}
	return parseKey(path, text)
}

func missingKey(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, databaseFile)); err == nil {
		return fmt.Errorf("%s: %w: restore it from your backup; without it the database cannot be read", dir, ErrNoKey)
	}
	return fmt.Errorf("%s: %w: run doorhub init first", dir, ErrNoKey)
}

func parseKey(path string, text []byte) ([]byte, error) {
	text = bytes.TrimSpace(text)
	key := make([]byte, keyLen)
	if len(text) != hex.EncodedLen(keyLen) {
		return nil, fmt.Errorf("%s is damaged: it holds %d characters where a key has 64 hex digits; restore it from your backup", path, len(text))
	}
	if _, err := hex.Decode(key, text); err != nil {
		return nil, fmt.Errorf("%s is damaged: a key has 64 hex digits; restore it from your backup", path)
	}
	return key, nil
}

// Alias returns 16 hex digits that are always the same for a name, and that nobody can guess
// who has not the key.
func (s *Store) Alias(name string) string {
	return hex.EncodeToString(keyed(s.keys.alias, name)[:8])
}

func deriveKeys(key []byte) (keys, error) {
	var k keys
	for _, use := range []struct {
		to   *[]byte
		info string
	}{
		{&k.index, "index"}, {&k.pepper, "pepper"}, {&k.face, "face"},
		{&k.journal, "journal"}, {&k.owner, "owner"}, {&k.alias, "alias"}, {&k.check, "check"},
	} {
		sub, err := hkdf.Key(sha256.New, key, nil, "doorhub 1 "+use.info, keyLen)
		if err != nil {
			return keys{}, fmt.Errorf("derive the %s key: %w", use.info, err)
		}
		*use.to = sub
	}
	return k, nil
}

// keyed is HMAC-SHA-256 under key.
func keyed(key []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, key)
	for _, p := range parts {
		mac.Write([]byte(p))
	}
	return mac.Sum(nil)
}
