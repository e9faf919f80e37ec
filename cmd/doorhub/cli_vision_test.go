//go:build vision

package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door/face"
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
			if !regexp.MustCompile(`(?m)^` + name + `: not taken: the picture cannot be used: `).MatchString(got.out) {
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
		{`(distance |verify to )\d\.\d\d\d?`, "${1}N"},
		{`\d+x\d+ pixels( at -?\d+,-?\d+)?(; detector -?[\d.]+; quality .*)?`, "NxN pixels"},
		{`took gate .* ms`, "took N ms"},
		{`\d\.\d+ farther`, "N farther"},
		{`"box":\[[-\d,]+\],|("took_us":)\{[^}]*\}`, "$1"},
		{`/[^\s"]*/pictures/(p\d+)/\w+`, "PICTURES/$1/NAME"},
		{`("width"|"sharpness"|"light"|"contrast"|"turn"|"score"|"distance"|"height"|"size"|"pose"|"margin"):-?[\d.e-]+`, "$1:N"},
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

// All of a crowd are told of, one by one.
func TestExplainACrowd(t *testing.T) {
	t.Parallel()
	faces := os.Getenv("DOORHUB_FACES")
	if faces == "" {
		t.Skip("SKIPPED, NOT TESTED: a crowd on the command line: DOORHUB_FACES names no folder with crowd12.jpg")
	}
	h := newCLIHouse(t)
	var x explanation
	must(t, json.Unmarshal([]byte(h.ok("--json", "face", "explain", filepath.Join(faces, "crowd12.jpg"))), &x))
	if len(x.Faces) != 12 || x.Over != 0 {
		t.Errorf("%d faces and %d left out, want all 12", len(x.Faces), x.Over)
	}
	for _, f := range x.Faces {
		if f.Why != face.New || !f.Settled || f.Box[2] < 80 || len(f.Verdict) == 0 || f.Verdict[0] != "unknown: nobody is enrolled who could be compared" {
			t.Errorf("face %+v", f)
		}
	}
}

// posing puts a portrait before the camera of the house's door, as somebody who stands still.
func posing(t *testing.T, name string) (change []string) {
	t.Helper()
	needPictures(t)
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join(portraits(), name))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	return []string{"- {}", "- {}\n      cameras:\n        - {source: " + dir + "}"}
}

// Somebody is enrolled before a door's camera, whether the hub has it or nobody.
func TestEnrolBeforeACamera(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, h *cliHouse) {
		h.ok("people", "add", "Ann")
		straight := []string{"people", "enrol", "Ann", "--camera", "front", "--poses", "straight", "--consent"}
		got := h.do("", append(straight, "--keep-pictures")...)
		want := "Picture Faces Width Sharp Light Looks Quality Result\nstraight 1 N px N N ahead N % taken\nenrolled; see: doorhub people show Ann\n"
		if out := maskedMeasures(got.out); got.code != 0 || out != want {
			t.Errorf("code %d, %s%s", got.code, out, got.err)
		}
		for _, line := range []string{"Ann: stand before the camera of front; Ctrl-C ends, and nothing is kept\n", "\nstraight  good: hold still\n", "\nstraight  taken, quality "} {
			if !strings.Contains(got.err, line) {
				t.Errorf("%q is missing:\n%s", line, got.err)
			}
		}
		if out := h.ok("--json", "people", "show", "Ann"); !strings.Contains(out, `"faces":1`) || !strings.Contains(out, `"pictures":["`) || !strings.Contains(out, `"consent":"`) {
			t.Errorf("kept: %s", out)
		}
		if out := masked(h.ok("log", "--all", "--type", "enrolled", "--person", "Ann")); !strings.Contains(out, " front enrolled entry p1 Ann face consent=DATE") {
			t.Errorf("the journal says %s", out)
		}
		h.ok("people", "add", "Bob")
		straight[2] = "Bob"
		got = h.do("", append([]string{"--json"}, straight...)...)
		if got.code != exitRefused || !strings.Contains(got.out, `"taken":true`) || !strings.Contains(got.out, `"reason":"matches_other"`) || !strings.Contains(got.err, "nothing was enrolled") {
			t.Errorf("somebody else's face: %+v", got)
		}
	}, posing(t, "obama.jpg")...)
}

// A picture does not turn its head: the enrolment says so, ends in time, and keeps nothing.
func TestEnrolBeforeACameraInVain(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, h *cliHouse) {
		h.ok("people", "add", "Ann")
		got := h.do("", "people", "enrol", "Ann", "--camera", "front/entry", "--patience", "3s", "--consent")
		if got.code != exitFailed || !strings.Contains(got.err, "\nleft      turn your head a little more to your left\n") ||
			!strings.Contains(got.err, "doorhub: left: no good look within 3s; ") {
			t.Errorf("got %+v", got)
		}
		if out := h.ok("--json", "people", "show", "Ann"); !strings.Contains(out, `"faces":0`) {
			t.Errorf("kept: %s", out)
		}
		for want, args := range map[string][]string{
			"there is no camera \"back\": use one of front/entry":       {"--camera", "back"},
			"there is no camera \"front/exit\": use one of front/entry": {"--camera", "front/exit"},
			"use each of straight, left and right at most once":         {"--camera", "front", "--poses", "up"},
			"patience 1s: use 3s to 10m0s for each pose":                {"--camera", "front", "--patience", "1s"},
			"--camera goes alone":                                       {"--camera", "front", "--pin"},
		} {
			if got := h.do("", append([]string{"people", "enrol", "Ann", "--consent"}, args...)...); got.code == 0 || !strings.Contains(got.err, want) {
				t.Errorf("%q: %+v, want %s", args, got, want)
			}
		}
	}, posing(t, "obama.jpg")...)
}

// Ctrl-C ends a guided enrolment on both sides; a hub that stops ends it, too.
func TestEnrolBeforeACameraIsEnded(t *testing.T) {
	bothWays(t, nil, func(t *testing.T, h *cliHouse) {
		h.ok("people", "add", "Ann")
		for range 2 { // the camera is given back
			ctx, cancel := context.WithCancel(t.Context())
			got := h.guides(ctx, cancel)
			if got.code != exitFailed || !strings.HasSuffix(got.err, "doorhub: stopped: nothing was enrolled\n") {
				t.Errorf("got %+v", got)
			}
		}
	}, posing(t, "obama.jpg")...)
	h := newCLIHouse(t, posing(t, "obama.jpg")...)
	stop := h.start()
	h.ok("people", "add", "Ann")
	got := h.guides(t.Context(), func() { go stop() })
	if got.code != exitFailed || !strings.HasSuffix(got.err, "doorhub: the hub is stopping: nothing was enrolled\n") {
		t.Errorf("got %+v", got)
	}
	if ended := stop(); ended.code != 0 {
		t.Errorf("the hub ended so: %+v", ended)
	}
}

// guides enrols Ann before the camera, and does something once she is asked to turn.
func (h *cliHouse) guides(ctx context.Context, then func()) outcome {
	h.t.Helper()
	said := &hearing{}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"--config", h.config, "people", "enrol", "Ann", "--camera", "front", "--consent"}, os.Stdin, io.Discard, said)
	}()
	until(h.t, "the second pose", func() bool { return strings.Contains(said.String(), "\nleft ") })
	then()
	select {
	case code := <-ended:
		return outcome{code: code, err: said.String()}
	case <-soon(h.t).Done():
		h.t.Fatal("the enrolment does not end")
		return outcome{}
	}
}
