package store

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// longestName is the longest name of a person, in runes.
const longestName = 100

// ErrName says that a name cannot be a person's.
var ErrName = errors.New("this name cannot be used")

// cleanName returns the name as it is kept: without space around it. Quotes and markup
// are fine, they are data; what could break a line or turn its direction is not.
func cleanName(name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", fmt.Errorf("%w: it is not UTF-8: type it again", ErrName)
	}
	name = strings.TrimSpace(name)
	switch n := utf8.RuneCountInString(name); {
	case n > longestName:
		return "", fmt.Errorf("%w: it has %d characters: use 1 to %d", ErrName, n, longestName)
	case strings.ContainsFunc(name, breaksLine):
		return "", fmt.Errorf("%w: it has a line break or another control character: leave that out", ErrName)
	case !strings.ContainsFunc(name, visible):
		return "", fmt.Errorf("%w: it is empty: use 1 to %d characters", ErrName, longestName)
	}
	return name, nil
}

func breaksLine(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

func visible(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) }

// fold makes names that differ in case or in the width of their gaps alone equal.
func fold(name string) string {
	return strings.ToLower(strings.ToUpper(strings.Join(strings.Fields(name), " ")))
}
