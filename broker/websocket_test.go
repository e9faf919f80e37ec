package broker

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// A browser lets any page open a websocket to any address that it can reach, and tells only by
// the Origin who asks. mochi-mqtt v2.7.9 takes every Origin; so we offer no websocket at all.

// upgrade asks for MQTT over websocket as a foreign page would and returns the status line; ""
// when there is no answer by HTTP.
func upgrade(t *testing.T, c net.Conn) string {
	t.Helper()
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(patience)))
	_, err := fmt.Fprintf(c, "GET /mqtt HTTP/1.1\r\nHost: doorhub.lan\r\nOrigin: https://foreign.example\r\n"+
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: mqtt\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	must(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Errorf("neither an answer nor an end: %v", err)
		}
		return ""
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.Status
}

func TestNoWebsocket(t *testing.T) {
	dir, withCert := withTLS(t, "127.0.0.1")
	h := start(t, withCert)
	plain, err := net.Dial("tcp", h.Addr())
	must(t, err)
	secure, err := tls.Dial("tcp", h.TLSAddr(), roots(t, dir))
	must(t, err)
	for name, c := range map[string]net.Conn{"plain": plain, "TLS": secure} {
		if got := upgrade(t, c); got != "" {
			t.Errorf("%s: answered %q", name, got)
		}
	}
	if n := h.mq.Listeners.Len(); n != 0 {
		t.Errorf("the broker has %d listeners of its own", n)
	}
}

func TestForeignPageReachesBareMochi(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := free.Addr().String()
	must(t, free.Close())
	b := startBare(t)
	l := listeners.NewWebsocket(listeners.Config{ID: "ws", Address: addr})
	must(t, b.AddListener(l))
	go l.Serve(b.EstablishConnection)
	t.Cleanup(func() { l.Close(func(string) {}) })
	if got := upgrade(t, dialWhenUp(t, addr)); !strings.HasPrefix(got, "101 ") {
		t.Errorf("answered %q", got)
	}
}

func dialWhenUp(t *testing.T, addr string) net.Conn {
	t.Helper()
	for begin := time.Now(); ; {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c
		}
		if time.Since(begin) > patience {
			t.Fatal(err)
		}
	}
}
