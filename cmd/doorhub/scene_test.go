package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door/face"
)

// needPictures skips a test that cannot see without models and portraits.
func needPictures(tb testing.TB) {
	tb.Helper()
	if !hasVision {
		return
	}
	if _, err := face.Defaults().ModelFolder(); err != nil {
		tb.Skipf("SKIPPED, NOT TESTED: %v", err)
	}
	if _, err := os.Stat(filepath.Join(portraits(), "obama.jpg")); err != nil {
		tb.Skipf("SKIPPED, NOT TESTED: no sample portraits: %v: get them with `make models`", err)
	}
}

// runs runs the command as from a shell with nobody typing.
func runs(tb testing.TB, args ...string) (code int, out, errOut string) {
	tb.Helper()
	null, err := os.Open(os.DevNull)
	must(tb, err)
	defer null.Close()
	var o, e bytes.Buffer
	code = run(context.Background(), args, null, &o, &e)
	return code, o.String(), e.String()
}

func TestScene(t *testing.T) {
	t.Parallel()
	needPictures(t)
	code, out, errOut := runs(t, "run", "--demo", "--once")
	if code != 0 || errOut != "" {
		t.Fatalf("exit code %d\n%s\n%s", code, errOut, out)
	}
	_, table, ok := strings.Cut(out, "The log:\n")
	if !ok {
		t.Fatalf("no table:\n%s", out)
	}
	row := regexp.MustCompile(`(?m)^\d+ +(.+?) +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +(\w+)$`)
	var rows [][]string
	for _, m := range row.FindAllStringSubmatch(table, -1) {
		rows = append(rows, m[1:])
	}
	want := [][]string{{"Barack", "Entry"}, {"Barack", "Exit"}, {"Kitchen window", "Intrusion"}}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s\nof\n%s", diff, table)
	}
	lines := []string{"granted Barack by pin", "entry Barack", "exit Barack", "denied by pin (wrong pin)", "intrusion kitchen"}
	if hasVision {
		lines = append(lines, "seen Barack by face", "granted Barack by pin+face", "denied Barack by pin (face mismatch)")
	}
	for _, line := range lines {
		if !strings.Contains(out, line) {
			t.Errorf("nobody says %q in\n%s", line, out)
		}
	}
	for _, secret := range []string{demoPIN, demoRemote, wrongPIN} {
		if strings.Contains(out, secret) {
			t.Errorf("the scene shows %s", secret)
		}
	}
}
