package broker

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What BearSSL (x509_minimal.t0) and mbedTLS do not know of must not be critical.
func TestCertificatesSuitSmallDevices(t *testing.T) {
	dir := t.TempDir()
	must(t, MakeCA(dir, "doorhub.local", "192.168.1.5", "fd00::2"))
	ca, server := readCert(t, dir, CACertFile), readCert(t, dir, ServerCertFile)
	known := []string{"2.5.29.19", "2.5.29.15", "2.5.29.17"} // basic constraints, key usage, alternative names
	for _, c := range []*x509.Certificate{ca, server} {
		for _, e := range c.Extensions {
			if e.Critical && !slices.Contains(known, e.Id.String()) {
				t.Errorf("%s: extension %s is critical", c.Subject, e.Id)
			}
		}
		if c.SignatureAlgorithm != x509.ECDSAWithSHA256 || c.SerialNumber.Sign() <= 0 {
			t.Errorf("%s: %s, serial %s", c.Subject, c.SignatureAlgorithm, c.SerialNumber)
		}
	}
	if diff := cmp.Diff([]string{"doorhub.local", "192.168.1.5"}, server.DNSNames); diff != "" {
		t.Errorf("BearSSL compares names only, and addresses as names (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"doorhub.local", "192.168.1.5", "fd00::2"}, Hosts(server)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !ca.MaxPathLenZero || ca.MaxPathLen != 0 || server.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("CA path length %d; usage of the server's key %b", ca.MaxPathLen, server.KeyUsage)
	}
}

// The only cipher suite that many a small device has, by another library than Go's.
func TestOpenSSLAtTLS12(t *testing.T) {
	openssl := program(t, "openssl", "openssl")
	dir, change := withTLS(t, "127.0.0.1", "doorhub.local")
	h := start(t, change)
	for _, c := range []struct {
		args []string
		ok   bool
	}{
		{[]string{"-verify_ip", "127.0.0.1"}, true},
		{[]string{"-verify_hostname", "doorhub.local"}, true},
		{[]string{"-verify_hostname", "127.0.0.1"}, true}, // as BearSSL compares
		{[]string{"-verify_hostname", "example.org"}, false},
		{[]string{"-verify_ip", "127.0.0.2"}, false},
	} {
		args := append([]string{"s_client", "-connect", h.TLSAddr(), "-CAfile", filepath.Join(dir, CACertFile), "-x509_strict",
			"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", "-curves", "P-256", "-verify_return_error", "-brief"}, c.args...)
		out, err := exec.CommandContext(soon(t), openssl, args...).CombinedOutput() // ends as its input does
		if (err == nil) != c.ok || c.ok && !bytes.Contains(out, []byte("ECDHE-ECDSA-AES128-GCM-SHA256")) {
			t.Errorf("%q: %v\n%s", c.args, err, out)
		}
	}
	old := exec.CommandContext(soon(t), openssl, "s_client", "-connect", h.TLSAddr(), "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
	if out, err := old.CombinedOutput(); err == nil {
		t.Errorf("TLS 1.1 is spoken:\n%s", out)
	}
}

// A device without memory for records of 16 KiB gets by with far less: crypto/tls cannot be
// asked for shorter ones (RFC 6066, 4), and need not be.
func TestHandshakeFitsIntoSmallBuffers(t *testing.T) {
	dir, change := withTLS(t, "localhost", "127.0.0.1", "::1", "raspberrypi", "raspberrypi.local", "192.168.178.100", "fd00::1234:5678:9abc:def0")
	h := start(t, change)
	raw, err := net.Dial("tcp", h.TLSAddr())
	must(t, err)
	defer raw.Close()
	seen := &bytes.Buffer{}
	tc := roots(t, dir)
	tc.ServerName, tc.MaxVersion = "raspberrypi.local", tls.VersionTLS12
	must(t, tls.Client(recorded{raw, seen}, tc).HandshakeContext(soon(t)))
	longest := 0
	for b := seen.Bytes(); len(b) >= 5; {
		n := int(b[3])<<8 | int(b[4])
		longest, b = max(longest, n), b[min(len(b), 5+n):]
	}
	if longest == 0 || longest > 1024 {
		t.Errorf("the longest record of the broker's handshake has %d bytes", longest)
	}
}

type recorded struct {
	net.Conn
	seen *bytes.Buffer
}

func (r recorded) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.seen.Write(p[:n])
	return n, err
}

// shown returns the certificate that a new connection is shown.
func (h *house) shown(t *testing.T) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", h.TLSAddr(), &tls.Config{InsecureSkipVerify: true})
	must(t, err)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

func TestRenewalWithoutDowntime(t *testing.T) {
	dir, change := withTLS(t, "127.0.0.1", "doorhub.lan")
	h := start(t, change)
	there := h.client(t, "hub", func(c *ClientConfig) { c.URL, c.TLS = "mqtts://"+h.TLSAddr(), roots(t, dir) })
	before := h.shown(t)
	renewed, err := h.cfg.RenewCertificate(time.Now(), nil)
	must(t, err)
	if now := h.shown(t); !now.Equal(renewed) || now.Equal(before) {
		t.Errorf("shown: %s", now.Subject)
	}
	if diff := cmp.Diff(Hosts(before), Hosts(renewed)); diff != "" {
		t.Errorf("hosts (-before +renewed):\n%s", diff)
	}
	if bytes.Equal(before.RawSubjectPublicKeyInfo, renewed.RawSubjectPublicKeyInfo) {
		t.Error("the key is the one of before")
	}
	key, err := os.Stat(h.cfg.Key)
	must(t, err)
	if key.Mode().Perm() != 0o600 {
		t.Errorf("key: %v", key.Mode())
	}
	must(t, there.Publish(soon(t), Message{Topic: "doorhub/alarm/state", Payload: []byte("disarmed"), QoS: 1}))

	elsewhere := filepath.Join(t.TempDir(), "usb.key")
	must(t, os.Rename(filepath.Join(dir, CAKeyFile), elsewhere))
	if _, err := h.cfg.RenewCertificate(time.Now(), nil); !errors.Is(err, ErrNoCAKey) || !strings.Contains(err.Error(), "--ca-key") {
		t.Errorf("without the CA's key: %v", err)
	}
	key2, err := os.ReadFile(elsewhere)
	must(t, err)
	_, err = h.cfg.RenewCertificate(time.Now(), key2, "door.example", "192.0.2.7")
	must(t, err)
	if diff := cmp.Diff([]string{"door.example", "192.0.2.7"}, Hosts(h.shown(t))); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
}

// What is put into the files is taken when it is whole, whoever puts it there.
func TestDamagedCertificateLeavesTheOldInUse(t *testing.T) {
	_, change := withTLS(t, "127.0.0.1")
	h := start(t, change)
	before := h.shown(t)
	whole, err := os.ReadFile(h.cfg.Cert)
	must(t, err)
	must(t, os.WriteFile(h.cfg.Cert, whole[:len(whole)/2], 0o644))
	if now := h.shown(t); !now.Equal(before) {
		t.Error("half a certificate ended the whole one")
	}
	if c, err := h.Certificate(); !c.Equal(before) || err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("%v, %v", c.Subject, err)
	}
	must(t, os.WriteFile(h.cfg.Cert, whole, 0o644))
	if c, err := h.Certificate(); !c.Equal(before) || err != nil {
		t.Errorf("%v, %v", c.Subject, err)
	}
	for mode, good := range map[os.FileMode]bool{0o644: false, 0o600: true} {
		must(t, os.Chmod(h.cfg.Key, mode))
		if c, err := h.Certificate(); !c.Equal(before) || (err == nil) != good {
			t.Errorf("key %v: %v, %v", mode, c.Subject, err)
		}
	}
}

// A house must not stand still for a file: TLS comes when it is mended.
func TestStartWithDamagedCertificate(t *testing.T) {
	_, change := withTLS(t, "127.0.0.1")
	cfg := testConfig(t)
	change(&cfg)
	must(t, os.WriteFile(cfg.Cert, nil, 0o644))
	if err := cfg.Validate(); !errors.Is(err, ErrCertificate) {
		t.Errorf("validate: %v", err)
	}
	h := start(t, func(c *Config) { *c = cfg })
	h.in(t, h.as("sensor")) // by plaintext on this machine
	if _, err := tls.Dial("tcp", h.TLSAddr(), &tls.Config{InsecureSkipVerify: true}); err == nil {
		t.Error("TLS without a certificate")
	}
	if c, err := h.Certificate(); c != nil || err == nil {
		t.Errorf("%v, %v", c, err)
	}
	renewed, err := cfg.RenewCertificate(time.Now(), nil, "127.0.0.1")
	must(t, err)
	if !h.shown(t).Equal(renewed) {
		t.Error("not the one that was made")
	}
}

// Whoever does not know the CA that is named may know the one that signed.
func TestStartWithAnotherCA(t *testing.T) {
	other, _ := withTLS(t, "127.0.0.1")
	_, change := withTLS(t, "127.0.0.1")
	h := start(t, change, func(c *Config) { c.CA = filepath.Join(other, CACertFile) })
	if c, err := h.Certificate(); err == nil || !h.shown(t).Equal(c) {
		t.Errorf("%v", err)
	}
}

// Killed at any moment, a renewal leaves a certificate and its key.
func TestRenewalInterrupted(t *testing.T) {
	_, change := withTLS(t, "127.0.0.1")
	cfg := testConfig(t)
	change(&cfg)
	oldCert, oldKey := content(t, cfg.Cert), content(t, cfg.Key)
	_, err := cfg.RenewCertificate(time.Now(), nil)
	must(t, err)
	newCert, newKey := content(t, cfg.Cert), content(t, cfg.Key)
	for name, files := range map[string]map[string]string{
		"key written":       {cfg.Cert: oldCert, cfg.Key: oldKey, cfg.Key + tempSuffix: newKey[:len(newKey)/2]},
		"both written":      {cfg.Cert: oldCert, cfg.Key: oldKey, cfg.Key + tempSuffix: newKey, cfg.Cert + tempSuffix: newCert},
		"certificate moved": {cfg.Cert: newCert, cfg.Key: oldKey, cfg.Key + tempSuffix: newKey},
		"both moved":        {cfg.Cert: newCert, cfg.Key: newKey},
	} {
		for path, text := range files {
			must(t, os.WriteFile(path, []byte(text), 0o600))
		}
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := cfg.RenewCertificate(time.Now(), nil); err != nil {
			t.Errorf("%s: renewed once more: %v", name, err)
		}
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: after it was renewed once more: %v", name, err)
		}
		for _, path := range []string{cfg.Cert + tempSuffix, cfg.Key + tempSuffix} {
			if _, err := os.Stat(path); err == nil {
				t.Errorf("%s: %s is left", name, path)
			}
		}
	}
}

// The key that alone fits must not be lost by the next renewal, which fails.
func TestRenewalThatFailsAfterOneInterrupted(t *testing.T) {
	_, change := withTLS(t, "127.0.0.1")
	cfg := testConfig(t)
	change(&cfg)
	oldKey := content(t, cfg.Key)
	_, err := cfg.RenewCertificate(time.Now(), nil)
	must(t, err)
	must(t, os.Rename(cfg.Key, cfg.Key+tempSuffix))
	must(t, os.WriteFile(cfg.Key, []byte(oldKey), 0o600))
	must(t, os.Mkdir(cfg.Cert+tempSuffix, 0o700)) // nothing can be written there
	if _, err := cfg.RenewCertificate(time.Now(), nil); err == nil {
		t.Error("renewed")
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

// Devices that were given the bundle in time notice nothing of the change of the CA.
func TestChangeOfTheCA(t *testing.T) {
	dir, change := withTLS(t, "127.0.0.1")
	h := start(t, change)
	accepts := func(bundle string) bool {
		certs, err := parseCerts([]byte(bundle))
		must(t, err)
		c, err := tls.Dial("tcp", h.TLSAddr(), &tls.Config{RootCAs: pool(certs), ServerName: "127.0.0.1"})
		if err != nil {
			return false
		}
		return c.Close() == nil
	}
	old := content(t, h.cfg.CA)
	if _, err := h.cfg.UseCA(time.Now(), nil); err == nil || !strings.Contains(err.Error(), "cert ca new") {
		t.Errorf("used before it was made: %v", err)
	}
	if _, err := h.cfg.DropCAs(); err == nil || !strings.Contains(err.Error(), "nothing to drop") {
		t.Errorf("dropped with one: %v", err)
	}
	cert, key, err := NewCA(time.Now())
	must(t, err)
	added, err := h.cfg.AddCA(cert, key)
	must(t, err)
	both := content(t, h.cfg.CA)
	if _, err := h.cfg.AddCA(cert, key); err == nil {
		t.Error("a third CA while the second is not in use")
	}
	if !accepts(old) || !accepts(both) {
		t.Error("after new: not accepted")
	}
	if _, err := h.cfg.RenewCertificate(time.Now(), nil); err != nil || !accepts(old) {
		t.Errorf("renewed between: %v; accepted by old devices: %t", err, accepts(old))
	}
	_, err = h.cfg.UseCA(time.Now(), nil)
	must(t, err)
	if accepts(old) || !accepts(both) || !accepts(string(cert)) {
		t.Error("after use: only devices with the new CA should accept it")
	}
	dropped, err := h.cfg.DropCAs()
	must(t, err)
	if len(dropped) != 1 || dropped[0].Equal(added) || content(t, h.cfg.CA) != string(cert) || !accepts(content(t, h.cfg.CA)) {
		t.Errorf("dropped %v", dropped)
	}
	if content(t, filepath.Join(dir, CAKeyFile)) != string(key) {
		t.Error("ca.key is not the new CA's")
	}
	left, err := os.ReadDir(dir)
	must(t, err)
	if len(left) != 4 {
		t.Errorf("files left: %v", left)
	}
}

// What was interrupted is ended by doing it again.
func TestUseOfTheNewCAInterrupted(t *testing.T) {
	for name, left := range map[string]func(dir string) error{
		"old key moved": func(dir string) error {
			return os.Rename(filepath.Join(dir, CAKeyFile), filepath.Join(dir, oldCAKeyFile))
		},
		"both moved": func(dir string) error {
			return errors.Join(os.Rename(filepath.Join(dir, CAKeyFile), filepath.Join(dir, oldCAKeyFile)),
				os.Rename(filepath.Join(dir, newCAKeyFile), filepath.Join(dir, CAKeyFile)))
		},
	} {
		dir, change := withTLS(t, "127.0.0.1")
		cfg := testConfig(t)
		change(&cfg)
		cert, key, err := NewCA(time.Now())
		must(t, err)
		added, err := cfg.AddCA(cert, key)
		must(t, err)
		must(t, left(dir))
		server, err := cfg.UseCA(time.Now(), nil)
		if err != nil || server.CheckSignatureFrom(added) != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := cfg.DropCAs(); err != nil || cfg.Validate() != nil || content(t, filepath.Join(dir, CAKeyFile)) != string(key) {
			t.Errorf("%s: dropped: %v, %v", name, err, cfg.Validate())
		}
	}
}

// Every step with the keys kept elsewhere.
func TestChangeOfTheCAWithKeysElsewhere(t *testing.T) {
	dir, change := withTLS(t, "127.0.0.1")
	cfg := testConfig(t)
	change(&cfg)
	cert, key, err := NewCA(time.Now())
	must(t, err)
	_, err = cfg.AddCA(cert, nil)
	must(t, err)
	if _, err := cfg.UseCA(time.Now(), nil); err == nil || !strings.Contains(err.Error(), "name the new one's with --ca-key") {
		t.Errorf("with the old key: %v", err)
	}
	_, err = cfg.UseCA(time.Now(), key)
	must(t, err)
	if _, err := cfg.RenewCertificate(time.Now(), nil); err == nil || !strings.Contains(err.Error(), "another has followed it") {
		t.Errorf("the old key signs again: %v", err)
	}
	_, err = cfg.DropCAs()
	must(t, err)
	if _, err := os.Stat(filepath.Join(dir, CAKeyFile)); err == nil {
		t.Error("the key of the dropped CA is there")
	}
	must(t, cfg.Validate())

	if _, err := cfg.AddCA(cert, nil); err == nil {
		t.Error("the present CA once more")
	}
	cert, _, err = NewCA(time.Now())
	must(t, err)
	_, err = cfg.AddCA(cert, nil) // begun, and thought better of
	must(t, err)
	_, err = cfg.DropCAs()
	must(t, err)
	must(t, cfg.Validate())
}

func TestRenewalRefused(t *testing.T) {
	_, change := withTLS(t, "127.0.0.1")
	cfg := testConfig(t)
	change(&cfg)
	_, foreign, err := NewCA(time.Now())
	must(t, err)
	ca := readCert(t, filepath.Dir(cfg.CA), CACertFile)
	for want, f := range map[string]func() error{
		"of none of the CAs":   func() error { _, err := cfg.RenewCertificate(time.Now(), foreign); return err },
		"no key in PEM form":   func() error { _, err := cfg.RenewCertificate(time.Now(), []byte("x")); return err },
		"set the clock first":  func() error { _, err := cfg.RenewCertificate(time.Unix(0, 0), nil); return err },
		"cert ca new":          func() error { _, err := cfg.RenewCertificate(ca.NotAfter.Add(time.Hour), nil); return err },
		`host "door bell"`:     func() error { _, err := cfg.RenewCertificate(time.Now(), nil, "door bell"); return err },
		`host "door.lan:8883"`: func() error { _, err := cfg.RenewCertificate(time.Now(), nil, "door.lan:8883"); return err },
		"broker is elsewhere":  func() error { _, err := (Config{Mode: External}).RenewCertificate(time.Now(), nil); return err },
		"are not set":          func() error { _, err := Defaults().RenewCertificate(time.Now(), nil); return err },
		"the clock says 1970":  func() error { _, _, err := NewCA(time.Unix(0, 0)); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got: %v", want, err)
		}
	}
	late, err := cfg.RenewCertificate(ca.NotAfter.Add(-time.Hour), nil)
	must(t, err)
	if late.NotAfter.After(ca.NotAfter) {
		t.Errorf("it ends on %s, after its CA", late.NotAfter)
	}
}

// A handshake that never ends is ended, wherever it stops.
func TestSilentHandshakeIsClosed(t *testing.T) {
	_, change := withTLS(t, "127.0.0.1")
	h := start(t, change, func(c *Config) { c.LoginTimeout = time.Second })
	var silent []net.Conn
	for _, first := range []string{"", "\x16", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "\x10\x0c\x00\x04MQTT"} {
		c, err := net.Dial("tcp", h.TLSAddr())
		must(t, err)
		_, _ = io.WriteString(c, first)
		silent = append(silent, c)
	}
	tc, err := tls.Dial("tcp", h.TLSAddr(), &tls.Config{InsecureSkipVerify: true}) // or says nothing after it
	must(t, err)
	for _, c := range append(silent, tc) {
		(&peer{Conn: c, t: t}).closedRaw()
	}
}
