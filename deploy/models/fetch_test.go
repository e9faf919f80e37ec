// Package models holds no code: its test runs fetch.sh without a network, on packages made
// here, since pip takes a folder in place of an index.
package models

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	goodModel = "the bytes of a model"
	badModel  = "the bytes of another model"
)

func sum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// sdist makes a package that pip takes, with a wanted file and an unwanted one.
func sdist(t *testing.T, model string) []byte {
	t.Helper()
	var buf bytes.Buffer
	zip := gzip.NewWriter(&buf)
	out := tar.NewWriter(zip)
	for _, f := range [][2]string{
		{"setup.py", "from setuptools import setup\nsetup(name='made', version='1')\n"},
		{"PKG-INFO", "Metadata-Version: 1.0\nName: made\nVersion: 1\n"},
		{"face_recognition_models/models/wanted.dat", model},
		{"face_recognition_models/models/unwanted.dat", "never to be unpacked"},
	} {
		if err := out.WriteHeader(&tar.Header{Name: "made-1/" + f[0], Mode: 0o644, Size: int64(len(f[1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// bench is a folder with a copy of fetch.sh and lists that ask for a made package.
type bench struct{ dir, cache string }

func newBench(t *testing.T, pack []byte, packSum string) bench {
	t.Helper()
	if err := exec.Command("/usr/bin/python3", "-m", "pip", "--version").Run(); err != nil {
		t.Skip("SKIPPED, fetch.sh is untested here: no /usr/bin/python3 with pip; apt-get install python3-pip")
	}
	script, err := os.ReadFile("fetch.sh")
	if err != nil {
		t.Fatal(err)
	}
	b := bench{t.TempDir(), t.TempDir()}
	b.write(t, "fetch.sh", string(script))
	b.write(t, "made-1.tar.gz", string(pack))
	b.write(t, "models.txt", "made==1 --hash=sha256:"+packSum+"\n")
	b.write(t, "models.sha256", sum([]byte(goodModel))+"  wanted.dat\n")
	return b
}

func (b bench) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func (b bench) run(args ...string) (string, error) {
	cmd := exec.Command("sh", append([]string{filepath.Join(b.dir, "fetch.sh")}, args...)...)
	cmd.Env = append(os.Environ(), "DOORHUB_CACHE="+b.cache, "PIP_NO_INDEX=1", "PIP_FIND_LINKS="+b.dir,
		"PIP_NO_CACHE_DIR=1", "PIP_CONFIG_FILE=/dev/null", "PYTHON=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// files lists all that is in the cache, but folders.
func (b bench) files(t *testing.T) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(b.cache, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, b.cache))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func TestFetchInstallsOnlyWhatIsListed(t *testing.T) {
	pack := sdist(t, goodModel)
	b := newBench(t, pack, sum(pack))
	if out, err := b.run("models"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := b.files(t); got != "/models/wanted.dat" {
		t.Errorf("the cache holds %q, want the listed file alone", got)
	}
	if err := os.Remove(filepath.Join(b.dir, "made-1.tar.gz")); err != nil {
		t.Fatal(err)
	}
	out, err := b.run("models")
	if err != nil || !strings.Contains(out, "already in") {
		t.Errorf("a second run must need nothing: %v\n%s", err, out)
	}
}

func TestFetchReplacesADamagedFile(t *testing.T) {
	pack := sdist(t, goodModel)
	b := newBench(t, pack, sum(pack))
	damaged := filepath.Join(b.cache, "models", "wanted.dat")
	if err := os.Mkdir(filepath.Dir(damaged), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(damaged, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := b.run("models"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, err := os.ReadFile(damaged); err != nil || string(got) != goodModel {
		t.Errorf("the damaged file reads %q, %v; want it replaced", got, err)
	}
}

func TestFetchRefusesWrongHashes(t *testing.T) {
	good, bad := sdist(t, goodModel), sdist(t, badModel)
	tests := []struct {
		name            string
		pack            []byte
		packSum         string
		expected, found string
	}{
		{"package", bad, sum(good), sum(good), sum(bad)},
		{"model", bad, sum(bad), sum([]byte(goodModel)), sum([]byte(badModel))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, tt.pack, tt.packSum)
			out, err := b.run("models")
			if err == nil {
				t.Fatalf("taken, want it refused\n%s", out)
			}
			for _, hash := range []string{tt.expected, tt.found} {
				if !strings.Contains(out, hash) {
					t.Errorf("the refusal does not show %s\n%s", hash, out)
				}
			}
			if got := b.files(t); got != "" {
				t.Errorf("a refused fetch left %q", got)
			}
		})
	}
}

func TestFetchUnknownArgument(t *testing.T) {
	pack := sdist(t, goodModel)
	b := newBench(t, pack, sum(pack))
	out, err := b.run("cats")
	if err == nil || !strings.Contains(out, "unknown: cats") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The listed files must be those whose licences allow every use.
func TestListsLeaveOutThe68PointFile(t *testing.T) {
	list, err := os.ReadFile("models.sha256")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(list), "\n"); n != 3 || strings.Contains(string(list), "68_face") {
		t.Errorf("want the three models and no 68-point file, got\n%s", list)
	}
}
