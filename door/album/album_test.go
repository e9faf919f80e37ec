package album

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func open(tb testing.TB, dir string, change ...func(*Config)) *Album {
	tb.Helper()
	c := Defaults()
	for _, f := range change {
		f(&c)
	}
	a, err := Open(dir, c)
	must(tb, err)
	return a
}

func of(seq uint64, doorID string, people ...string) Entry {
	return Entry{Seq: seq, At: noon.Add(time.Duration(seq) * time.Hour), Door: doorID, People: people}
}

func keep(tb testing.TB, a *Album, entries ...Entry) {
	tb.Helper()
	for _, e := range entries {
		must(tb, a.Keep(e, []byte(e.name())))
	}
}

// names lists the files of the folder, which the list in memory must agree with.
func names(tb testing.TB, a *Album) []string {
	tb.Helper()
	files, err := os.ReadDir(a.dir)
	must(tb, err)
	var on, known []string
	var size int64
	for _, f := range files {
		info, err := f.Info()
		must(tb, err)
		on, size = append(on, f.Name()), size+info.Size()
	}
	for _, e := range a.all {
		known = append(known, e.name())
	}
	if slices.Sort(known); !slices.Equal(on, known) || size != a.size {
		tb.Errorf("files %q of %d bytes, known %q of %d", on, size, known, a.size)
	}
	return on
}

func want(tb testing.TB, a *Album, files ...string) {
	tb.Helper()
	slices.Sort(files)
	if diff := cmp.Diff(files, names(tb, a), cmpopts.EquateEmpty()); diff != "" {
		tb.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestKeepAndRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	a := open(t, dir)
	keep(t, a, of(12, "front", "p1", "p3"), of(9, ""), of(20, "front"), of(21, "back_door-2"))
	want(t, a, "12.front.p1.p3.jpg", "9._.jpg", "20.front.jpg", "21.back_door-2.jpg")
	for _, a := range []*Album{a, open(t, dir)} { // also as the next start finds them
		jpeg, err := a.Read(12)
		must(t, err)
		if string(jpeg) != "12.front.p1.p3.jpg" || !a.Has(12) || a.Has(13) {
			t.Errorf("record 12: %q", jpeg)
		}
		if _, err := a.Read(13); !errors.Is(err, ErrNone) {
			t.Errorf("record 13: %v", err)
		}
		if diff := cmp.Diff([]uint64{20, 21, 9}, []uint64{a.Newest("front"), a.Newest("back_door-2"), a.Newest("cellar")}); diff != "" {
			t.Errorf("newest (-want +got):\n%s", diff)
		}
		e := of(12, "front", "p1", "p3")
		e.Size = 18
		if diff := cmp.Diff(e, a.all[1], cmpopts.EquateApproxTime(0)); diff != "" {
			t.Errorf("entry (-want +got):\n%s", diff)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "9._.jpg"))
	must(t, err)
	folder, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o600 || folder.Mode().Perm() != 0o700 {
		t.Errorf("file %v in folder %v: others can read it", info.Mode(), folder.Mode())
	}
	if open(t, filepath.Join(dir, "none")).Newest("front") != 0 {
		t.Error("a picture out of nowhere")
	}
}

// A record has one picture: the last that was kept.
func TestKeepReplaces(t *testing.T) {
	a := open(t, t.TempDir())
	keep(t, a, of(1, "front", "p1"), of(1, "front", "p2"), of(1, "front", "p2"))
	want(t, a, "1.front.p2.jpg")
}

func TestPruneBySize(t *testing.T) {
	dir := t.TempDir()
	small := func(c *Config) { c.Most = 1 }
	a := open(t, dir, small)
	for seq := uint64(1); seq <= 5; seq++ {
		must(t, a.Keep(of(seq, "front"), make([]byte, 300_000)))
	}
	want(t, a, "3.front.jpg", "4.front.jpg", "5.front.jpg")
	must(t, a.Keep(of(6, "front"), make([]byte, 1_000_000)))
	want(t, a, "6.front.jpg")
}

func TestPruneByAge(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	keep(t, a, of(1, "front"), of(2, "front"), of(3, "front"))
	must(t, a.Prune(of(2, "").At.Add(a.cfg.Keep)))
	want(t, a, "2.front.jpg", "3.front.jpg")
	none := open(t, dir, func(c *Config) { c.Keep = 0 })
	must(t, none.Keep(of(4, "front"), nil))
	must(t, none.Prune(noon))
	want(t, none)
}

func TestErase(t *testing.T) {
	a := open(t, t.TempDir())
	keep(t, a, of(1, "front", "p1"), of(2, "front", "p2", "p1"), of(3, "front", "p11"), of(4, "p1"), of(5, "front"))
	must(t, a.Erase("p1"))
	must(t, a.Erase("p9"))
	want(t, a, "3.front.p11.jpg", "4.p1.jpg", "5.front.jpg")
	must(t, a.Retain(func(id string) bool { return id != "p11" }))
	want(t, a, "4.p1.jpg", "5.front.jpg")
}

func TestKeepRefuses(t *testing.T) {
	a := open(t, t.TempDir())
	for name, e := range map[string]Entry{
		"no record": of(0, "front"), "door": of(1, "../x"), "person": of(1, "front", "a/b"), "dot": of(1, "front", "p1.p2"),
		"crowd": of(1, "front", slices.Repeat([]string{"p1"}, MostPeople+1)...),
	} {
		if err := a.Keep(e, nil); err == nil {
			t.Errorf("%s: kept", name)
		}
	}
	long := of(1, strings.Repeat("d", 32))
	for range MostPeople {
		long.People = append(long.People, "p1234567890")
	}
	keep(t, a, long)
	want(t, a, long.name())
}

// What a crash left half written goes; what is not the album's is left alone.
func TestOpenTidies(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"7.part", "mine.jpg", "8.front.txt", "08.front.jpg", "9.Front.jpg", "0.front.jpg", "1..jpg"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	must(t, os.Mkdir(filepath.Join(dir, "5.front.jpg"), 0o700))
	a := open(t, dir, func(c *Config) { c.Keep = 0 })
	if len(a.all) != 0 {
		t.Errorf("known: %v", a.all)
	}
	must(t, a.Prune(noon))
	files, err := os.ReadDir(dir)
	must(t, err)
	if len(files) != 7 {
		t.Errorf("%d of 7 left: %v", len(files), files)
	}
}

// A folder that cannot be read is told, and new pictures are kept where that can be done.
func TestOpenWhatIsNoFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "events")
	must(t, os.WriteFile(dir, nil, 0o600))
	a, err := Open(dir, Defaults())
	if !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("opened a file: %v", err)
	}
	for name, err := range map[string]error{"keep": a.Keep(of(1, "front"), nil), "prune": a.Prune(noon), "erase": a.Erase("p1")} {
		if !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("%s in a file: %v", name, err)
		}
	}
	must(t, os.Remove(dir))
	keep(t, open(t, dir), of(2, "front", "p2"))
	must(t, a.Erase("p2")) // which it has not seen come
	keep(t, a, of(1, "front"))
	want(t, a, "1.front.jpg")
}

// A disk that takes nothing more costs the new picture, and says what to do; room makes it good.
func TestFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: a full disk; this user may not mount: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	a := open(t, filepath.Join(disk, "events"))
	must(t, a.Keep(of(1, "front", "p1"), make([]byte, 600_000)))
	err := a.Keep(of(2, "front"), make([]byte, 600_000))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "make room") {
		t.Errorf("full: %v", err)
	}
	want(t, a, "1.front.p1.jpg")
	must(t, a.Erase("p1"))
	must(t, a.Keep(of(2, "front", "p1"), make([]byte, 600_000)))
	want(t, a, "2.front.p1.jpg")

	must(t, syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	for name, err := range map[string]error{"keep": a.Keep(of(3, "front"), nil), "erase": a.Erase("p1")} {
		if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "make it writable") {
			t.Errorf("%s on a read-only disk: %v", name, err)
		}
	}
	want(t, a, "2.front.p1.jpg")
}

func TestConfig(t *testing.T) {
	must(t, Defaults().Validate())
	c := Config{Keep: time.Minute, Most: 0, Width: 10}
	err := c.Validate()
	for _, says := range []string{"keep: 1m0s: use 1h", "most: 0: use 1", "width: 10: use 160"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}
