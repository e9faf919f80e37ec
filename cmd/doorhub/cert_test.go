package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
)

const day = 24 * time.Hour

// withCertificates has the hub serve TLS on a free port of loopback.
func withCertificates(t *testing.T) func(*Config) {
	return func(c *Config) {
		dir := filepath.Join(c.Data, "certs")
		must(t, broker.MakeCA(dir, "127.0.0.1"))
		b := &c.Broker
		b.TLSListen, b.Cert, b.Key, b.CA = "127.0.0.1:0", filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"), filepath.Join(dir, "ca.crt")
	}
}

// endsIn has the CA sign a broker's certificate for the same key that has so long to live.
func endsIn(t *testing.T, cfg broker.Config, left time.Duration) *x509.Certificate {
	t.Helper()
	ca := readCert(t, cfg.CA)
	block, _ := pem.Decode([]byte(fileText(t, filepath.Join(filepath.Dir(cfg.CA), "ca.key"))))
	caKey, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(t, err)
	block, _ = pem.Decode([]byte(fileText(t, cfg.Key)))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "127.0.0.1"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: ca.NotBefore, NotAfter: time.Now().Add(left),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, key.(*ecdsa.PrivateKey).Public(), caKey)
	must(t, err)
	must(t, os.WriteFile(cfg.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	return readCert(t, cfg.Cert)
}

func fileText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}

// shown returns the certificate that the hub shows a device that connects now.
func (h *testHub) shown(t *testing.T) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", h.server.TLSAddr(), &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// Owners expect that what the hub can do by itself it does: in time, and says so.
func TestHubRenewsItsCertificate(t *testing.T) {
	t.Parallel()
	th := newTestHouse(t, withCertificates(t))
	before := endsIn(t, th.cfg.Broker, 29*day)
	h := th.start(t)
	r := h.await(door.KindChanged)
	if r.Reason != certRenewed || r.Details[door.DetailPart] != certificatePart || !strings.Contains(r.Details[door.DetailText], "127.0.0.1, until 20") {
		t.Errorf("record: %+v", r)
	}
	now := h.shown(t)
	if now.Equal(before) || time.Until(now.NotAfter) < 800*day || broker.Hosts(now)[0] != "127.0.0.1" {
		t.Errorf("shown: %v until %s", broker.Hosts(now), now.NotAfter)
	}
	h.stop()
	for _, r := range h.records.seen() {
		if r.Kind == door.KindProblem {
			t.Errorf("a problem all the same: %+v", r)
		}
	}
}

// With the CA's key in its safe place, the owner hears of it, and that it is well again.
func TestCertificateThatEndsIsAProblem(t *testing.T) {
	t.Parallel()
	h := startTestHub(t, withCertificates(t), func(c *Config) {
		endsIn(t, c.Broker, 10*day)
		must(t, os.Rename(filepath.Join(c.Data, "certs", "ca.key"), filepath.Join(c.Data, "usb.key")))
	})
	r := h.await(door.KindProblem)
	if r.Reason != certEndsSoon || r.Details[door.DetailPart] != certificatePart || !strings.Contains(r.Details[door.DetailText], "in 9 days: renew it with doorhub broker cert renew --ca-key FILE") {
		t.Errorf("record: %+v", r)
	}
	key := []byte(fileText(t, filepath.Join(h.hub.cfg.Data, "usb.key")))
	_, err := h.service.renewCert(t.Context(), certRequest{Key: key})
	must(t, err)
	w := h.newCertWatch()
	w.last = door.Fault{Part: certificatePart, Reason: certEndsSoon}
	w.look(t.Context(), h.clock.now())
	if r := h.await(door.KindProblemGone); r.Details[door.DetailPart] != certificatePart {
		t.Errorf("record: %+v", r)
	}
}

// The door opens, and the bus works on this machine, whatever has become of a file.
func TestDamagedCertificateKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	h := startTestHub(t, withCertificates(t), func(c *Config) {
		must(t, os.WriteFile(c.Broker.Cert, []byte("-----BEGIN CERT"), 0o644))
	})
	if r := h.await(door.KindProblem); r.Reason != certUnreadable || !strings.Contains(r.Details[door.DetailText], "cut off") {
		t.Errorf("record: %+v", r)
	}
	h.types(annPIN)
	h.await(door.KindGranted)
	h.client("kitchen")
}

func TestCertificatesAreJudged(t *testing.T) {
	dir := t.TempDir()
	must(t, broker.MakeCA(dir, "127.0.0.1"))
	cfg := broker.Defaults()
	cfg.Cert, cfg.Key, cfg.CA = filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"), filepath.Join(dir, "ca.crt")
	must(t, os.Rename(filepath.Join(dir, "ca.key"), filepath.Join(dir, "safe.key")))
	leaf, ca := readCert(t, cfg.Cert), readCert(t, cfg.CA)
	var shownErr error
	var sent []string
	w := &certWatch{cfg: cfg, issue: cfg.RenewCertificate, log: slog.New(slog.DiscardHandler), shown: func() (*x509.Certificate, error) { return leaf, shownErr },
		send: func(f door.Fault) { sent = append(sent, f.Part+" "+f.Reason) },
		note: func(context.Context, door.Record) error { return errors.New("nothing was renewed") }}
	for _, step := range []struct {
		name   string
		at     time.Time
		synced bool
		err    error
		want   string // "": nothing new
	}{
		{"fresh", leaf.NotBefore.Add(day), true, nil, ""},
		{"the clock never set", time.Unix(0, 0), false, nil, ""},
		{"31 days left", leaf.NotAfter.Add(-31 * day), true, nil, ""},
		{"29 days left", leaf.NotAfter.Add(-29 * day), true, nil, certEndsSoon},
		{"the clock lost", time.Unix(0, 0), false, nil, ""},
		{"still 29 days", leaf.NotAfter.Add(-29 * day), true, nil, ""},
		{"ended", leaf.NotAfter.Add(time.Second), true, nil, certExpired},
		{"damaged", leaf.NotAfter.Add(time.Second), true, errors.New("half a file"), certUnreadable},
		{"mended before the clock is set", time.Unix(0, 0), false, nil, "gone"},
		{"the clock before its begin", leaf.NotBefore.Add(-time.Second), true, nil, certNotYet},
		{"set right", leaf.NotBefore.Add(day), true, nil, "gone"},
	} {
		sent = nil
		shownErr = step.err
		w.look(t.Context(), door.Instant{Wall: step.at, Mono: time.Hour, Synced: step.synced})
		var want []string
		switch step.want {
		case "":
		case "gone":
			want = []string{certificatePart + " "}
		default:
			want = []string{certificatePart + " " + step.want}
		}
		if diff := cmp.Diff(want, sent); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	leaf = ca // a leaf that lives as long as its CA, which it is
	w.look(t.Context(), door.Instant{Wall: ca.NotAfter.Add(-179 * day), Mono: 2 * time.Hour, Synced: true})
	if w.last.Reason != certCAEnds || !strings.Contains(w.last.Detail, "cert ca new") {
		t.Errorf("CA that ends: %+v", w.last)
	}
}

// It is not renewed while nobody knows the time, nor again and again, nor where nothing is gained.
func TestRenewalWaitsForItsTime(t *testing.T) {
	dir := t.TempDir()
	must(t, broker.MakeCA(dir, "127.0.0.1"))
	cfg := broker.Defaults()
	cfg.Cert, cfg.Key, cfg.CA = filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key"), filepath.Join(dir, "ca.crt")
	leaf, ca := readCert(t, cfg.Cert), readCert(t, cfg.CA)
	noted := 0
	w := &certWatch{cfg: cfg, issue: cfg.RenewCertificate, log: slog.New(slog.DiscardHandler), shown: func() (*x509.Certificate, error) { return leaf, nil }, send: func(door.Fault) {},
		note: func(context.Context, door.Record) error { noted++; return nil }}
	soon := leaf.NotAfter.Add(-10 * day)
	for _, step := range []struct {
		now  door.Instant
		want int
	}{
		{door.Instant{Wall: soon, Mono: time.Minute}, 0},
		{door.Instant{Wall: leaf.NotAfter.Add(-31 * day), Mono: time.Minute, Synced: true}, 0},
		{door.Instant{Wall: soon, Mono: 2 * time.Minute, Synced: true}, 1},
		{door.Instant{Wall: soon, Mono: time.Hour, Synced: true}, 1},
		{door.Instant{Wall: soon, Mono: 2 * time.Hour, Synced: true}, 2},
	} {
		if w.look(t.Context(), step.now); noted != step.want {
			t.Errorf("%+v: renewed %d times, want %d", step.now, noted, step.want)
		}
	}
	var err error
	leaf, err = cfg.RenewCertificate(ca.NotAfter.Add(-20*day), nil) // ends with its CA
	must(t, err)
	if w.look(t.Context(), door.Instant{Wall: ca.NotAfter.Add(-10 * day), Mono: 9 * time.Hour, Synced: true}); noted != 2 || w.last.Reason != certCAEnds {
		t.Errorf("renewed %d times; %+v", noted, w.last)
	}
}

// At an external broker it is the hub's own certificate.
func TestClientCertificateThatEndsIsAProblem(t *testing.T) {
	dir := t.TempDir()
	must(t, broker.MakeCA(dir, "127.0.0.1"))
	w := &certWatch{cfg: broker.Config{Mode: broker.External, ClientCert: filepath.Join(dir, "server.crt")}, log: slog.New(slog.DiscardHandler), send: func(door.Fault) {}}
	w.look(t.Context(), door.Instant{Wall: readCert(t, w.cfg.ClientCert).NotAfter.Add(-day), Synced: true})
	if w.last.Reason != certEndsSoon || !strings.Contains(w.last.Detail, "client_cert") {
		t.Errorf("%+v", w.last)
	}
}

func TestPlaintextIsAProblem(t *testing.T) {
	t.Parallel()
	h := startTestHub(t, func(c *Config) {
		c.Broker.Listen, c.Broker.PlaintextAnywhere = "0.0.0.0:0", true
		c.HomeAssistant.Broker, c.HomeAssistant.PlaintextAnywhere = "mqtt://192.0.2.1:1883", true
	})
	for _, part := range []string{plaintextPart, plaintextHomePart} {
		h.records.next(t, part, func(r door.Record) bool {
			return r.Kind == door.KindProblem && r.Reason == overPlaintext && r.Details[door.DetailPart] == part && r.Details[door.DetailText] != ""
		})
	}
	at := h.as("viewer")
	_, port, err := net.SplitHostPort(at.address)
	must(t, err)
	at.address = "127.0.0.1:" + port
	says(t, sub(t, at, "doorhub/instance/hub/broker"), "doorhub/instance/hub/broker", plaintextPart+" "+overPlaintext, plaintextHomePart+" "+overPlaintext)
}

// All of it, with a real device's program and the hub running: what a device is given in each
// step, and that one that is there is never cut.
func TestCertificateCommandsWithARunningHub(t *testing.T) {
	t.Parallel()
	pub := program(t, "mosquitto_pub")
	address := freeAddr(t)
	h := newCLIHouse(t)
	certs := filepath.Join(h.data, "certs")
	h.edit("tls_listen: 127.0.0.1:0", "tls_listen: "+address+"\n    tls_client_ca: "+filepath.Join(certs, "ca.crt"))
	token := strings.Fields(h.ok("broker", "user", "rotate", "kitchen"))[3]
	h.start()
	out := h.ok("broker", "cert", "client", "kitchen", "--out", h.data)
	if !strings.Contains(out, "kitchen.key") || strings.Contains(out, "once tls_client_ca") {
		t.Errorf("client: %s", out)
	}
	for file, mode := range map[string]os.FileMode{"kitchen.crt": 0o644, "kitchen.key": 0o600} {
		if info, err := os.Stat(filepath.Join(h.data, file)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	host, port, _ := net.SplitHostPort(address)
	device := func(ca string) error {
		out, err := exec.CommandContext(soon(t), pub, "-h", host, "-p", port, "--cafile", ca, "--cert", filepath.Join(h.data, "kitchen.crt"),
			"--key", filepath.Join(h.data, "kitchen.key"), "-u", "kitchen", "-P", token, "-q", "1", "-t", "doorhub/in/kitchen/contact", "-m", "closed").CombinedOutput()
		if err != nil {
			t.Logf("%s: %v, %s", ca, err, out)
		}
		return err
	}
	given := func(name string) string { // to the device, at that time
		path := filepath.Join(h.data, name)
		must(t, os.WriteFile(path, []byte(fileText(t, filepath.Join(certs, "ca.crt"))), 0o644))
		return path
	}
	first := given("first.crt")
	must(t, device(first))
	h.ok("broker", "cert", "renew")
	must(t, device(first))
	key := filepath.Join(h.data, "usb.key")
	h.ok("broker", "cert", "ca", "new", "--ca-key", key)
	both := given("both.crt")
	must(t, device(first))
	h.ok("broker", "cert", "ca", "use", "--ca-key", key)
	must(t, device(both))
	if device(first) == nil {
		t.Error("a device that does not know the new CA accepts it")
	}
	h.ok("broker", "cert", "ca", "drop")
	if device(both) == nil {
		t.Error("a certificate by the dropped CA is accepted")
	}
	must(t, os.Remove(filepath.Join(h.data, "kitchen.crt")))
	must(t, os.Remove(filepath.Join(h.data, "kitchen.key")))
	h.ok("broker", "cert", "client", "kitchen", "--out", h.data, "--ca-key", key)
	must(t, device(given("second.crt")))
	h.ok("broker", "user", "revoke", "kitchen")
	if device(both) == nil {
		t.Error("the certificate of a revoked user is accepted")
	}
}

// Two at once must not leave the certificate of one with the key of the other.
func TestRenewalsAtOnce(t *testing.T) {
	t.Parallel()
	h := startTestHub(t, withCertificates(t))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 4 {
				_, err := h.service.renewAlone(time.Now(), nil)
				if err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 4 {
				h.shown(t)
			}
		})
	}
	wg.Wait()
	if c, err := h.server.Certificate(); err != nil || !h.shown(t).Equal(c) {
		t.Errorf("%v", err)
	}
	must(t, h.hub.cfg.Broker.Validate())
}
