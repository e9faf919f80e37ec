//go:build vision

package camera

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gocv.io/x/gocv"
)

// streamer is an HTTP camera: MJPEG as most of them send it. It can be made to hang, which
// keeps the connection and sends nothing.
type streamer struct {
	server *httptest.Server
	hang   atomic.Bool
	refuse atomic.Bool   // as a server does that is still starting
	gone   chan struct{} // closed at the end, so that hanging handlers end
}

func newStreamer(t *testing.T) *streamer {
	t.Helper()
	s := &streamer{gone: make(chan struct{})}
	s.server = httptest.NewServer(s)
	t.Cleanup(func() {
		close(s.gone)
		s.server.CloseClientConnections()
		s.server.Close()
	})
	return s
}

func (s *streamer) address() string { return s.server.URL + "/video" }

func (s *streamer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.refuse.Load() {
		http.Error(w, "starting", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "multipart/x-mixed-replace; boundary=frame")
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-s.gone:
			return
		case <-r.Context().Done():
			return
		}
		if s.hang.Load() {
			continue
		}
		if err := sendPicture(w, n); err != nil {
			return
		}
	}
}

func sendPicture(w http.ResponseWriter, n int) error {
	m := drawn(n % 200)
	defer m.Close()
	buf, err := gocv.IMEncode(gocv.JPEGFileExt, m)
	if err != nil {
		return err
	}
	defer buf.Close()
	if _, err := fmt.Fprintf(w, "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n", buf.Len()); err != nil {
		return err
	}
	if _, err := w.Write(append(buf.GetBytes(), '\r', '\n')); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}

func waitFor(t *testing.T, reports <-chan string, want string) {
	t.Helper()
	deadline := time.After(60 * time.Second) // a restart costs the back-off and the stream's probing
	for {
		select {
		case got := <-reports:
			if got == want {
				return
			}
			t.Logf("on the way: %q", got)
		case <-deadline:
			t.Fatalf("%q never reported", want)
		}
	}
}

func TestAStreamThatHangsComesBack(t *testing.T) {
	s := newStreamer(t)
	reports := make(chan string, 100)
	cam, err := Open(with(s.address()), func(reason, _ string) { reports <- reason })
	if err != nil {
		t.Fatal(err)
	}
	defer cam.Close()
	waitFor(t, reports, "")
	s.hang.Store(true)
	waitFor(t, reports, Lost)
	s.hang.Store(false)
	waitFor(t, reports, "")
}

func TestAServerThatRestartsComesBack(t *testing.T) {
	s := newStreamer(t)
	reports := make(chan string, 100)
	cam, err := Open(with(s.address()), func(reason, _ string) { reports <- reason })
	if err != nil {
		t.Fatal(err)
	}
	defer cam.Close()
	waitFor(t, reports, "")
	s.refuse.Store(true)
	s.server.CloseClientConnections()
	waitFor(t, reports, Lost)
	s.refuse.Store(false)
	waitFor(t, reports, "")
}

// The libraries below print to stderr on their own; an address's password must not be in it.
func TestNothingPrintsThePassword(t *testing.T) {
	if address := os.Getenv("CAMERA_TEST_ADDRESS"); address != "" {
		reports := make(chan string, 100)
		cam, err := Open(with(address), func(reason, detail string) { reports <- reason + " " + detail })
		if err != nil {
			t.Fatal(err)
		}
		defer cam.Close()
		fmt.Println(<-reports)
		return
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, address := range []string{"http://ann:hunter2@" + host + "/x?password=hunter2", "rtsp://ann:hunter2@" + host + "/hunter2"} {
		self := exec.Command(os.Args[0], "-test.run=^TestNothingPrintsThePassword$", "-test.v")
		self.Env = append(os.Environ(), "CAMERA_TEST_ADDRESS="+address)
		out, err := self.CombinedOutput()
		if err != nil || !strings.Contains(string(out), Lost) {
			t.Errorf("the camera did not report: %v\n%s", err, out)
		}
		if strings.Contains(string(out), "hunter2") {
			t.Errorf("the password is in the output:\n%s", out)
		}
	}
}
