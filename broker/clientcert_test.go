package broker

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
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
)

// heardLog is a log that can be looked into while it is written.
type heardLog struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{} // closed at the next line
}

func (l *heardLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.more)
	l.more = make(chan struct{})
	return l.buf.Write(p)
}

// awaits waits for a warning that says so, after the first n bytes.
func (l *heardLog) awaits(t *testing.T, n int, what string) {
	t.Helper()
	for {
		l.mu.Lock()
		said, more := l.buf.String()[n:], l.more
		l.mu.Unlock()
		for line := range strings.Lines(said) {
			if strings.Contains(line, "level=WARN") && strings.Contains(line, what) {
				return
			}
		}
		select {
		case <-more:
		case <-soon(t).Done():
			t.Fatalf("waited in vain for a warning with %q; there was:\n%s", what, said)
		}
	}
}

// since returns what was logged after the first n bytes, and how much there is.
func (l *heardLog) since(n int) (string, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()[n:], l.buf.Len()
}

// startMutual starts a broker that asks devices for certificates, which its CA signs.
func startMutual(t *testing.T, prepare ...func(*Server)) (*house, *heardLog) {
	t.Helper()
	_, change := withTLS(t, "127.0.0.1")
	h := start(t, change, func(c *Config) { c.TLSClientCA = c.CA })
	must(t, h.Close())
	log := &heardLog{more: make(chan struct{})}
	var err error
	h.Server, err = Start(h.cfg, h.users, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), prepare...)
	must(t, err)
	t.Cleanup(func() {
		text, _ := log.since(0)
		t.Log(text)
	})
	return h, log
}

// certFiles writes a certificate and key to files that mosquitto_pub reads.
func certFiles(t *testing.T, cert, key []byte) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "c.crt"), filepath.Join(dir, "c.key")
	must(t, os.WriteFile(certFile, cert, 0o600))
	must(t, os.WriteFile(keyFile, key, 0o600))
	return certFile, keyFile
}

// made is what ClientCertificate would make at another time or in another way.
func made(t *testing.T, cfg Config, template *x509.Certificate) (cert, key []byte) {
	t.Helper()
	ca, err := cfg.authority(nil)
	must(t, err)
	c, err := sign(template, &ca)
	must(t, err)
	key, err = keyPEM(c.key)
	must(t, err)
	return certPEM(c.cert), key
}

func TestClientCertificates(t *testing.T) {
	pub := program(t, "mosquitto_pub", "mosquitto-clients")
	h, log := startMutual(t)
	clients := func(cfg Config, user string) (cert, key []byte) {
		cert, key, err := cfg.ClientCertificate(time.Now(), nil, user)
		must(t, err)
		return cert, key
	}
	foreign := testConfig(t)
	_, change := withTLS(t, "127.0.0.1")
	change(&foreign)
	past := clientTemplate(time.Now(), "sensor")
	past.NotAfter = time.Now().Add(-time.Hour)
	future := clientTemplate(time.Now(), "sensor")
	future.NotBefore = time.Now().Add(time.Hour)
	for _, c := range []struct {
		name  string
		files func() (cert, key []byte)
		log   string // "": it is let in
	}{
		{"its own", func() ([]byte, []byte) { return clients(h.cfg, "sensor") }, ""},
		{"none", nil, "client didn't provide a certificate"},
		{"of another user", func() ([]byte, []byte) { return clients(h.cfg, "window") }, `its certificate is of user \"window\"`},
		{"of another CA", func() ([]byte, []byte) { return clients(foreign, "sensor") }, "unknown authority"},
		{"expired", func() ([]byte, []byte) { return made(t, h.cfg, past) }, "has expired or is not yet valid"},
		{"not yet valid", func() ([]byte, []byte) { return made(t, h.cfg, future) }, "has expired or is not yet valid"},
		{"a server's", func() ([]byte, []byte) { return made(t, h.cfg, serverTemplate(time.Now(), []string{"sensor"})) }, "incompatible key usage"},
		{"without a name", func() ([]byte, []byte) { return made(t, h.cfg, clientTemplate(time.Now(), "")) }, `its certificate is of user \"\"`},
	} {
		_, port, err := net.SplitHostPort(h.TLSAddr())
		must(t, err)
		args := []string{"-h", "127.0.0.1", "-p", port, "--cafile", h.cfg.CA, "-u", "sensor", "-P", h.tokens["sensor"],
			"-q", "1", "-t", "doorhub/in/sensor/contact", "-m", "open"}
		if c.files != nil {
			cert, key := c.files()
			certFile, keyFile := certFiles(t, cert, key)
			args = append(args, "--cert", certFile, "--key", keyFile)
		}
		for _, version := range []string{"tlsv1.2", "tlsv1.3"} {
			_, before := log.since(0)
			out, err := exec.CommandContext(soon(t), pub, append(args, "--tls-version", version)...).CombinedOutput()
			if c.log == "" {
				if err != nil {
					t.Errorf("%s, %s: %v\n%s", c.name, version, err, out)
				}
				continue
			}
			if err == nil {
				t.Errorf("%s, %s: let in", c.name, version)
			}
			log.awaits(t, before, c.log)
		}
	}
}

// A certificate is worth as much as its user, and comes on top of the token.
func TestClientCertificateOfUserThatIsGone(t *testing.T) {
	h, _ := startMutual(t)
	cert, key, err := h.cfg.ClientCertificate(time.Now(), nil, "sensor")
	must(t, err)
	try := func(token string) byte {
		c := h.mutual(t, cert, key)
		_, ack := login2(t, c, login{user: "sensor", token: token, id: "s"})
		return ack.ReasonCode
	}
	if try(h.tokens["sensor"]) != 0 {
		t.Error("refused")
	}
	if try("") == 0 || try("wrong") == 0 {
		t.Error("the certificate alone lets it in")
	}
	must(t, h.users.Revoke("sensor"))
	if try(h.tokens["sensor"]) == 0 {
		t.Error("a revoked user is let in")
	}
}

// mutual connects with a certificate.
func (h *house) mutual(t *testing.T, cert, key []byte) net.Conn {
	t.Helper()
	pair, err := tls.X509KeyPair(cert, key)
	must(t, err)
	known, err := readCA(h.cfg.CA)
	must(t, err)
	c, err := tls.Dial("tcp", h.TLSAddr(), &tls.Config{RootCAs: pool(known), Certificates: []tls.Certificate{pair}})
	must(t, err)
	return c
}

func TestRefusedCertificatesCountAsWrongLogins(t *testing.T) {
	h, log := startMutual(t)
	h.throttle.mu.Lock()
	h.throttle.exempt = func(string) bool { return false }
	h.throttle.mu.Unlock()
	count := func(key string) int {
		h.throttle.mu.Lock()
		defer h.throttle.mu.Unlock()
		if f := h.throttle.failed[key]; f != nil {
			return f.n
		}
		return 0
	}
	cert, key, err := h.cfg.ClientCertificate(time.Now(), nil, "window")
	must(t, err)
	login2(t, h.mutual(t, cert, key), login{user: "sensor", token: h.tokens["sensor"], id: "s"})
	if a, u := count("address 127.0.0.1"), count("user sensor"); a != 1 || u != 1 {
		t.Errorf("of another user: counted %d for the address, %d for the user", a, u)
	}
	for n := 2; n <= freeFailures; n++ {
		c, err := tls.Dial("tcp", h.TLSAddr(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatalf("refused after %d: %v", n, err)
		}
		(&peer{Conn: c, t: t}).closedRaw()
	}
	until(t, func() bool { return !h.throttle.welcome("127.0.0.1") })
	if u := count("user sensor"); u != 1 {
		t.Errorf("without one: counted %d for the user, whom nobody named", u)
	}
	if said, _ := log.since(0); strings.Contains(said, "PRIVATE KEY") || strings.Contains(said, h.tokens["sensor"]) {
		t.Error("a secret is in the log")
	}
}

// While the clock is not right, dates keep nobody out; all else does.
func TestClientCertificatesWhileTheClockIsWrong(t *testing.T) {
	h, _ := startMutual(t, func(s *Server) { s.ClockRight(func() bool { return false }) })
	future := clientTemplate(time.Now(), "sensor")
	future.NotBefore = time.Now().Add(365 * 24 * time.Hour)
	cert, key := made(t, h.cfg, future)
	if _, ack := login2(t, h.mutual(t, cert, key), h.as("sensor")); ack.ReasonCode != 0 {
		t.Errorf("refused: %#x", ack.ReasonCode)
	}
	foreign := testConfig(t)
	_, change := withTLS(t, "127.0.0.1")
	change(&foreign)
	cert, key, err := foreign.ClientCertificate(time.Now(), nil, "sensor")
	must(t, err)
	(&peer{Conn: h.mutual(t, cert, key), t: t}).closedRaw()
}

// A device's certificate must not do as the broker's: not for BearSSL, which reads no usages
// but refuses what is critical and unknown, nor for those that compare common names.
func TestClientCertificateIsNoServers(t *testing.T) {
	_, change := withTLS(t, "door")
	cfg := testConfig(t)
	change(&cfg)
	text, _, err := cfg.ClientCertificate(time.Now(), nil, "door")
	must(t, err)
	certs, err := parseCerts(text)
	must(t, err)
	c := certs[0]
	known, err := readCA(cfg.CA)
	must(t, err)
	if _, err := c.Verify(x509.VerifyOptions{Roots: pool(known), DNSName: "door"}); err == nil {
		t.Error("it is good for a server of its name")
	}
	if len(c.DNSNames) > 0 || len(c.URIs) != 1 {
		t.Errorf("names: %v, %v", c.DNSNames, c.URIs)
	}
	critical := false
	for _, e := range c.Extensions {
		critical = critical || e.Critical && e.Id.String() == "2.5.29.37"
	}
	if !critical {
		t.Error("its usage is not critical")
	}
}

// The hub at a broker of somebody else that asks for certificates.
func TestOurClientShowsACertificate(t *testing.T) {
	h, _ := startMutual(t)
	dir := t.TempDir()
	cfg := Config{Mode: External, URL: "mqtts://" + h.TLSAddr(), User: "hub", CA: h.cfg.CA, PasswordFile: filepath.Join(dir, "token"),
		ClientCert: filepath.Join(dir, "hub.crt"), ClientKey: filepath.Join(dir, "hub.key")}
	must(t, os.WriteFile(cfg.PasswordFile, []byte(h.tokens["hub"]+"\n"), 0o600))
	for user, want := range map[string]string{"hub": "", "sensor": "does not let user", "": "set client_cert"} {
		cfg := cfg
		if user == "" {
			cfg.ClientCert, cfg.ClientKey = "", ""
		} else {
			cert, key, err := h.cfg.ClientCertificate(time.Now(), nil, user)
			must(t, err)
			must(t, os.WriteFile(cfg.ClientCert, cert, 0o644))
			must(t, os.WriteFile(cfg.ClientKey, key, 0o600))
		}
		must(t, cfg.Validate())
		cc, err := cfg.External(nil)
		must(t, err)
		told := make(chan error, 10)
		cc.ClientID, cc.Problem = "x", func(err error) { told <- err }
		c, err := Dial(t.Context(), cc)
		must(t, err)
		if want == "" {
			must(t, c.Ready(soon(t)))
		} else if err := take(t, told); !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want %q, got: %v", user, want, err)
		}
		c.Close()
	}
}

// The same at a Mosquitto that asks for certificates and takes the user from them.
func TestOurClientShowsMosquittoACertificate(t *testing.T) {
	bin := program(t, "mosquitto", "mosquitto")
	dir, change := withTLS(t, "127.0.0.1")
	ours := testConfig(t)
	change(&ours)
	cert, key, err := ours.ClientCertificate(time.Now(), nil, "hub")
	must(t, err)
	certFile, keyFile := certFiles(t, cert, key)
	port := freePort(t)
	conf := filepath.Join(dir, "mosquitto.conf")
	must(t, os.WriteFile(conf, []byte("user root\nlistener "+port+" 127.0.0.1\ncafile "+ours.CA+"\ncertfile "+ours.Cert+"\nkeyfile "+ours.Key+
		"\nrequire_certificate true\nuse_identity_as_username true\n"), 0o600))
	t.Cleanup(mosquitto(t, bin, conf))
	cfg := Config{Mode: External, URL: "mqtts://127.0.0.1:" + port, User: "hub", CA: ours.CA, ClientCert: certFile, ClientKey: keyFile}
	must(t, cfg.Validate())
	cc, err := cfg.External(nil)
	must(t, err)
	cc.ClientID = "hub"
	c, err := Dial(t.Context(), cc)
	must(t, err)
	t.Cleanup(c.Close)
	must(t, c.Ready(soon(t)))
	must(t, c.Publish(soon(t), Message{Topic: "doorhub/alarm/state", Payload: []byte("disarmed"), QoS: 1}))

	cfg.ClientCert, cfg.ClientKey = "", ""
	cc, err = cfg.External(nil)
	must(t, err)
	told := make(chan error, 10)
	cc.ClientID, cc.Problem = "hub", func(err error) { told <- err }
	without, err := Dial(t.Context(), cc)
	must(t, err)
	t.Cleanup(without.Close)
	if err := take(t, told); !strings.Contains(err.Error(), "set client_cert and client_key") {
		t.Errorf("without one: %v", err)
	}
}

// A device that was not given the CA: its owner reads why on the hub.
func TestDeviceThatDoesNotKnowTheCA(t *testing.T) {
	sub := program(t, "mosquitto_sub", "mosquitto-clients")
	h, log := startMutual(t)
	other, _ := withTLS(t, "127.0.0.1")
	_, port, err := net.SplitHostPort(h.TLSAddr())
	must(t, err)
	for _, version := range []string{"tlsv1.2", "tlsv1.3"} {
		_, before := log.since(0)
		out, err := exec.CommandContext(soon(t), sub, "-h", "127.0.0.1", "-p", port, "--cafile", filepath.Join(other, CACertFile),
			"--tls-version", version, "-t", "x", "-E").CombinedOutput()
		if err == nil {
			t.Errorf("%s: it connects: %s", version, out)
		}
		log.awaits(t, before, "give it ca.crt")
		h.identity.mu.Lock()
		h.identity.warned = time.Time{}
		h.identity.mu.Unlock()
	}
}

// What our client says of a broker's certificate.
func TestClientExplainsCertificates(t *testing.T) {
	_, change := withTLS(t, "127.0.0.1")
	cfg := testConfig(t)
	change(&cfg)
	at := func(f func(*x509.Certificate)) string {
		template := serverTemplate(time.Now(), []string{"127.0.0.1"})
		f(template)
		pair, err := tls.X509KeyPair(made(t, cfg, template))
		must(t, err)
		return served(t, &tls.Config{Certificates: []tls.Certificate{pair}})
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go func() {
		for c, err := plain.Accept(); err == nil; c, err = plain.Accept() {
			_, _ = c.Write([]byte{0x20, 2, 0, 0, 0})
		}
	}()
	t.Cleanup(func() { _ = plain.Close() })
	for want, address := range map[string]string{
		"has ended or not begun: renew it there":  at(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) }),
		"or set the clock here":                   at(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }),
		"is for another host":                     at(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1)} }),
		"not good for a broker":                   at(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
		"speaks no TLS at that port: use its TLS": plain.Addr().String(),
	} {
		cc, err := Config{URL: "mqtts://" + address, CA: cfg.CA}.External(nil)
		must(t, err)
		told := make(chan error, 10)
		cc.ClientID, cc.Problem = "x", func(err error) { told <- err }
		c, err := Dial(t.Context(), cc)
		must(t, err)
		if err := take(t, told); !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got: %v", want, err)
		}
		c.Close()
	}
}

// served answers TLS handshakes until the test ends.
func served(t *testing.T, tc *tls.Config) string {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", tc)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			go func() {
				_ = c.(*tls.Conn).Handshake() // the client says what came of it
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// Each file that an owner may get wrong, with what is said of it.
func TestBadCertificateFiles(t *testing.T) {
	dir, change := withTLS(t, "127.0.0.1")
	other, _ := withTLS(t, "127.0.0.1")
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(path, []byte(text), mode))
		must(t, os.Chmod(path, mode))
		return path
	}
	cert, key, ca := content(t, filepath.Join(dir, ServerCertFile)), content(t, filepath.Join(dir, ServerKeyFile)), content(t, filepath.Join(dir, CACertFile))
	smallCert, smallKey := rsaPair(t, 1024)
	locked := "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
	for want, f := range map[string]func(*Config){
		"c.crt is damaged or was cut off":   func(c *Config) { c.Cert = file("c.crt", cert[:len(cert)/2], 0o644) },
		"second.crt is damaged or was cut":  func(c *Config) { c.Cert = file("second.crt", cert+ca[:len(ca)/2], 0o644) },
		"empty.crt holds no certificate":    func(c *Config) { c.Cert = file("empty.crt", "", 0o644) },
		"holds no key in PEM form":          func(c *Config) { c.Key = file("k.key", key[:len(key)/2], 0o600) },
		"is locked by a passphrase":         func(c *Config) { c.Key = file("locked.key", locked, 0o600) },
		"everybody on this machine may use": func(c *Config) { c.Key = file("open.key", key, 0o644) },
		"is not the key of":                 func(c *Config) { c.Key = filepath.Join(other, ServerKeyFile) },
		"did not sign":                      func(c *Config) { c.CA = filepath.Join(other, CACertFile) },
		"is not a CA's":                     func(c *Config) { c.CA = c.Cert },
		"ca.crt is damaged or was cut off":  func(c *Config) { c.CA = file("ca.crt", ca[:len(ca)/2], 0o644) },
		"tls_client_ca: ":                   func(c *Config) { c.TLSClientCA = c.Cert },
		"RSA of 1024 bits is too short": func(c *Config) {
			c.CA, c.Cert, c.Key = "", file("r.crt", smallCert, 0o644), file("r.key", smallKey, 0o600)
		},
		"only devices that come by TLS":       func(c *Config) { c.TLSListen, c.TLSClientCA = "", c.CA },
		"would let devices in without":        func(c *Config) { c.TLSClientCA, c.Listen, c.PlaintextAnywhere = c.CA, ":1883", true },
		"client_key are for mode external":    func(c *Config) { c.ClientKey = c.Key },
		"certificate and its key go together": func(c *Config) { *c = Config{Mode: External, URL: "mqtts://x", User: "u", ClientCert: c.Cert} },
		"client_key: ": func(c *Config) {
			*c = Config{Mode: External, URL: "mqtts://x", User: "u", ClientCert: c.Cert, ClientKey: file("open.key", key, 0o604)}
		},
	} {
		c := Defaults()
		change(&c)
		f(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got: %v", want, err)
		}
	}
	longCert, longKey := rsaPair(t, 2048)
	c := Defaults()
	change(&c)
	c.CA, c.Cert, c.Key = "", file("r.crt", longCert, 0o644), file("r.key", longKey, 0o640) // an owner's own; a group may read it
	must(t, c.Validate())
	c.Listen, c.PlaintextAnywhere = "", true
	must(t, c.Validate())
}

func rsaPair(t *testing.T, bits int) (cert, key string) {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	k, err := rsa.GenerateKey(rand.Reader, bits)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	must(t, err)
	text, err := x509.MarshalPKCS8PrivateKey(k)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}))
}

func TestExposed(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		says string
	}{
		{Config{Mode: Embedded, Listen: "127.0.0.1:1883", PlaintextAnywhere: true}, ""},
		{Config{Mode: Embedded, Listen: "[::1]:1883"}, ""},
		{Config{Mode: Embedded, Listen: "localhost:1883"}, ""},
		{Config{Mode: Embedded}, ""},
		{Config{Mode: Embedded, Listen: ":1883"}, "listen: :1883"},
		{Config{Mode: Embedded, Listen: "192.168.1.2:1883"}, "listen: 192.168.1.2:1883"},
		{Config{Mode: External, URL: "mqtts://broker.lan"}, ""},
		{Config{Mode: External, URL: "mqtt://localhost"}, ""},
		{Config{Mode: External, URL: "mqtt://broker.lan:1883"}, "mqtt://broker.lan:1883"},
	} {
		if got := c.cfg.Exposed(); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%+v: %q", c.cfg, got)
		}
	}
}
