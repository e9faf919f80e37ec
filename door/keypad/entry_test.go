package keypad

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEntry(t *testing.T) {
	const s = time.Second
	digit := func(at time.Duration) Event { return Event{Kind: Digit, At: at} }
	for name, c := range map[string]struct {
		keys []any // a rune typed, or a pause before it
		want []Event
	}{
		"a secret":        {[]any{'1', '2', '#'}, []Event{digit(0), digit(0), {Kind: Entered, Secret: NewSecret("12")}}},
		"cleared by *":    {[]any{'1', '*', '2', '#'}, []Event{digit(0), {Kind: Cleared}, digit(0), {Kind: Entered, Secret: NewSecret("2")}}},
		"nothing entered": {[]any{'#', '*', '#'}, nil},
		"just in time":    {[]any{'1', 10*s - 1, '2', '#'}, []Event{digit(0), digit(10*s - 1), {Kind: Entered, Secret: NewSecret("12"), At: 10*s - 1}}},
		"too late":        {[]any{'1', 10 * s, '2', '#'}, []Event{digit(0), {Kind: Cleared, At: 10 * s}, digit(10 * s), {Kind: Entered, Secret: NewSecret("2"), At: 10 * s}}},
		"function key":    {[]any{'1', 'A', '2', '#'}, []Event{digit(0), {Kind: Function, Function: 'A'}, digit(0), {Kind: Entered, Secret: NewSecret("12")}}},
		"no key":          {[]any{'x', '1', '#'}, []Event{digit(0), {Kind: Entered, Secret: NewSecret("1")}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := NewEntry(Defaults())
			var now time.Duration
			var got []Event
			for _, k := range c.keys {
				switch k := k.(type) {
				case time.Duration:
					now += k
				case rune:
					got = append(got, e.Key(now, k)...)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEntryDropsTheTooLongWhole(t *testing.T) {
	for n, want := range map[int]Kind{1: Entered, 12: Entered, 13: TooLong, 25: TooLong, 100000: TooLong} {
		e := NewEntry(Defaults())
		for range n {
			e.Key(0, '7')
		}
		got := e.Key(0, '#')
		if len(got) != 1 || got[0].Kind != want {
			t.Fatalf("%d digits: %v", n, got)
		}
		if want == Entered && got[0].Secret.Len() != n || want == TooLong && got[0].Secret.Len() != 0 {
			t.Errorf("%d digits: a secret of %d", n, got[0].Secret.Len())
		}
		if again := e.Key(0, '#'); again != nil {
			t.Errorf("%d digits: entered again: %v", n, again)
		}
	}
}

func TestSecretNeverShows(t *testing.T) {
	const digits = "246810"
	secret := NewSecret(digits)
	entry := NewEntry(Defaults())
	for _, k := range digits {
		entry.Key(0, k)
	}
	foreign := struct{ private Secret }{secret} // fmt cannot call methods of what it may not touch
	var shown bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{secret, &secret, foreign, Event{Kind: Entered, Secret: secret}, entry, *entry, []Secret{secret}} {
			fmt.Fprintf(&shown, verb+"\n", v)
		}
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&shown, nil), slog.NewJSONHandler(&shown, nil)} {
		slog.New(h).Info("typed", "secret", secret, "event", Event{Secret: secret}, "entry", entry)
	}
	coded, err := json.Marshal(map[string]any{"secret": secret, "event": Event{Secret: secret}})
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(coded)
	for _, leak := range []string{digits, fmt.Sprintf("%x", digits), fmt.Sprint([]byte(digits))} {
		if strings.Contains(shown.String(), leak) {
			t.Errorf("the digits show as %q in:\n%s", leak, &shown)
		}
	}
	if secret.Reveal() != digits || !strings.Contains(shown.String(), hidden) {
		t.Error("the secret cannot be revealed, or nothing was printed")
	}
}

func TestSecretEqual(t *testing.T) {
	for _, c := range []struct {
		a, b Secret
		want bool
	}{
		{NewSecret("12"), NewSecret("12"), true}, {NewSecret("12"), NewSecret("13"), false},
		{NewSecret("12"), NewSecret("123"), false}, {Secret{}, NewSecret(""), true}, {Secret{}, NewSecret("1"), false},
	} {
		if c.a.Equal(c.b) != c.want {
			t.Errorf("%q and %q: equal is %v", c.a.Reveal(), c.b.Reveal(), !c.want)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
	for _, layout := range []string{"", "123A456B789C*0#", "123A456B789C*0##", "123A456B789C*0#E", "123A456B789C*0#\u0664", "123A456B789C*01D"} {
		c := Defaults()
		c.Layout = layout
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "123A456B789C*0#D") {
			t.Errorf("layout %q: %v", layout, err)
		}
	}
	bad := Config{Layout: Defaults().Layout, Debounce: time.Hour, Settle: -1}
	for _, key := range []string{"debounce", "scan", "settle", "timeout", "max_digits"} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), key+": ") {
			t.Errorf("%v does not name %s", err, key)
		}
	}
}
