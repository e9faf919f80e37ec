package main

import (
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

const exampleFile = "../../config.example.yaml"

func readExample(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestExampleIsTheDefaults(t *testing.T) {
	got, err := loadConfig(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Defaults(), got, cmp.AllowUnexported(Config{}, Switch{})); diff != "" {
		t.Errorf("config.example.yaml differs from Defaults() (-default +example):\n%s", diff)
	}
}

// A new setting must not be forgotten in the example, nor stand there without a word.
func TestExampleHasEverySettingWithAComment(t *testing.T) {
	text := readExample(t)
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	keys := 0
	eachKey(doc.Content[0], reflect.TypeFor[Config](), "", func(path string, key *yaml.Node) {
		keys++
		switch {
		case key == nil:
			t.Errorf("%s: not in config.example.yaml", path)
		case !commented(lines, key.Line):
			t.Errorf("config.example.yaml:%d: %s: no comment", key.Line, path)
		}
	})
	if keys < 100 {
		t.Errorf("looked at %d keys only: the walk misses some", keys)
	}
}

// eachKey calls f for every key that a struct has; a nil node is one that the file lacks.
func eachKey(n *yaml.Node, t reflect.Type, path string, f func(path string, key *yaml.Node)) {
	switch t.Kind() {
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct && len(n.Content) == 0 {
			f(path+"[0]", nil) // without an item its keys cannot be shown
		}
		for i, item := range n.Content {
			eachKey(item, t.Elem(), path+"["+strconv.Itoa(i)+"]", f)
		}
	case reflect.Struct:
		fields := yamlFields(t)
		for _, name := range sortedKeys(fields) {
			at := strings.TrimPrefix(path+"."+name, ".")
			key, value := entry(n, name)
			f(at, key)
			if value != nil {
				eachKey(value, fields[name], at, f)
			}
		}
	}
}

func entry(n *yaml.Node, name string) (key, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// commented reports whether there is a comment in the line, counted from 1, or right above it.
func commented(lines []string, line int) bool {
	if _, comment, ok := strings.Cut(lines[line-1], " # "); ok {
		return strings.TrimSpace(comment) != ""
	}
	return line > 1 && strings.HasPrefix(strings.TrimSpace(lines[line-2]), "# ")
}

// Every exported setting has a yaml key: one without would be forgotten by the walk above.
func TestEverySettingHasAKey(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		if typ.Kind() == reflect.Slice {
			walk(typ.Elem())
			return
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			field := typ.Field(i)
			tag, ok := field.Tag.Lookup("yaml")
			if field.IsExported() && !ok {
				t.Errorf("%s.%s has no yaml tag", typ, field.Name)
			}
			if tag != "-" && field.IsExported() {
				walk(field.Type)
			}
		}
	}
	walk(reflect.TypeFor[Config]())
	if len(seen) < 12 {
		t.Errorf("saw %d structs only", len(seen))
	}
}

func TestExampleHoldsNoSecret(t *testing.T) {
	c, err := loadConfig(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	for key := range yamlFields(reflect.TypeOf(c.Broker)) {
		for _, word := range []string{"password", "token", "secret", "pin"} {
			if strings.Contains(key, word) && !strings.HasSuffix(key, "_file") {
				t.Errorf("broker.%s would put a secret into the config: name a file in its place", key)
			}
		}
	}
}

// What a file says of a list is the list; what it does not say of an item is the default.
func TestItemsBeginWithDefaults(t *testing.T) {
	got, err := parseConfig("c.yaml", []byte(`
doors:
  - id: back
    hardware: simulated
    contact: none
    keypads: [{side: exit}]
    cameras: [{source: rtsp://camera/1}]
sensors: []
`))
	if err != nil {
		t.Fatal(err)
	}
	back := doorDefaults()
	back.ID, back.Hardware, back.Contact.none = "back", simulated, true
	pad, cam := keypadDefaults(), cameraDefaults()
	pad.Side, cam.Source = "exit", "rtsp://camera/1"
	back.Keypads, back.Cameras = []Keypad{pad}, []Camera{cam}
	want := Defaults()
	want.Doors, want.Sensors = []Door{back}, []Sensor{}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Config{}, Switch{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A simulated door has a contact, unless its owner says that there is none.
func TestSimulatedContact(t *testing.T) {
	d := doorDefaults()
	if d.Hardware = simulated; !d.has(d.Contact) {
		t.Error("a simulated door has no contact by default")
	}
	if d.Contact.none = true; d.has(d.Contact) {
		t.Error("contact: none is not heard on simulated hardware")
	}
	c := Config{Doors: []Door{d}}
	if c.house().Doors[0].Contact {
		t.Error("the house thinks that there is a contact")
	}
}

func TestEmptyFilesAreTheDefaults(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing yet\n", "---\n", "{}\n", "house:\n", "house: # all as it is\n  # window: 5s\nbroker:\n"} {
		got, err := parseConfig("c.yaml", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := cmp.Diff(Defaults(), got, cmp.AllowUnexported(Config{}, Switch{})); diff != "" {
			t.Errorf("%q (-default +got):\n%s", text, diff)
		}
	}
}

func TestAliasesSaveWriting(t *testing.T) {
	got, err := parseConfig("c.yaml", []byte(`
doors:
  - {id: front, lock: {line: {pin: "17"}}, keypads: [&pad {rows: [1, 2, 3, 4], columns: [5, 6, 7, 8]}]}
  - {id: back, hardware: simulated, keypads: [*pad]}
`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got.Doors[0].Keypads, got.Doors[1].Keypads); diff != "" {
		t.Errorf("(-front +back):\n%s", diff)
	}
}
