package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Lengths of PINs and remote codes, in digits.
const (
	shortestPIN  = 4 // no setting goes below
	longestPIN   = 12
	shortestCode = 8
	longestCode  = 32
)

// ErrRefused says that a PIN or remote code has a wrong length or is one that is guessed first.
var ErrRefused = errors.New("refused")

// checkDigits refuses what is no secret: wrong lengths, other characters, and patterns that
// lead the lists of PINs found in breaches. The error never repeats the digits.
func checkDigits(what, digits string, shortest, longest int) error {
	if strings.ContainsFunc(digits, func(r rune) bool { return r < '0' || r > '9' }) {
		return fmt.Errorf("%s %w: it has characters that are no digits: use 0 to 9", what, ErrRefused)
	}
	if n := len(digits); n < shortest || n > longest {
		return fmt.Errorf("%s %w: it has %d digits: use %d to %d", what, ErrRefused, n, shortest, longest)
	}
	for _, rule := range []struct {
		weak   func(string) bool
		reason string
	}{
		{repeats, "it repeats itself"},
		{counts, "it counts up or down"},
		{doubles, "it counts in doubled digits"},
		{mirrors, "it counts up and down again"},
		{isYears, "it is made of years"},
		{isDate, "it reads as a date"},
		{isKeypadLines, "it runs along lines of the keypad"},
	} {
		if rule.weak(digits) {
			return fmt.Errorf("%s %w: %s, which is guessed first: choose another", what, ErrRefused, rule.reason)
		}
	}
	return nil
}

// repeats: 777777, 121212, 123412341234.
func repeats(d string) bool {
	for n := 1; n <= len(d)/2; n++ {
		if len(d)%n == 0 && strings.Repeat(d[:n], len(d)/n) == d {
			return true
		}
	}
	return false
}

// counts: 123456, 987654, 890123.
func counts(d string) bool { return countsBy(d, 1) || countsBy(d, 9) }

func countsBy(d string, step byte) bool {
	for i := 1; i < len(d); i++ {
		if (d[i-1]-'0'+step)%10 != d[i]-'0' {
			return false
		}
	}
	return true
}

// doubles: 112233, 998877, 111222; every digit as often as the others.
func doubles(d string) bool {
	for n := 2; n <= len(d)/2; n++ {
		if len(d)%n != 0 {
			continue
		}
		var one []byte
		for i := 0; i < len(d); i += n {
			one = append(one, d[i])
		}
		if each := string(one); spread(each, n) == d && counts(each) {
			return true
		}
	}
	return false
}

func spread(d string, n int) string {
	var b strings.Builder
	for _, r := range d {
		b.WriteString(strings.Repeat(string(r), n))
	}
	return b.String()
}

// mirrors: 123321, 1234321.
func mirrors(d string) bool {
	back := []byte(d)
	slices.Reverse(back)
	return string(back) == d && counts(d[:(len(d)+1)/2])
}

// isYears: 19801985, 202420252026.
func isYears(d string) bool {
	for ; len(d) >= 4; d = d[4:] {
		if d[:2] != "19" && d[:2] != "20" {
			return false
		}
	}
	return d == ""
}

// isDate: birthdays, in the orders in which people write them, with two or four digits of
// the year.
func isDate(d string) bool {
	for _, layout := range []string{"020106", "010206", "060102", "012006", "200601", "02012006", "01022006", "20060102"} {
		if len(layout) != len(d) {
			continue
		}
		t, err := time.Parse(layout, d)
		if err == nil && t.Year() >= 1900 && t.Year() < 2100 {
			return true
		}
	}
	return false
}

// isKeypadLines: 147258, 159753, 123654, and with a line begun at the end, 1472583.
func isKeypadLines(d string) bool {
	lines := []string{"123", "456", "789", "147", "258", "369", "159", "357"}
	for ; len(d) > 0; d = d[min(3, len(d)):] {
		chunk := d[:min(3, len(d))]
		if !slices.ContainsFunc(lines, func(line string) bool { return runsAlong(chunk, line) }) {
			return false
		}
	}
	return true
}

func runsAlong(chunk, line string) bool {
	back := string([]byte{line[2], line[1], line[0]})
	return strings.HasPrefix(line, chunk) || strings.HasPrefix(back, chunk)
}
