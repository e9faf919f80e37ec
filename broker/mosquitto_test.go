package broker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program finds one of Mosquitto's, or skips the test saying so.
func program(t testing.TB, name, pkg string) string {
	t.Helper()
	for _, try := range []string{name, "/usr/sbin/" + name} {
		if path, err := exec.LookPath(try); err == nil {
			return path
		}
	}
	fmt.Fprintf(os.Stderr, "SKIPPED: %s: %s is not here; apt-get install %s\n", t.Name(), name, pkg)
	t.Skipf("%s is not here; apt-get install %s", name, pkg)
	return ""
}

// mosquitto_sub and mosquitto_pub against the embedded broker, over TLS.
func TestMosquittoClients(t *testing.T) {
	sub, pub := program(t, "mosquitto_sub", "mosquitto-clients"), program(t, "mosquitto_pub", "mosquitto-clients")
	dir, change := withTLS(t, "127.0.0.1")
	h := start(t, change)
	_, port, err := net.SplitHostPort(h.TLSAddr())
	must(t, err)
	run := func(program, user string, args ...string) (string, error) {
		args = append([]string{"-h", "127.0.0.1", "-p", port, "--cafile", filepath.Join(dir, CACertFile), "-u", user, "-P", h.tokens[user]}, args...)
		out, err := exec.CommandContext(soon(t), program, args...).CombinedOutput()
		return string(out), err
	}
	h.tokens["nobody"] = "x"
	h.in(t, h.as("hub")).publish("doorhub/door/front/lock", "LOCKED", true)
	for _, version := range []string{"mqttv311", "mqttv5"} {
		if out, err := run(sub, "homeassistant", "-V", version, "-t", "doorhub/door/front/lock", "-C", "1", "-F", "%r %p"); err != nil || out != "1 LOCKED\n" {
			t.Errorf("%s: homeassistant reads %q, %v", version, out, err)
		}
		if out, _ := run(sub, "sensor", "-V", version, "-t", "doorhub/door/front/lock", "-C", "1"); !strings.Contains(out, "denied") || strings.Contains(out, "LOCKED") {
			t.Errorf("%s: sensor reads %q", version, out)
		}
		if out, err := run(sub, "nobody", "-V", version, "-t", "doorhub/door/front/lock", "-C", "1"); err == nil || !strings.Contains(strings.ToLower(out), "not authori") && !strings.Contains(out, "Bad User") {
			t.Errorf("%s: nobody reads %q, %v", version, out, err)
		}
	}
	heard := make(chan string, 10)
	must(t, h.OnPublish("#", func(user string, m Message) { heard <- user + " " + m.Topic }))
	for _, topic := range []string{"doorhub/in/window/contact", "doorhub/cmd/door/front/lock", "doorhub/in/sensor/contact"} {
		out, err := run(pub, "sensor", "-q", "1", "-t", topic, "-m", "open")
		t.Logf("%s: %q, %v", topic, out, err)
	}
	if got := take(t, heard); got != "sensor doorhub/in/sensor/contact" {
		t.Errorf("first heard of %s", got)
	}
}

// Our client in mode external against Debian's Mosquitto, which is stopped and started again.
func TestExternalMosquitto(t *testing.T) {
	bin, passwd := program(t, "mosquitto", "mosquitto"), program(t, "mosquitto_passwd", "mosquitto")
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	must(t, os.WriteFile(secret, []byte("token\n"), 0o600))
	users := filepath.Join(dir, "users")
	must(t, os.WriteFile(users, []byte("hub:token\n"), 0o600))
	must(t, exec.CommandContext(t.Context(), passwd, "-U", users).Run())
	acl := filepath.Join(dir, "acl")
	must(t, os.WriteFile(acl, []byte("user hub\ntopic readwrite doorhub/#\n"), 0o600))
	port := freePort(t)
	conf := filepath.Join(dir, "mosquitto.conf")
	text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous false\npassword_file %s\nacl_file %s\nuser root\n", port, users, acl)
	must(t, os.WriteFile(conf, []byte(text), 0o600))
	stop := mosquitto(t, bin, conf)

	cfg := Config{Mode: External, URL: "mqtt://127.0.0.1:" + port, User: "hub", PasswordFile: secret}
	must(t, cfg.Validate())
	cc, err := cfg.External(nil)
	must(t, err)
	told, up, got := make(chan error, 10), make(chan struct{}, 10), make(chan Message, 10)
	cc.ClientID, cc.Retry, cc.Problem = "hub", 1, func(err error) { told <- err }
	c, err := Dial(t.Context(), cc)
	must(t, err)
	defer c.Close()
	c.OnUp(func() { up <- struct{}{} })
	must(t, c.Ready(soon(t)))
	take(t, up)
	must(t, c.Subscribe(soon(t), "doorhub/cmd/#", 1, func(m Message) { got <- m }))
	exchange(t, c, got)
	stop()
	take(t, told)
	if err := c.Publish(soon(t), Message{Topic: "doorhub/cmd/x", QoS: 1}); !errors.Is(err, ErrDown) {
		t.Errorf("publish while it is away: %v", err)
	}
	defer mosquitto(t, bin, conf)()
	take(t, up)
	exchange(t, c, got)
	// Mosquitto takes any filter and delivers nothing of what its rules forbid.
	must(t, c.Subscribe(soon(t), "other/#", 1, func(m Message) { got <- m }))
	must(t, c.Publish(soon(t), Message{Topic: "other/x", QoS: 1}))
	exchange(t, c, got)
}

func exchange(t *testing.T, c *Client, got <-chan Message) {
	t.Helper()
	for _, payload := range []string{"", "\xff\x00", strings.Repeat("x", 10<<20)} {
		m := Message{Topic: "doorhub/cmd/door/front/lock", Payload: []byte(payload), QoS: 1}
		must(t, c.Publish(soon(t), m))
		if back := take(t, got); back.Topic != m.Topic || !bytes.Equal(back.Payload, m.Payload) {
			t.Errorf("sent %.20q, received %.20q on %s", m.Payload, back.Payload, back.Topic)
		}
	}
}

func freePort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return port
}

// mosquitto starts a broker, waits until it runs, and returns what stops it.
func mosquitto(t *testing.T, bin, conf string) (stop func()) {
	t.Helper()
	cmd := exec.Command(bin, "-v", "-c", conf)
	out, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		t.Log(lines.Text())
		if strings.Contains(lines.Text(), " running") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
		}
	}
	t.Fatalf("mosquitto ended: %v", cmd.Wait())
	return nil
}
