package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/doorhub/doorhub/broker"
)

// buildHub builds doorhub as a user would have it: with vision as these tests were built, or
// without.
func buildHub(tb testing.TB, vision bool) (binary string) {
	tb.Helper()
	binary = filepath.Join(tb.TempDir(), "doorhub")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", binary, ".")
	if !vision {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// house is the data folder of a hub that runs as a process of its own.
type house struct {
	binary string
	dir    string
	config string
	broker string            // host:port
	tokens map[string]string // of the bus users
}

// newHouse has the binary make a house with one simulated door and the kitchen window. cameras
// are the sources of the door's cameras.
func newHouse(tb testing.TB, binary string, cameras ...string) *house {
	tb.Helper()
	dir, err := os.MkdirTemp("", "hub") // of a short name: a socket's path has at most 107 bytes
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	h := &house{binary: binary, dir: dir, config: filepath.Join(dir, "test.yaml"), broker: freePort(tb), tokens: map[string]string{}}
	var made struct{ Users []userView }
	out, err := exec.Command(binary, "--data", dir, "--json", "init", "--simulated", "--fallback", "none").Output()
	if err := errors.Join(err, json.Unmarshal(out, &made)); err != nil {
		tb.Fatalf("init: %v\n%s", err, out)
	}
	for _, u := range made.Users {
		h.tokens[u.Name] = u.Token
	}
	if err := os.WriteFile(h.config, h.configText(cameras), 0o600); err != nil {
		tb.Fatal(err)
	}
	return h
}

func (h *house) configText(cameras []string) []byte {
	text := fmt.Appendf(nil, "data: %s\nclock: trust\nbroker: {listen: %q}\n", h.dir, h.broker)
	text = append(text, "sensors: [{id: kitchen, name: Kitchen window, kind: window}]\n"...)
	text = append(text, "doors:\n- id: front\n  name: Front door\n  hardware: simulated\n  keypads: [{}]\n  cameras:\n"...)
	if len(cameras) == 0 {
		return append(text, "  - {source: none.jpg}\n"...) // a hub without vision says so, and runs
	}
	for _, c := range cameras {
		text = fmt.Appendf(text, "  - {source: %q}\n", c)
	}
	return text
}

// freePort returns an address that nobody listens on, to be the same after every restart.
func freePort(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// client connects a bus user, and is closed with the test if not before.
func (h *house) client(ctx context.Context, user string) (*broker.Client, error) {
	c, err := broker.Dial(ctx, broker.ClientConfig{URL: "mqtt://" + h.broker, User: user, Token: h.tokens[user],
		ClientID: user, Retry: 50 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// process is a running hub.
type process struct {
	cmd   *exec.Cmd
	began time.Time
	ready chan time.Duration // how long it took; closed when the process ends without

	mu   sync.Mutex
	tail []string // the end of its log
	done chan struct{}
}

// start starts the hub and returns at once.
func (h *house) start(tb testing.TB) *process {
	tb.Helper()
	p := &process{cmd: exec.Command(h.binary, "--config", h.config, "run"),
		ready: make(chan time.Duration, 1), done: make(chan struct{})}
	// Written to in order to start, and closed by the kernel with the last of its holders.
	log, err := p.cmd.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go p.read(bufio.NewScanner(log))
	tb.Cleanup(p.kill)
	return p
}

func (p *process) read(log *bufio.Scanner) {
	defer close(p.done)
	defer close(p.ready)
	told := false
	for log.Scan() {
		if !told && bytes.Contains(log.Bytes(), []byte(" msg=ready ")) {
			told = true
			p.ready <- time.Since(p.began)
		}
		p.mu.Lock()
		p.tail = append(p.tail, log.Text())
		p.tail = p.tail[max(0, len(p.tail)-30):]
		p.mu.Unlock()
	}
}

// await waits until the hub is ready and returns how long it took from its exec.
func (p *process) await(tb testing.TB) time.Duration {
	tb.Helper()
	select {
	case took, ok := <-p.ready:
		if !ok {
			tb.Fatalf("the hub ended before it was ready:\n%s", p.log())
		}
		return took
	case <-time.After(time.Minute):
		tb.Fatalf("the hub is not ready after a minute:\n%s", p.log())
	}
	return 0
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.tail, "\n")
}

// kill ends the hub by SIGKILL; one that has ended already stays so.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
	_ = p.cmd.Wait() // "signal: killed", or that it was waited for before
}

// stop ends the hub in order.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-p.done
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%w:\n%s", err, p.log())
	}
	return nil
}

// ended tells how the hub ended by itself, if it has.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// memory returns a line of the process's /proc/PID/status in MB (10^6 bytes).
func (p *process) memory(tb testing.TB, key string) float64 {
	tb.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), key+":")
	var kiB float64
	if _, err := fmt.Sscan(rest, &kiB); err != nil {
		tb.Fatalf("%s: %v", key, err)
	}
	return kiB * 1024 / 1e6
}
