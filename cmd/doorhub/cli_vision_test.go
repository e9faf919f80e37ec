//go:build vision

package main

import (
	"os"
	"path/filepath"
	"regexp"
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
		got := h.do("", "people", "enrol", "Ann", "--consent", "--pictures", text+","+cut)
		if got.code != exitRefused || got.err != "doorhub: no picture could be taken: see the reasons above\n" {
			t.Errorf("got %+v", got)
		}
		for _, name := range []string{"text.jpg", "cut.jpg"} {
			if !regexp.MustCompile(`(?m)^` + name + ` .* not taken: the picture cannot be used: `).MatchString(got.out) {
				t.Errorf("got %q, want %s with its reason", got.out, name)
			}
		}
		if out := h.ok("--json", "people", "show", "Ann"); !strings.Contains(out, `"faces":0`) {
			t.Errorf("a face was taken: %s", out)
		}
		many := strings.Repeat(text+",", 10) + text
		want := outcome{exitFailed, "", "doorhub: 11 pictures at once: give 1 to 10\n"}
		if diff := cmp.Diff(want, h.do("", "people", "enrol", "Ann", "--consent", "--pictures", many), cmp.AllowUnexported(outcome{})); diff != "" {
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
	got := h.do("864203\n", "people", "enrol", "Ann", "--pin", "--consent", "--pictures", h.config)
	if got.code != exitFailed || got.out != "" || !strings.Contains(got.err, "/no/such/folder") || !strings.Contains(got.err, "make models") {
		t.Errorf("got %+v", got)
	}
	if out := h.ok("--json", "people", "show", "Ann"); !strings.Contains(out, `"pin":false`) {
		t.Errorf("a PIN was taken beside: %s", out)
	}
}

// What is measured of a picture differs a little from processor to processor.
func maskedMeasures(text string) string {
	for _, m := range []struct{ from, to string }{
		{`\d+ px +\d+ +\d+ `, "N px N N "},
		{`\d+ %`, "N %"},
		{`(distance |verify to )0\.\d\d`, "${1}N"},
		{`/[^\s"]*/pictures/(p\d+)/\w+`, "PICTURES/$1/NAME"},
		{`("width"|"sharpness"|"light"|"contrast"|"turn"|"score"|"distance"):-?[\d.e-]+`, "$1:N"},
	} {
		text = regexp.MustCompile(m.from).ReplaceAllString(text, m.to)
	}
	return masked(text)
}

// The script testdata/cli_vision.txt holds commands about faces, as testdata/cli.txt the others.
func TestCommandsAboutFacesAnswerAsScripted(t *testing.T) {
	needPictures(t)
	bothWays(t, nil, func(t *testing.T, h *cliHouse) { h.plays("testdata/cli_vision.txt", maskedMeasures) })
}
