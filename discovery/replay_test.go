package discovery

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestParseReplay(t *testing.T) {
	const topic = "doorhub/in/ha/replay"
	tests := []struct {
		topic, payload string
		user           string
		after          uint64
		want           error
	}{
		{topic, `{"after":0}`, "ha", 0, nil},
		{topic, ` {"after": 42, "more": true} `, "ha", 42, nil},
		{topic, `{"after":18446744073709551615}`, "ha", math.MaxUint64, nil},
		{topic, `{"after":18446744073709551616}`, "ha", 0, ErrAfter},
		{topic, `{"after":-1}`, "ha", 0, ErrAfter},
		{topic, `{"after":1.5}`, "ha", 0, ErrAfter},
		{topic, `{"after":1e2}`, "ha", 0, ErrAfter},
		{topic, `{"after":"42"}`, "ha", 0, ErrAfter},
		{topic, `{"after":null}`, "ha", 0, ErrAfter},
		{topic, `{"after":[42]}`, "ha", 0, ErrAfter},
		{topic, `{"After":42}`, "ha", 0, ErrAfter},
		{topic, `{"after":42}{"after":43}`, "ha", 0, ErrAfter},
		{topic, `{}`, "ha", 0, ErrAfter},
		{topic, `null`, "ha", 0, ErrAfter},
		{topic, `42`, "ha", 0, ErrAfter},
		{topic, ``, "ha", 0, ErrAfter},
		{topic, "\xff\xfe", "ha", 0, ErrAfter},
		{topic, `{"after":42,"x":"` + strings.Repeat("x", MaxCommand) + `"}`, "ha", 0, ErrAfter},
		{topic, strings.Repeat("[", 1<<20), "ha", 0, ErrAfter},
		{"doorhub/in/ha/contact", `{"after":0}`, "", 0, ErrTopic},
		{"doorhub/in//replay", `{"after":0}`, "", 0, ErrTopic},
		{"doorhub/in/a/b/replay", `{"after":0}`, "", 0, ErrTopic},
		{"doorhub/in/+/replay", `{"after":0}`, "", 0, ErrTopic},
		{"doorhub/out/ha/replay", `{"after":0}`, "", 0, ErrTopic},
	}
	for _, test := range tests {
		user, after, err := ParseReplay(test.topic, []byte(test.payload))
		if user != test.user || after != test.after || !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s %.40q: %q %d %v; want %q %d %v", test.topic, test.payload, user, after, err, test.user, test.after, test.want)
		}
	}
	if user, _, err := ParseReplay(ReplayTopic("kitchen"), []byte(`{"after":7}`)); user != "kitchen" || err != nil {
		t.Errorf("the topic to ask on is not the one that is read: %q, %v", user, err)
	}
}
