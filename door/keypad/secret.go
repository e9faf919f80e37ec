package keypad

import (
	"crypto/subtle"
	"log/slog"
)

const hidden = "***"

// Secret is what somebody typed. However it is printed, logged or encoded, its digits do
// not show; only Reveal gives them away. The zero value is the empty secret.
type Secret struct {
	digits *string // a pointer, since fmt prints unexported strings of foreign structs
}

// NewSecret hides the digits.
func NewSecret(digits string) Secret { return Secret{&digits} }

// Reveal returns the digits, to be checked and forgotten.
func (s Secret) Reveal() string {
	if s.digits == nil {
		return ""
	}
	return *s.digits
}

// Len returns the number of digits.
func (s Secret) Len() int { return len(s.Reveal()) }

// Equal compares in a time that depends on the lengths only.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns "***".
func (s Secret) String() string { return hidden }

// LogValue logs "***".
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText encodes "***".
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
