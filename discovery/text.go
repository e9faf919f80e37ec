package discovery

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is the longest name sent, in characters. Home Assistant drops a state above 255.
const maxName = 64

// name makes what people typed fit to be shown: one line, no characters that turn or hide
// others, of maxName characters at most; fallback when nothing is left. Quotes and tags stay
// as they are: JSON carries them, and whoever draws them escapes them.
func name(text, fallback string) string {
	if text = clean(text, maxName); text != "" {
		return text
	}
	return clean(fallback, maxName)
}

func clean(text string, limit int) string {
	text = strings.Map(printable, strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	cut := []rune(text)[:limit-1]
	return strings.TrimSpace(string(cut)) + "…"
}

// printable drops what Unicode calls format characters, among them those that reverse the
// direction of writing, and what has no meaning of its own, but keeps the two joiners that
// some scripts and emoji need.
func printable(r rune) rune {
	switch {
	case r == '\u200c' || r == '\u200d':
		return r
	case unicode.IsSpace(r), unicode.Is(unicode.Cc, r):
		return ' '
	case unicode.In(r, unicode.Cf, unicode.Co, unicode.Noncharacter_Code_Point):
		return -1
	}
	return r
}

// slug makes an id fit for the part of an entity id that follows the dot: a-z, 0-9 and
// single underscores, none at either end.
func slug(id string) string {
	parts := strings.FieldsFunc(strings.ToLower(id), func(r rune) bool {
		return !('a' <= r && r <= 'z' || '0' <= r && r <= '9')
	})
	return strings.Join(parts, "_")
}

// encode returns v as one line of JSON in which <, > and & are escaped, so that it does no
// harm inside a page. The formats hold only text, numbers and booleans, which always encode.
func encode(v any) []byte {
	var b bytes.Buffer
	_ = json.NewEncoder(&b).Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
