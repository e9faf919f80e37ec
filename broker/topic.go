package broker

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxTopic is the longest topic or filter, in bytes (MQTT 5.0, 4.7.3).
const maxTopic = 65535

// ValidTopic reports what is wrong with a topic to publish to (MQTT 5.0, 4.7).
func ValidTopic(topic string) error {
	if err := validText(topic); err != nil {
		return fmt.Errorf("topic %.80q: %w", topic, err)
	}
	if strings.ContainsAny(topic, "+#") {
		return fmt.Errorf("topic %.80q: wildcards are for subscriptions; name one topic", topic)
	}
	return nil
}

// ValidFilter reports what is wrong with a filter to subscribe to (MQTT 5.0, 4.7.1).
func ValidFilter(filter string) error {
	if err := validText(filter); err != nil {
		return fmt.Errorf("filter %.80q: %w", filter, err)
	}
	for rest, more := filter, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case level == "#" && more:
			return fmt.Errorf("filter %.80q: # stands only at the end", filter)
		case level != "+" && level != "#" && strings.ContainsAny(level, "+#"):
			return fmt.Errorf("filter %.80q: + and # stand alone between slashes", filter)
		}
	}
	return nil
}

func validText(s string) error {
	switch {
	case s == "":
		return errors.New("must not be empty")
	case len(s) > maxTopic:
		return fmt.Errorf("longer than %d bytes", maxTopic)
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return errors.New("must be UTF-8 without NUL")
	}
	return nil
}

// Match reports whether filter matches topic. Both must be valid. A leading wildcard does not
// match a topic that begins with $ (MQTT 5.0, 4.7.2).
func Match(filter, topic string) bool { return covers(filter, topic) }

// covers reports whether every topic that narrow matches is matched by wide as well. A plain
// topic is the filter that matches itself alone, so matching is the same question.
func covers(wide, narrow string) bool {
	if wildAtStart(wide) && strings.HasPrefix(narrow, "$") {
		return false
	}
	if wide == "+/#" { // says the same as #
		return true
	}
	w, n := split(wide), split(narrow)
	for {
		if w.level == "#" {
			return true
		}
		if n.level == "#" || (w.level != "+" && w.level != n.level) {
			return false
		}
		switch {
		case !w.more && !n.more:
			return true
		case !w.more:
			return false
		case !n.more: // a/# matches a itself
			return w.rest == "#"
		}
		w, n = split(w.rest), split(n.rest)
	}
}

// overlaps reports whether some topic is matched by both filters.
func overlaps(a, b string) bool {
	if wildAtStart(a) && strings.HasPrefix(b, "$") || wildAtStart(b) && strings.HasPrefix(a, "$") {
		return false
	}
	x, y := split(a), split(b)
	for {
		if x.level == "#" || y.level == "#" {
			return true
		}
		if x.level != "+" && y.level != "+" && x.level != y.level {
			return false
		}
		switch {
		case !x.more && !y.more:
			return true
		case !x.more:
			return y.rest == "#"
		case !y.more:
			return x.rest == "#"
		}
		x, y = split(x.rest), split(y.rest)
	}
}

func wildAtStart(filter string) bool {
	return strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")
}

// levels is a filter's first level and what follows it.
type levels struct {
	level, rest string
	more        bool
}

func split(s string) levels {
	level, rest, more := strings.Cut(s, "/")
	return levels{level, rest, more}
}
