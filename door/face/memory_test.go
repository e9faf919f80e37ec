//go:build vision

package face

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// resident returns a line of /proc/self/status in kB.
func resident(t testing.TB, key string) (kB int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("SKIPPED, memory is unmeasured here: ", err)
	}
	_, rest, _ := strings.Cut(string(status), key+":")
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatal(err)
	}
	return kB
}

// OpenCV's memory is invisible to Go's collector: what is not closed stays.
func TestMemoryIsGivenBack(t *testing.T) {
	r := recogniser(t)
	pictures := [][]byte{file(t, "obama2.jpg"), file(t, "32bit.png"), jpegFile(t, 300, 300), []byte("text")}
	work := func(times int) {
		for range times {
			if _, err := r.Enrol("ann", pictures, gallery(t), 0.5); err != nil {
				t.Fatal(err)
			}
		}
	}
	work(4)
	before := resident(t, "RssAnon")
	work(12)
	after := resident(t, "RssAnon")
	t.Logf("RssAnon %d kB, %d kB after 12 more enrolments; VmRSS %d kB", before, after, resident(t, "VmRSS"))
	if grown := after - before; grown > 12_000 { // one lost picture each time would be over 27 MB
		t.Errorf("grown by %d kB", grown)
	}
}
