package main

import (
	"cmp"
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

// checkKeys reports every key of the file that no setting has, and every key that stands
// twice, with its line and the nearest key there is. yaml.v3's own KnownFields cannot: it
// ends where a type reads itself over its defaults.
func checkKeys(file string, n *yaml.Node, into any) error {
	var errs []error
	walkKeys(n, reflect.TypeOf(into), "", func(line int, text string) {
		errs = append(errs, fmt.Errorf("%s:%d: %s", file, line, text))
	})
	return errors.Join(errs...)
}

func walkKeys(n *yaml.Node, t reflect.Type, path string, report func(int, string)) {
	switch {
	case n.Kind == yaml.AliasNode:
		walkKeys(n.Alias, t, path, report)
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, item := range n.Content {
			walkKeys(item, t.Elem(), path+"["+strconv.Itoa(i)+"]", report)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		known, seen := yamlFields(t), map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			at := strings.TrimPrefix(path+"."+key.Value, ".")
			if first := seen[key.Value]; first != 0 {
				report(key.Line, fmt.Sprintf("%s stands twice, first in line %d: keep one", at, first))
			}
			seen[key.Value] = key.Line
			field, ok := known[key.Value]
			if !ok {
				report(key.Line, unknownKey(at, key.Value, known))
				continue
			}
			walkKeys(n.Content[i+1], field, at, report)
		}
	}
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

func unknownKey(at, key string, known map[string]reflect.Type) string {
	keys := sortedKeys(known)
	best := slices.MinFunc(keys, func(a, b string) int { return distance(key, a) - distance(key, b) })
	if distance(key, best) <= 1+len(key)/3 {
		return fmt.Sprintf("%s: there is no such key: did you mean %s?", at, best)
	}
	return fmt.Sprintf("%s: there is no such key: use one of %s", at, strings.Join(keys, ", "))
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

var typeError = regexp.MustCompile("^line (\\d+): (?:cannot unmarshal !!(\\w+) `(.*)` into (\\S+)|(.*))$")

// typeErrors words what yaml.v3 says of values of the wrong type for people.
func typeErrors(file string, err error) error {
	var te *yaml.TypeError
	lines := []string{err.Error()}
	if errors.As(err, &te) {
		lines = te.Errors
	}
	var errs []error
	for _, text := range lines {
		text = strings.TrimPrefix(text, "yaml: ")
		m := typeError.FindStringSubmatch(text)
		switch {
		case m == nil:
			errs = append(errs, fmt.Errorf("%s: %s", file, text))
		case m[4] != "":
			errs = append(errs, fmt.Errorf("%s:%s: %q is no %s", file, m[1], m[3], typeName(m[4])))
		default:
			errs = append(errs, fmt.Errorf("%s:%s: %s", file, m[1], m[5]))
		}
	}
	return errors.Join(errs...)
}

func typeName(goType string) string {
	switch {
	case goType == "time.Duration":
		return "duration: write it with its unit, as in 500ms, 20s or 5m"
	case goType == "bool":
		return "yes or no: use true or false"
	case strings.HasPrefix(goType, "int") || strings.HasPrefix(goType, "float") || strings.HasPrefix(goType, "uint"):
		return "number"
	case strings.HasPrefix(goType, "[]"):
		return "list: put it in brackets, as in [pin+face]"
	case goType == "string":
		return "text"
	}
	return "value for this key: see config.example.yaml"
}

// describe joins what is wrong with a config, each with file, line and key.
func describe(file string, root *yaml.Node, faults []fault) error {
	var errs []error
	for _, f := range faults {
		path, text := f.path, f.err.Error()
		if key, rest, ok := strings.Cut(text, ": "); ok && keyLike.MatchString(key) {
			path, text = append(path, key), rest
		}
		errs = append(errs, fmt.Errorf("%s%s: %s", file, lineOf(root, path), dotted(path)+text))
	}
	return errors.Join(errs...)
}

var keyLike = regexp.MustCompile(`^[a-z_]+$`)

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

// lineOf finds the line of a path of keys, or of the nearest part of it that is in the file.
func lineOf(n *yaml.Node, path []string) string {
	line := 0
	for n != nil && len(path) > 0 {
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
	if line == 0 {
		return ""
	}
	return ":" + strconv.Itoa(line)
}
