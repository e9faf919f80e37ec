//go:build vision

package camera

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// motionJPEG is an HTTP camera that sends one JPEG after the other. OpenCV would decode each
// of them; here that is left to who needs it.
type motionJPEG struct {
	client *http.Client
	body   io.Closer
	in     jpegs
}

// errNotMotionJPEG is an address that answers with anything else; OpenCV may know it.
var errNotMotionJPEG = errors.New("no motion JPEG")

const answerTimeout = 5 * time.Second

// openMotionJPEG fails for all that is not plainly motion JPEG: another kind of video, a
// certificate or a way to log in that Go does not take. Its errors may show the address.
func openMotionJPEG(ctx context.Context, u *url.URL) (source, error) {
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, errNotMotionJPEG
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: answerTimeout, TLSHandshakeTimeout: answerTimeout}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "multipart/") {
		resp.Body.Close()
		client.CloseIdleConnections()
		return nil, fmt.Errorf("%w: %s, %s", errNotMotionJPEG, resp.Status, kind)
	}
	return &motionJPEG{client, resp.Body, jpegs{bufio.NewReaderSize(resp.Body, 64<<10)}}, nil
}

func (m *motionJPEG) readJPEG(context.Context) ([]byte, int, error) {
	data, scan, err := m.in.next()
	if err != nil && !errors.Is(err, ErrFrame) {
		return nil, 0, errEnded // the library's own error may show the address
	}
	return data, scan, err
}

func (m *motionJPEG) still() bool { return false }

func (m *motionJPEG) close() {
	m.body.Close()
	m.client.CloseIdleConnections()
}
