package main

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxValues bounds what a file may unfold to: aliases (*) can multiply a few lines into
// billions of values.
const maxValues = 20_000

// checkFile reports what in a file does not fit the settings: keys that there are none of,
// keys that stand twice, values of a wrong type; each with its line, its path and what would
// be right. yaml.v3's own KnownFields cannot: it ends where a type reads itself over its
// defaults.
func checkFile(file string, root *yaml.Node, into any) error {
	c := checker{file: file, left: maxValues}
	c.walk(root, reflect.TypeOf(into), "")
	if c.left < 0 {
		return fmt.Errorf("%s: its aliases (*) unfold to over %d values: write them out", file, maxValues)
	}
	return errors.Join(c.errs...)
}

type checker struct {
	file string
	left int // values that may still be looked at
	errs []error
}

func (c *checker) report(line int, path, text string) {
	if path != "" {
		path += ": "
	}
	c.errs = append(c.errs, fmt.Errorf("%s:%d: %s%s", c.file, line, path, text))
}

// walk looks at one value beside the type that it is for.
func (c *checker) walk(n *yaml.Node, t reflect.Type, path string) {
	if c.left--; c.left < 0 {
		return
	}
	switch {
	case n.Kind == yaml.AliasNode:
		c.walk(n.Alias, t, path)
	case n.ShortTag() == "!!null":
		c.empty(n, t, path)
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for i, item := range n.Content {
			c.item(item, t.Elem(), path+"["+strconv.Itoa(i)+"]")
		}
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		c.keys(n, yamlFields(t), path)
	case t.Kind() == reflect.Map && n.Kind == yaml.MappingNode:
		c.entries(n, t, path)
	default:
		c.value(n, t, path)
	}
}

func (c *checker) item(n *yaml.Node, t reflect.Type, path string) {
	if n.ShortTag() == "!!null" {
		c.report(n.Line, path, "nothing stands here: write the item, or take the dash out")
		return
	}
	c.walk(n, t, path)
}

// empty judges a key without a value. A section may be empty: all in it is commented out.
func (c *checker) empty(n *yaml.Node, t reflect.Type, path string) {
	how := "write one"
	switch t.Kind() {
	case reflect.Struct:
		return
	case reflect.Slice:
		how = "write [] for none"
	case reflect.String:
		if t == reflect.TypeFor[string]() {
			how = `write one, "" for nothing`
		}
	}
	c.report(n.Line, path, "no value: "+how+", or take the line out for the default")
}

func (c *checker) keys(n *yaml.Node, known map[string]reflect.Type, path string) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			c.report(key.Line, path, "a key must be a plain word; keys cannot be merged in (<<): write them out")
			continue
		}
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		field, ok := known[key.Value]
		switch first := seen[key.Value]; {
		case !ok:
			c.report(key.Line, at, unknownKey(key.Value, known))
		case first != 0:
			c.report(key.Line, at, fmt.Sprintf("stands twice, first in line %d: keep one", first))
		default:
			c.walk(n.Content[i+1], field, at)
		}
		seen[key.Value] = key.Line
	}
}

// entries are those of a section whose keys the owner chooses.
func (c *checker) entries(n *yaml.Node, t reflect.Type, path string) {
	known := map[string]reflect.Type{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		c.value(n.Content[i], t.Key(), path)
		known[key] = t.Elem()
	}
	c.keys(n, known, path)
}

// value reads a value on its own, to see whether it is of the type.
func (c *checker) value(n *yaml.Node, t reflect.Type, path string) {
	v := reflect.New(t)
	_, readsText := v.Interface().(encoding.TextUnmarshaler)
	_, readsNode := v.Interface().(yaml.Unmarshaler) // as a contact that is none
	err := n.Decode(v.Interface())
	var wrongType *yaml.TypeError
	switch {
	case err == nil && (t.Kind() != reflect.Int || n.ShortTag() == "!!int"): // 6.5 is read as 6
	case err != nil && n.Kind == yaml.ScalarNode && (readsText || readsNode) && !errors.As(err, &wrongType):
		c.report(n.Line, path, strings.TrimPrefix(err.Error(), "yaml: "))
	default:
		c.report(n.Line, path, shown(n)+typeName(t))
	}
}

// shown names a value in an error.
func shown(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section is "
	case yaml.SequenceNode:
		return "a list is "
	}
	return fmt.Sprintf("%.40q is ", n.Value)
}

// typeName ends the sentence that a value is no such thing, with what would be right.
func typeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct:
		return "no section: write its keys below it, as " + strings.Join(sortedKeys(yamlFields(t)), ", ")
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return "no list: begin each item with a dash, as in config.example.yaml"
		}
		return "no list: put it in brackets, as in [a, b]"
	case reflect.Map:
		return "no section: write {} for an empty one"
	case reflect.Bool:
		return "neither yes nor no: use true or false"
	case reflect.Int, reflect.Float64:
		if t.Kind() == reflect.Int {
			return "no whole number: write digits alone, as 10"
		}
		return "no number: write it as 0.5"
	case reflect.Int64:
		return "no duration: write it with its unit, as in 500ms, 20s or 5m"
	}
	return "no text: write one value, in quotes if need be"
}

// yamlFields lists the keys of a struct with their types, inlined ones among them.
func yamlFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case opts == "inline":
			for k, v := range yamlFields(f.Type) {
				fields[k] = v
			}
		case name != "-" && name != "" && f.IsExported():
			fields[name] = f.Type
		}
	}
	return fields
}

func unknownKey(key string, known map[string]reflect.Type) string {
	keys := sortedKeys(known)
	best := slices.MinFunc(keys, func(a, b string) int { return distance(key, a) - distance(key, b) })
	if distance(key, best) <= 1+len(key)/3 {
		return fmt.Sprintf("there is no such key: did you mean %s?", best)
	}
	return "there is no such key: use one of " + strings.Join(keys, ", ")
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// distance is how many letters must be added, dropped or changed to make a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// describe joins what is wrong with a config, each with file, line and key.
func describe(file string, root *yaml.Node, faults []fault) error {
	byLine := map[int][]error{}
	for _, f := range faults {
		path, text := place(f.path, f.err.Error())
		line, at := lineOf(root, path), ""
		if line > 0 {
			at = ":" + strconv.Itoa(line)
		}
		byLine[line] = append(byLine[line], fmt.Errorf("%s%s: %s%s", file, at, dotted(path), text))
	}
	var errs []error
	for _, line := range sortedKeys(byLine) {
		errs = append(errs, byLine[line]...)
	}
	return errors.Join(errs...)
}

// A package names the key that it speaks of first, as in "window: 0s: use …", or
// `id "Front": use …`.
var saysKey = regexp.MustCompile(`(?s)^([a-z_]+)(?:: (.*)| ((?:"(?:[^"\\]|\\.)*"|[a-z_+]+): .*))$`)

// place takes the key out of what a package says of its settings, and adds it to their path.
func place(path []string, text string) ([]string, string) {
	m := saysKey.FindStringSubmatch(text)
	if m == nil || !hasKey(reflect.TypeFor[Config](), path, m[1]) {
		return path, text
	}
	return under(path, m[1]), m[2] + m[3]
}

// hasKey reports whether there is such a key below path.
func hasKey(t reflect.Type, path []string, key string) bool {
	for _, p := range append(path[:len(path):len(path)], key) {
		switch t.Kind() {
		case reflect.Slice:
			t = t.Elem()
		case reflect.Struct:
			field, ok := yamlFields(t)[p]
			if !ok {
				return false
			}
			t = field
		default:
			return false
		}
	}
	return true
}

func dotted(path []string) string {
	var b strings.Builder
	for _, p := range path {
		if _, err := strconv.Atoi(p); err == nil {
			b.WriteString("[" + p + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(p)
	}
	if b.Len() == 0 {
		return ""
	}
	return b.String() + ": "
}

// lineOf finds the line of a path of keys, or of the nearest part of it that is in the file;
// 0 where none of it is.
func lineOf(n *yaml.Node, path []string) (line int) {
	for n != nil && len(path) > 0 {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		var next *yaml.Node
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == path[0] {
					next, line = n.Content[i+1], n.Content[i].Line
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(path[0]); err == nil && i < len(n.Content) {
				next = n.Content[i]
				line = next.Line
			}
		}
		n, path = next, path[1:]
	}
	return line
}
