package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPIN(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann, bob := mustAdd(t, s, "Ann"), mustAdd(t, s, "Bob")
	must(t, s.SetPIN(ctx, ann, "246810"))
	must(t, s.SetPIN(ctx, bob, "975318"))
	wantLookup(t, s.LookupPIN, "246810", ann)
	wantLookup(t, s.LookupPIN, "975318", bob)
	for _, nobodys := range []string{"", "24681", "2468100", "246811", "246810 ", "２４６８１０", strings.Repeat("1", 10_000)} {
		wantLookup(t, s.LookupPIN, nobodys, "")
	}

	must(t, s.SetPIN(ctx, ann, "246810")) // the same again
	must(t, s.SetPIN(ctx, ann, "518273"))
	wantLookup(t, s.LookupPIN, "246810", "")
	wantLookup(t, s.LookupPIN, "518273", ann)
	must(t, s.RemovePIN(ctx, ann))
	wantLookup(t, s.LookupPIN, "518273", "")
	must(t, s.SetPIN(ctx, bob, "518273"))
	wantErr(t, s.SetPIN(ctx, "p9", "246810"), ErrNoPerson)
}

func TestPINTakenTellsNobodysName(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann, bob := mustAdd(t, s, "Ann"), mustAdd(t, s, "Bob")
	must(t, s.SetPIN(ctx, ann, "246810"))
	err := s.SetPIN(ctx, bob, "246810")
	wantErr(t, err, ErrPINTaken)
	for _, word := range []string{"Ann", "Bob", ann, bob, "246810"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("error %q tells %q", err, word)
		}
	}
	wantLookup(t, s.LookupPIN, "246810", ann)
	must(t, s.SetRemoteCode(ctx, ann, "86420975"))
	wantErr(t, s.SetRemoteCode(ctx, bob, "86420975"), ErrCodeTaken)
}

func TestRemoteCodeIsNoPIN(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	ann, bob := mustAdd(t, s, "Ann"), mustAdd(t, s, "Bob")
	must(t, s.SetRemoteCode(ctx, ann, "86420975"))
	must(t, s.SetPIN(ctx, bob, "71839264"))
	wantLookup(t, s.LookupRemoteCode, "86420975", ann)
	wantLookup(t, s.LookupPIN, "86420975", "")
	wantLookup(t, s.LookupRemoteCode, "71839264", "")
	must(t, s.SetPIN(ctx, bob, "86420975")) // namespaces of their own
	wantLookup(t, s.LookupPIN, "86420975", bob)
	wantLookup(t, s.LookupRemoteCode, "86420975", ann)
	var different int
	must(t, s.reader.QueryRow(`SELECT count(DISTINCT lookup) FROM secrets`).Scan(&different))
	if different != 2 {
		t.Error("the database tells that a PIN and a remote code have the same digits")
	}
	must(t, s.RemoveRemoteCode(ctx, ann))
	wantLookup(t, s.LookupRemoteCode, "86420975", "")
	wantErr(t, s.SetRemoteCode(ctx, ann, "8642097"), ErrRefused)
}

func TestSecretsSurviveRestartAndAreNotOnDisk(t *testing.T) {
	ctx, dir := context.Background(), newFolder(t)
	s := mustOpen(t, dir)
	ann := mustAdd(t, s, "Ann")
	must(t, s.SetPIN(ctx, ann, "246810"))
	mustClose(t, s)
	content, err := os.ReadFile(filepath.Join(dir, databaseFile))
	must(t, err)
	if bytes.Contains(content, []byte("246810")) {
		t.Error("the PIN stands in the database")
	}
	wantLookup(t, mustOpen(t, dir).LookupPIN, "246810", ann)
}

// A row whose keyed index matches still needs the right hash.
func TestLookupChecksTheHash(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	must(t, s.SetPIN(ctx, mustAdd(t, s, "Ann"), "246810"))
	raw(t, s.dir, `UPDATE secrets SET hash = zeroblob(32)`)
	wantLookup(t, s.LookupPIN, "246810", "")
	raw(t, s.dir, `UPDATE secrets SET hash = x''`)
	wantLookup(t, s.LookupPIN, "246810", "")
}

// With all places for argon2id taken, no lookup is answered, whether the PIN is somebody's
// or not: none takes a short cut that a watch could tell.
func TestEveryLookupCostsArgon(t *testing.T) {
	s := newStore(t)
	must(t, s.SetPIN(context.Background(), mustAdd(t, s, "Ann"), "246810"))
	for range argonAtOnce {
		s.argon <- struct{}{}
	}
	for _, pin := range []string{"246810", "135792", "", "x"} {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		_, err := s.LookupPIN(ctx, pin)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("PIN %q was answered with no place for argon2id: %v", pin, err)
		}
	}
}

func TestRefusedPINs(t *testing.T) {
	for reason, pins := range map[string]string{
		"digits: use":   "1234 1 12345 1234567890123",
		"no digits":     "24681a 24681-  ２４６８１０ -24681",
		"repeats":       "000000 777777 121212 123123 1234512345 696969",
		"counts up":     "123456 654321 012345 987654 890123 456789 210987",
		"doubled":       "112233 998877 111222 665544",
		"down again":    "123321 1234321 765567",
		"made of years": "19802001 202420252026",
		"as a date":     "240685 062485 850624 24061985 06241985 19850624 061985 198506 010100",
		"keypad":        "147258 159753 123654 789456 1472583 963852 258147369",
	} {
		for _, pin := range strings.Fields(pins) {
			err := checkDigits("PIN", pin, 6, longestPIN)
			wantErr(t, err, ErrRefused)
			if !strings.Contains(err.Error(), reason) {
				t.Errorf("PIN %s: error %q does not say %q", pin, err, reason)
			}
			if strings.Contains(err.Error(), pin+" ") && len(pin) > 2 {
				t.Errorf("error %q repeats the PIN", err)
			}
		}
	}
	for _, pin := range strings.Fields("246810 975318 518273 000001 147259 663344 198765 320685 907153 100000000000") {
		if err := checkDigits("PIN", pin, 6, longestPIN); err != nil {
			t.Errorf("PIN %s: %v", pin, err)
		}
	}
}

// The rules must leave nearly all PINs, or they help the guesser.
func TestFewPINsAreRefused(t *testing.T) {
	const step = 17 // every seventeenth six-digit PIN
	tried, refused := 0, 0
	for n := 0; n < 1_000_000; n += step {
		tried++
		if checkDigits("PIN", fmt.Sprintf("%06d", n), 6, longestPIN) != nil {
			refused++
		}
	}
	if share := float64(refused) / float64(tried); share < 0.05 || share > 0.12 {
		t.Errorf("%.1f %% of six-digit PINs are refused, want 5 to 12, nearly all of them dates", 100*share)
	}
}

func TestShortPINsBySetting(t *testing.T) {
	ctx := context.Background()
	c := Defaults()
	c.MinPIN = 4
	s := mustOpen(t, newFolder(t), With(c))
	ann := mustAdd(t, s, "Ann")
	must(t, s.SetPIN(ctx, ann, "2468"))
	for _, pin := range []string{"1234", "1111", "1212", "123", "1980", "2025"} {
		wantErr(t, s.SetPIN(ctx, ann, pin), ErrRefused)
	}
}

func wantLookup(tb testing.TB, look func(context.Context, string) (string, error), digits, want string) {
	tb.Helper()
	got, err := look(context.Background(), digits)
	if err != nil || got != want {
		tb.Errorf("%.20q is %q's, %v; want %q", digits, got, err, want)
	}
}
