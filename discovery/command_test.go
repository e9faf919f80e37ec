package discovery

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

const frontLock = "doorhub/cmd/door/front/lock"

func TestParseCommandRecorded(t *testing.T) {
	recorded, err := os.ReadFile("testdata/commands.txt")
	if err != nil {
		t.Fatal(err)
	}
	var payload string
	var read int
	for line := range strings.Lines(string(recorded)) {
		line = strings.TrimSuffix(line, "\n")
		want, isAnswer := strings.CutPrefix(line, "  -> ")
		switch {
		case strings.HasPrefix(line, "#"):
		case !isAnswer:
			payload = line
		default:
			read++
			if got := answer(payload); got != want {
				t.Errorf("%s\n got %s\nwant %s", payload, got, want)
			}
		}
	}
	if read == 0 {
		t.Fatal("testdata/commands.txt holds no command")
	}
}

func answer(payload string) string {
	cmd, code, err := ParseCommand(frontLock, []byte(payload), false)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %q %s", cmd.Action, code, cmd.At.Format(time.RFC3339Nano))
}

func TestParseCommand(t *testing.T) {
	at := time.UnixMicro(1795240000_123456).UTC()
	lock := door.Command{Door: "front", Action: door.ActionLock, Code: door.NoCode}
	unlock := door.Command{Door: "front", Action: door.ActionUnlock, Code: door.NoCode}
	dated := unlock
	dated.At = at
	tests := map[string]struct {
		payload string
		want    door.Command
		code    string
	}{
		"bare lock":            {"LOCK", lock, ""},
		"bare lock, line end":  {" LOCK\r\n", lock, ""},
		"bare unlock":          {"UNLOCK", unlock, ""},
		"whole":                {`{"action":"UNLOCK","code":"12345678","at":1795240000.123456}`, dated, "12345678"},
		"spaced, other order":  {" {\n\"at\" : 1795240000.123456 , \"code\":\"0\", \"action\":\"UNLOCK\"} ", dated, "0"},
		"exponent":             {`{"action":"UNLOCK","at":1.795240000123456e9}`, dated, ""},
		"nulls":                {`{"action":"UNLOCK","code":null,"at":null}`, unlock, ""},
		"unknown keys":         {`{"action":"UNLOCK","user":"ann","Code":"1","AT":7}`, unlock, ""},
		"longest code":         {`{"action":"UNLOCK","code":"` + strings.Repeat("7", MaxCode) + `"}`, unlock, strings.Repeat("7", MaxCode)},
		"escaped code":         {`{"action":"UNLOCK","code":"\u0031"}`, unlock, "1"},
		"lock, bad code":       {`{"action":"LOCK","code":"abc"}`, lock, ""},
		"lock, code no text":   {`{"action":"LOCK","code":{"a":[1]}}`, lock, ""},
		"lock, right code":     {`{"action":"LOCK","code":"12345678"}`, lock, ""},
		"lock, bad time":       {`{"action":"LOCK","at":"yesterday"}`, lock, ""},
		"lock, time too great": {`{"action":"LOCK","at":1e999}`, lock, ""},
		"lock twice said":      {`{"action":"UNLOCK","action":"LOCK","code":"1"}`, lock, ""},
	}
	for name, test := range tests {
		for _, retained := range []bool{false, true} {
			got, code, err := ParseCommand(frontLock, []byte(test.payload), retained)
			want := test.want
			want.Retained = retained
			if err != nil || code != test.code {
				t.Errorf("%s: code %q, error %v; want %q", name, code, err, test.code)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

func TestParseCommandRefuses(t *testing.T) {
	with := func(key, value string) string { return `{"action":"UNLOCK","` + key + `":` + value + `}` }
	tests := map[string]struct {
		payload string
		want    error
	}{
		"empty":           {"", ErrEmpty},
		"blank":           {" \r\n\t", ErrEmpty},
		"huge":            {"LOCK" + strings.Repeat(" ", MaxCommand), ErrHuge},
		"not UTF-8":       {"{\"action\":\"UNLOCK\xff\"}", ErrUTF8},
		"word":            {"lock", ErrNotJSON},
		"number":          {"1", ErrNotJSON},
		"null":            {"null", ErrNotJSON},
		"list":            {`["LOCK"]`, ErrNotJSON},
		"text":            {`"LOCK"`, ErrNotJSON},
		"cut off":         {`{"action":"LOCK"`, ErrNotJSON},
		"two objects":     {`{"action":"LOCK"}{"action":"UNLOCK"}`, ErrNotJSON},
		"at NaN":          {with("at", "NaN"), ErrNotJSON},
		"at Infinity":     {with("at", "-Infinity"), ErrNotJSON},
		"byte order mark": {"\uFEFFLOCK", ErrNotJSON},
		"no action":       {`{"code":"12345678"}`, ErrAction},
		"action null":     {`{"action":null}`, ErrAction},
		"action number":   {`{"action":1}`, ErrAction},
		"action open":     {`{"action":"OPEN"}`, ErrAction},
		"action case":     {`{"action":"Unlock"}`, ErrAction},
		"key case":        {`{"Action":"LOCK"}`, ErrAction},
		"code number":     {with("code", "12345678"), ErrCode},
		"code letters":    {with("code", `"1234567a"`), ErrCode},
		"code spaced":     {with("code", `" 12345678"`), ErrCode},
		"code signed":     {with("code", `"-12345678"`), ErrCode},
		"code broken":     {with("code", `"12345678\n"`), ErrCode},
		"code too long":   {with("code", `"`+strings.Repeat("7", MaxCode+1)+`"`), ErrCode},
		"code object":     {with("code", `{"a":"12345678"}`), ErrCode},
		"at text":         {with("at", `"1795240000"`), ErrAt},
		"at text NaN":     {with("at", `"NaN"`), ErrAt},
		"at too great":    {with("at", "1e999"), ErrAt},
		"at zero":         {with("at", "0"), ErrAt},
		"at negative":     {with("at", "-1795240000"), ErrAt},
		"at milliseconds": {with("at", "1795240000123"), ErrAt},
		"at true":         {with("at", "true"), ErrAt},
	}
	for name, test := range tests {
		got, code, err := ParseCommand(frontLock, []byte(test.payload), true)
		if !errors.Is(err, test.want) || code != "" {
			t.Errorf("%s: code %q, error %v; want %v", name, code, err, test.want)
		}
		want := door.Command{Door: "front", Retained: true, Bad: test.want.Error()}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseCommandTopic(t *testing.T) {
	for _, topic := range []string{
		"", "doorhub/cmd/door/front", "doorhub/cmd/door//lock", "doorhub/cmd/door/lock", "doorhub/cmd/door/a/b/lock",
		"doorhub/cmd/door/+/lock", "doorhub/cmd/door/Front/lock", "doorhub/cmd/door/front/lock/", "/doorhub/cmd/door/front/lock",
		"doorhub/cmd/door/front\n/lock", "doorhub/cmd/alarm", "doorhub/cmd/door/" + strings.Repeat("a", 33) + "/lock",
	} {
		cmd, _, err := ParseCommand(topic, []byte("LOCK"), false)
		if !errors.Is(err, ErrTopic) || cmd.Door != "" || cmd.Action != "" || cmd.Bad == "" {
			t.Errorf("%q: %+v, %v; want it refused", topic, cmd, err)
		}
	}
}

// Home Assistant writes a time as Python does: the shortest digits that stand for the float.
func TestParseCommandToTheMicrosecond(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		want := time.UnixMicro(earliest*1e6 + r.Int64N((latest-earliest)*1e6)).UTC()
		seconds := fmt.Sprintf("%d.%06d", want.Unix(), want.Nanosecond()/1000)
		cmd, _, err := ParseCommand(frontLock, []byte(`{"action":"UNLOCK","at":`+seconds+`}`), false)
		if err != nil || !cmd.At.Equal(want) {
			t.Fatalf("%s: %s, %v; want %s", seconds, cmd.At, err, want)
		}
	}
}

// Whatever comes: no panic, nothing of it in the error, and nothing but digits as a code.
func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{"LOCK", "UNLOCK", "", `{"action":"UNLOCK","code":"12345678","at":1795240000.123456}`,
		`{"action":"LOCK","code":7}`, `{"action":"12345678"}`, `{"at":1e999,"action":"UNLOCK"}`, "\xff{", `[[[[`} {
		f.Add("front", []byte(seed), true)
	}
	texts := map[string]bool{}
	for _, err := range []error{ErrTopic, ErrEmpty, ErrHuge, ErrUTF8, ErrNotJSON, ErrAction, ErrCode, ErrAt} {
		texts[err.Error()] = true
	}
	f.Fuzz(func(t *testing.T, id string, payload []byte, retained bool) {
		cmd, code, err := ParseCommand("doorhub/cmd/door/"+id+"/lock", payload, retained)
		if cmd.Retained != retained || cmd.User != "" || cmd.Person != "" {
			t.Errorf("%+v says what the message did not", cmd)
		}
		if err != nil {
			refused(t, cmd, code, texts)
			return
		}
		if cmd.Bad != "" || cmd.Door != id || (cmd.Action != door.ActionLock && cmd.Action != door.ActionUnlock) {
			t.Errorf("taken, and yet %+v", cmd)
		}
		if len(code) > MaxCode || strings.Trim(code, "0123456789") != "" || (code != "" && cmd.Action == door.ActionLock) {
			t.Errorf("%s with code %q", cmd.Action, code)
		}
		if !cmd.At.IsZero() && (cmd.At.Unix() < earliest || cmd.At.Unix() > latest) {
			t.Errorf("at %s", cmd.At)
		}
	})
}

// refused checks that the error is one of the fixed texts, which hold nothing of a payload.
func refused(t *testing.T, cmd door.Command, code string, texts map[string]bool) {
	t.Helper()
	if !texts[cmd.Bad] || strings.ContainsAny(cmd.Bad, "\r\n") || code != "" {
		t.Errorf("refused with %q, code %q", cmd.Bad, code)
	}
	if cmd.Action != "" || !cmd.At.IsZero() || cmd.Code != "" {
		t.Errorf("refused, and yet %+v", cmd)
	}
}

func TestParseReading(t *testing.T) {
	tests := []struct {
		topic, payload string
		sensor         string
		open           bool
		want           error
	}{
		{"doorhub/in/kitchen/contact", "open", "kitchen", true, nil},
		{"doorhub/in/kitchen/contact", "closed", "kitchen", false, nil},
		{"doorhub/in/kitchen/contact", "OPEN", "kitchen", false, ErrReading},
		{"doorhub/in/kitchen/contact", "open\n", "kitchen", false, ErrReading},
		{"doorhub/in/kitchen/contact", "", "kitchen", false, ErrReading},
		{"doorhub/in/kitchen/contact", strings.Repeat("open", 1<<20), "kitchen", false, ErrReading},
		{"doorhub/in/kitchen/contact", "\xff\xfe", "kitchen", false, ErrReading},
		{"doorhub/in/kitchen/key", "open", "", false, ErrTopic},
		{"doorhub/in/kit/chen/contact", "open", "", false, ErrTopic},
		{"doorhub/in//contact", "open", "", false, ErrTopic},
		{"doorhub/sensor/kitchen/contact", "open", "", false, ErrTopic},
	}
	for _, test := range tests {
		sensor, open, err := ParseReading(test.topic, []byte(test.payload))
		if sensor != test.sensor || open != test.open || !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s %.20q: %q %v %v; want %q %v %v", test.topic, test.payload, sensor, open, err, test.sensor, test.open, test.want)
		}
	}
}

func TestBirth(t *testing.T) {
	c := Defaults()
	tests := []struct {
		topic, payload string
		want           bool
	}{
		{"homeassistant/status", "online", true},
		{"homeassistant/status", "offline", false},
		{"homeassistant/status", "online\n", false},
		{"homeassistant/status", "", false},
		{"homeassistant/status/x", "online", false},
		{"hass/status", "online", false},
	}
	for _, test := range tests {
		if got := Birth(test.topic, []byte(test.payload), c.Birth); got != test.want {
			t.Errorf("%s %q: %v", test.topic, test.payload, got)
		}
	}
}
