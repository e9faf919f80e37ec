package main_test

import (
	"cmp"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

const module = "github.com/doorhub/doorhub"

// edge is one import: the package in folder from (slash-separated, relative to the tree)
// imports the package to. File is where, test whether in a _test.go file.
type edge struct {
	from, to, file string
	test           bool
}

// holders names, for each library that only some folders may import, those folders and why.
// A library covers the packages below it.
func holders() map[string]struct {
	in  []string
	why string
} {
	return map[string]struct {
		in  []string
		why string
	}{
		"github.com/warthog618/go-gpiocdev": {[]string{"door/gpio"},
			"lines are asked for, named and released in one place; everyone else takes its interfaces"},
		"github.com/mochi-mqtt/server/v2": {[]string{"broker"},
			"its wide hook interface is met once, and the embedded broker stays exchangeable"},
		"github.com/eclipse/paho.mqtt.golang": {[]string{"broker", "cmd/doorhub"},
			"the bus client with its reconnects and limits is written once, in broker"},
		"gocv.io/x/gocv": {[]string{"door/camera", "door/face", "door/face/dlib", "door/object"},
			"OpenCV needs cgo and the vision tag; everyone else gets JPEG bytes"},
		"github.com/Kagami/go-face": {[]string{"door/face"},
			"dlib needs cgo and the vision tag; a face is 128 numbers to everyone else"},
		"modernc.org/sqlite": {[]string{"door/store"},
			"one writer, one chain: nobody else opens the database"},
		"github.com/prometheus": {[]string{"cmd/doorhub"},
			"packages count for themselves; only the command tells Prometheus"},
		"github.com/alecthomas/kong": {[]string{"cmd/doorhub"},
			"packages take a Config; only the command has a command line"},
	}
}

// impure names what the domain may not import of the standard library, though it is standard.
func impure() map[string]string {
	return map[string]string{
		"C":            "the domain builds without cgo",
		"database/sql": "records are effects; door/store writes them",
		"log":          "what happened is an effect, not a line in a log",
		"log/slog":     "what happened is an effect, not a line in a log",
		"net":          "nothing that opens a door waits for the network",
		"os":           "the house is pure: files belong to cmd/doorhub and door/store",
		"syscall":      "the house is pure: hardware hides behind door/gpio",
		"unsafe":       "the domain decides who gets in: memory safety is part of that",
	}
}

// forbidden says why e breaks the import rules; an empty string allows it.
func forbidden(e edge) string {
	if why := forbiddenLibrary(e); why != "" {
		return why
	}
	if e.from == "door" {
		return forbiddenInDomain(e)
	}
	to, ours := folder(e.to)
	switch {
	case !ours, to == "door", to == e.from, e.from == "cmd/doorhub":
		return ""
	case within(to, e.from):
		return "" // what a package keeps below itself is its own
	case to == "cmd/doorhub":
		return "the command wires the packages: nothing imports it"
	}
	return "packages import door and libraries only: cmd/doorhub wires them through small interfaces"
}

func forbiddenLibrary(e edge) string {
	for library, only := range holders() {
		if within(e.to, library) && !slices.Contains(only.in, e.from) {
			return fmt.Sprintf("%s is for %s alone: %s", library, strings.Join(only.in, ", "), only.why)
		}
	}
	return ""
}

// forbiddenInDomain holds door to the standard library's pure part. Its tests may also read
// their scripts from files and compare with go-cmp.
func forbiddenInDomain(e edge) string {
	if to, ours := folder(e.to); ours {
		if to == "door" && e.test {
			return ""
		}
		return "door is the centre: others import it, it imports none of ours"
	}
	if e.test && (within(e.to, "github.com/google/go-cmp") || standard(e.to)) {
		return ""
	}
	for name, why := range impure() {
		if within(e.to, name) {
			return why
		}
	}
	if standard(e.to) {
		return ""
	}
	return "door imports the standard library only"
}

// folder returns the folder of one of our own packages, and whether it is ours.
func folder(importPath string) (string, bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// within reports whether importPath is parent or lies below it.
func within(importPath, parent string) bool {
	return importPath == parent || strings.HasPrefix(importPath, parent+"/")
}

// standard reports whether importPath is of the standard library, whose first element,
// unlike a module's, has no dot (go help importpath).
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// edges reads every import below root, whatever its build tags and operating system say.
// It leaves out what the go command leaves out, too: testdata, other modules, and names
// that begin with a dot or an underscore.
func edges(root string) ([]edge, error) {
	var all []edge
	tree := os.DirFS(root)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped(tree, name):
			return fs.SkipDir
		case d.IsDir(), path.Ext(name) != ".go":
			return nil
		}
		found, err := fileEdges(tree, name)
		all = append(all, found...)
		return err
	})
	slices.SortFunc(all, func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.to, b.to))
	})
	return all, err
}

func skipped(tree fs.FS, name string) bool {
	if name == "." {
		return false
	}
	base := path.Base(name)
	if base == "testdata" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := fs.Stat(tree, path.Join(name, "go.mod"))
	return err == nil
}

func fileEdges(tree fs.FS, name string) ([]edge, error) {
	source, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var found []edge
	for _, spec := range parsed.Imports {
		to, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		found = append(found, edge{path.Dir(name), to, name, strings.HasSuffix(name, "_test.go")})
	}
	return found, nil
}

func TestImportRulesHold(t *testing.T) {
	root := filepath.Join("..", "..")
	all, err := edges(root)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, e := range all {
		seen[e.from] = true
		if why := forbidden(e); why != "" {
			t.Errorf("%s imports %s, but %s", e.file, e.to, why)
		}
	}
	for _, must := range []string{"door", "cmd/doorhub"} {
		if !seen[must] {
			t.Errorf("no imports found in %s: is %s still the top of the tree?", must, root)
		}
	}
}

func TestImportRulesRefuse(t *testing.T) {
	const lib = "github.com/google/uuid"
	tests := []struct {
		from, to string
		test     bool
		want     string // part of the reason; empty: allowed
	}{
		{from: "door", to: "time"},
		{from: "door", to: "crypto/hmac"},
		{from: "door", to: lib, want: "standard library only"},
		{from: "door", to: "os", want: "pure"},
		{from: "door", to: "os/exec", want: "pure"},
		{from: "door", to: "net/http", want: "waits for the network"},
		{from: "door", to: "database/sql", want: "door/store writes"},
		{from: "door", to: "C", want: "cgo"},
		{from: "door", to: module + "/broker", want: "imports none of ours"},
		{from: "door", to: module + "/door/store", want: "imports none of ours"},
		{from: "door", to: module, want: "imports none of ours"},
		{from: "door", to: "os", test: true},
		{from: "door", to: module + "/door", test: true},
		{from: "door", to: "github.com/google/go-cmp/cmp", test: true},
		{from: "door", to: "github.com/google/go-cmp/cmp", want: "standard library only"},
		{from: "door", to: lib, test: true, want: "standard library only"},
		{from: "door", to: module + "/door/store", test: true, want: "imports none of ours"},

		{from: "broker", to: module + "/door"},
		{from: "door/face", to: module + "/door/face/dlib"},
		{from: "door/face/dlib", to: module + "/door/face", want: "door and libraries only"},
		{from: "door/camera", to: module + "/door/face/dlib", want: "door and libraries only"},
		{from: "broker", to: module + "/broker", test: true},
		{from: "broker", to: "github.com/mochi-mqtt/server/v2/packets"},
		{from: "broker", to: module + "/door/store", want: "door and libraries only"},
		{from: "broker", to: module + "/door/store", test: true, want: "door and libraries only"},
		{from: "door/keypad", to: module + "/door/gpio", want: "door and libraries only"},
		{from: "door/lock", to: module + "/door/gpio", want: "door and libraries only"},
		{from: "discovery", to: module + "/broker", want: "door and libraries only"},
		{from: "discovery", to: module + "/cmd/doorhub", want: "nothing imports it"},
		{from: "discovery", to: module + "/doorway", want: "door and libraries only"},

		{from: "door/gpio", to: "github.com/warthog618/go-gpiocdev"},
		{from: "door/keypad", to: "github.com/warthog618/go-gpiocdev", want: "door/gpio alone"},
		{from: "door/lock", to: "github.com/warthog618/go-gpiocdev/device/rpi", want: "door/gpio alone"},
		{from: "cmd/doorhub", to: "github.com/warthog618/go-gpiocdev", want: "door/gpio alone"},
		{from: "discovery", to: "github.com/mochi-mqtt/server/v2", want: "broker alone"},
		{from: "cmd/doorhub", to: "github.com/mochi-mqtt/server/v2", want: "broker alone"},
		{from: "discovery", to: "github.com/eclipse/paho.mqtt.golang", want: "written once"},
		{from: "door/face", to: "gocv.io/x/gocv"},
		{from: "door/object", to: "gocv.io/x/gocv/contrib"},
		{from: "door/store", to: "gocv.io/x/gocv", want: "JPEG bytes"},
		{from: "cmd/doorhub", to: "gocv.io/x/gocv", want: "JPEG bytes"},
		{from: "door/camera", to: "github.com/Kagami/go-face", want: "128 numbers"},
		{from: "door", to: "gocv.io/x/gocv", test: true, want: "JPEG bytes"},
		{from: "cmd/doorhub", to: "modernc.org/sqlite", want: "one writer"},
		{from: "broker", to: "github.com/alecthomas/kong", want: "command line"},

		{from: "cmd/doorhub", to: module + "/door/store"},
		{from: "cmd/doorhub", to: module + "/broker"},
		{from: "cmd/doorhub", to: "github.com/eclipse/paho.mqtt.golang"},
		{from: "cmd/doorhub", to: lib},
	}
	for _, tt := range tests {
		why := forbidden(edge{from: tt.from, to: tt.to, test: tt.test})
		if (why == "") != (tt.want == "") || !strings.Contains(why, tt.want) {
			t.Errorf("%s imports %s (test: %v): reason %q, want %q in it", tt.from, tt.to, tt.test, why, tt.want)
		}
	}
}

// TestImportRulesSeeEverything holds the reader of the tree to files that no build on this
// machine would show: other build tags, other systems, tests.
func TestImportRulesSeeEverything(t *testing.T) {
	root := t.TempDir()
	for name, source := range map[string]string{
		"door/house.go":        "package door\n\nimport \"time\"\n",
		"door/eye.go":          "//go:build vision && !linux\n\npackage door\n\nimport v \"gocv.io/x/gocv\"\n",
		"door/house_test.go":   "package door_test\n\nimport . \"testing\"\n",
		"door/pin_windows.go":  "package door\n\nimport _ `os`\n",
		"door/testdata/bad.go": "not Go at all",
		"_old/old.go":          "not Go either",
		"other/go.mod":         "module example.org/other\n",
		"other/other.go":       "package other\n\nimport \"os\"\n",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := edges(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []edge{
		{"door", "gocv.io/x/gocv", "door/eye.go", false},
		{"door", "time", "door/house.go", false},
		{"door", "testing", "door/house_test.go", true},
		{"door", "os", "door/pin_windows.go", false},
	}
	if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(edge{})); diff != "" {
		t.Errorf("imports found (-want +got):\n%s", diff)
	}
}
