package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDatabaseOfANewerVersion(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	spoil(t, h, `PRAGMA user_version = 99`)
	for _, args := range [][]string{{"people", "list"}, {"log"}, {"run"}} {
		got := h.do("", args...)
		if got.code != exitFailed || got.out != "" || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, "schema 99") {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func TestMissingKey(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	must(t, os.Remove(filepath.Join(h.data, "key")))
	for _, args := range [][]string{{"people", "list"}, {"run"}} {
		got := h.do("", args...)
		want := outcome{exitFailed, "", "doorhub: " + h.data + ": no key file: restore it from your backup; without it the database cannot be read\n"}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", args, diff)
		}
	}
	none := shortDir(t)
	got := command(t, "", "--data", none, "people", "list")
	want := outcome{exitFailed, "", "doorhub: " + none + ": no key file: run doorhub init first\n"}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	h := newCLIHouse(t)
	readOnly(t, h.data)
	for _, args := range [][]string{{"people", "list"}, {"run"}} {
		got := h.do("", args...)
		if got.code != exitFailed || got.out != "" || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, "the data folder is read-only: make it writable") {
			t.Errorf("%q: %+v", args, got)
		}
	}
}
