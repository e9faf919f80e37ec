//go:build vision

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is no picture is refused with its reason, and the answer is no.
func TestEnrolPicturesOfNobody(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, h *cliHouse) {
		h.ok("people", "add", "Ann")
		dir := t.TempDir()
		text, cut := filepath.Join(dir, "text.jpg"), filepath.Join(dir, "cut.jpg")
		must(t, os.WriteFile(text, []byte("this is a text"), 0o600))
		must(t, os.WriteFile(cut, []byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00"), 0o600))
		got := h.do("", "people", "enrol", "Ann", "--pictures", text+","+cut)
		if got.code != exitRefused || got.err != "doorhub: no picture could be taken: see the reasons above\n" {
			t.Errorf("got %+v", got)
		}
		if !strings.Contains(got.out, "text.jpg: not taken: ") || !strings.Contains(got.out, "cut.jpg: not taken: ") || strings.Count(got.out, "\n") != 2 {
			t.Errorf("got %q, want each picture with its reason", got.out)
		}
		if out := h.ok("--json", "people", "show", "Ann"); !strings.Contains(out, `"faces":0`) {
			t.Errorf("a face was taken: %s", out)
		}
		many := strings.Repeat(text+",", 10) + text
		want := outcome{exitFailed, "", "doorhub: 11 pictures at once: give 1 to 10\n"}
		if diff := cmp.Diff(want, h.do("", "people", "enrol", "Ann", "--pictures", many), cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("eleven pictures (-want +got):\n%s", diff)
		}
	})
}

// Without the models nothing of a request is taken, and the error names the command that gets
// them.
func TestEnrolPicturesWithoutModels(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t, "clock: trust", "clock: trust\nface: {models: /no/such/folder}")
	h.ok("people", "add", "Ann")
	got := h.do("864203\n", "people", "enrol", "Ann", "--pin", "--pictures", h.config)
	if got.code != exitFailed || got.out != "" || !strings.Contains(got.err, "/no/such/folder") || !strings.Contains(got.err, "make models") {
		t.Errorf("got %+v", got)
	}
	if out := h.ok("--json", "people", "show", "Ann"); !strings.Contains(out, `"pin":false`) {
		t.Errorf("a PIN was taken beside: %s", out)
	}
}
