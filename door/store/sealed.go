package store

import (
	"errors"
	"fmt"

	"github.com/doorhub/doorhub/door"
)

// sealedRoom is how much a sealed field can hold, in bytes; empty or full, it looks the same.
const sealedRoom = 63

// sealedLen is the length of every sealed field, in bytes: nonce, length, room and tag.
const sealedLen = 24 + 1 + sealedRoom + 16

// ErrSealed says that a sealed field holds too much, stands in a record whose kind has none,
// or does not open.
var ErrSealed = errors.New("sealed field")

// hasSealed reports whether records of the kind have a sealed field. All of such a kind
// have one, whether there is anything to say or not.
func hasSealed(k door.Kind) bool {
	return k == door.KindGranted || k == door.KindDenied || k == "disarmed"
}

// sealFor seals plain into e, whose seq and time must be final: it opens nowhere else.
func sealFor(owner []byte, e *entry, plain []byte) (err error) {
	switch {
	case !hasSealed(door.Kind(e.kind)) && len(plain) > 0:
		return fmt.Errorf("%w: a record of kind %q has none", ErrSealed, e.kind)
	case !hasSealed(door.Kind(e.kind)):
		e.sealed = []byte{}
		return nil
	case len(plain) > sealedRoom:
		return fmt.Errorf("%w: %d bytes: use %d at most", ErrSealed, len(plain), sealedRoom)
	}
	padded := make([]byte, 1+sealedRoom)
	padded[0] = byte(len(plain))
	copy(padded[1:], plain)
	e.sealed, err = seal(owner, padded, sealedData(e.seq, e.time))
	return err
}

// OpenSealed returns what a record's sealed field says; nil when it says nothing. Only the
// owner's view and notify may ask.
func (s *Store) OpenSealed(rec door.Record) ([]byte, error) {
	if len(rec.Sealed) == 0 {
		return nil, nil
	}
	padded, err := unseal(s.keys.owner, rec.Sealed, sealedData(int64(rec.Seq), nanos(rec.Time)))
	if err != nil {
		return nil, fmt.Errorf("record %d: %w: %w", rec.Seq, ErrSealed, err)
	}
	if len(padded) != 1+sealedRoom || padded[0] > sealedRoom {
		return nil, fmt.Errorf("record %d: %w: it is no padded text", rec.Seq, ErrSealed)
	}
	if padded[0] == 0 {
		return nil, nil
	}
	return padded[1 : 1+padded[0]], nil
}

func sealedData(seq, time int64) string { return fmt.Sprintf("sealed %d %d", seq, time) }
