package broker

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func withTLS(t *testing.T, hosts ...string) (dir string, change func(*Config)) {
	dir = t.TempDir()
	must(t, MakeCA(dir, hosts...))
	return dir, func(c *Config) {
		c.TLSListen = "127.0.0.1:0"
		c.Cert, c.Key, c.CA = filepath.Join(dir, ServerCertFile), filepath.Join(dir, ServerKeyFile), filepath.Join(dir, CACertFile)
	}
}

func roots(t *testing.T, dir string) *tls.Config {
	certs, err := readCA(filepath.Join(dir, CACertFile))
	must(t, err)
	return &tls.Config{RootCAs: pool(certs)}
}

func TestTLS(t *testing.T) {
	dir, change := withTLS(t, "127.0.0.1", "doorhub.lan")
	h := start(t, change)
	c := h.client(t, "hub", func(c *ClientConfig) { c.URL, c.TLS = "mqtts://"+h.TLSAddr(), roots(t, dir) })
	must(t, c.Publish(soon(t), Message{Topic: "doorhub/alarm/state", Payload: []byte("disarmed"), QoS: 1, Retain: true}))

	other, otherServer := withTLS(t, "example.org")
	for want, cc := range map[string]ClientConfig{
		"not signed by the given CA": {URL: "mqtts://" + h.TLSAddr(), TLS: roots(t, other)},
		"another host":               {URL: "mqtts://" + start(t, otherServer).TLSAddr(), TLS: roots(t, other)},
	} {
		told := make(chan error, 1)
		cc.User, cc.Token, cc.ClientID, cc.Problem = "hub", h.tokens["hub"], "x", func(err error) { told <- err }
		bad, err := Dial(t.Context(), cc)
		must(t, err)
		if err := take(t, told); !strings.Contains(err.Error(), want) {
			t.Errorf("want %s, got: %v", want, err)
		}
		bad.Close()
	}
}

func TestMakeCA(t *testing.T) {
	dir := t.TempDir()
	must(t, MakeCA(dir, "doorhub.lan", "192.168.1.2", "fd00::2"))
	for _, f := range []string{CAKeyFile, ServerKeyFile} {
		if info, err := os.Stat(filepath.Join(dir, f)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, info.Mode(), err)
		}
	}
	server, ca := readCert(t, dir, ServerCertFile), readCert(t, dir, CACertFile)
	for _, host := range []string{"doorhub.lan", "192.168.1.2", "fd00::2"} {
		if err := server.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if life := server.NotAfter.Sub(server.NotBefore); life > 825*24*time.Hour {
		t.Errorf("the server's certificate lives %s", life)
	}
	if left := time.Until(ca.NotAfter); left < 3640*24*time.Hour || !ca.IsCA || server.IsCA {
		t.Errorf("CA: %s left, is CA %t; server is CA %t", left, ca.IsCA, server.IsCA)
	}
	if server.PublicKeyAlgorithm != x509.ECDSA || server.CheckSignatureFrom(ca) != nil {
		t.Error("the server's certificate is not an ECDSA one by the CA")
	}
}

func TestMakeCAOverwritesNothing(t *testing.T) {
	for _, there := range []string{CACertFile, CAKeyFile, ServerCertFile, ServerKeyFile} {
		dir := t.TempDir()
		path := filepath.Join(dir, there)
		must(t, os.WriteFile(path, []byte("mine"), 0o600))
		if err := MakeCA(dir, "h"); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
			t.Errorf("with %s there: %v", there, err)
		}
		entries, err := os.ReadDir(dir)
		must(t, err)
		text, err := os.ReadFile(path)
		if err != nil || string(text) != "mine" || len(entries) != 1 {
			t.Errorf("%s: %q, %v; %d files", there, text, err, len(entries))
		}
	}
	if MakeCA(t.TempDir()) == nil {
		t.Error("no hosts, no error")
	}
}

func readCert(t *testing.T, dir, file string) *x509.Certificate {
	text, err := os.ReadFile(filepath.Join(dir, file))
	must(t, err)
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return c
}

func TestConfigMessages(t *testing.T) {
	must(t, Defaults().Validate())
	_, change := withTLS(t, "h")
	good := Defaults()
	change(&good)
	must(t, good.Validate())
	other, _ := withTLS(t, "h")
	empty := filepath.Join(t.TempDir(), "empty")
	must(t, os.WriteFile(empty, nil, 0o600))
	external := Config{Mode: External, URL: "mqtts://broker.lan:8883", User: "hub"}
	must(t, external.Validate())
	for want, f := range map[string]func(*Config){
		`mode: "mixed": use embedded or external`: func(c *Config) { c.Mode = "mixed" },
		"set plaintext_anywhere":                  func(c *Config) { c.Listen = "0.0.0.0:1883" },
		"listen: :1883 would":                     func(c *Config) { c.Listen = ":1883" },
		"listen: address 1883: missing port":      func(c *Config) { c.Listen = "1883" },
		"needs cert and key":                      func(c *Config) { c.Key = "" },
		"doorhub init makes them":                 func(c *Config) { c.Cert = "/nowhere/server.crt" },
		"did not sign":                            func(c *Config) { c.CA = filepath.Join(other, CACertFile) },
		"private key does not match":              func(c *Config) { c.Key = filepath.Join(other, ServerKeyFile) },
		"holds no certificate":                    func(c *Config) { c.CA = empty },
		"max_packet: 5: use 1024 to":              func(c *Config) { c.MaxPacket = 5 },
		"write_timeout: 0s: use 100ms to 1m0s":    func(c *Config) { c.WriteTimeout = 0 },
		"are for mode external":                   func(c *Config) { c.URL = "mqtt://localhost" },
		"use mqtts://host:port":                   func(c *Config) { *c = external; c.URL = "http://x" },
		"in the clear: use mqtts":                 func(c *Config) { *c = external; c.URL = "mqtt://192.168.1.2" },
		"name the user in user":                   func(c *Config) { *c = external; c.URL = "mqtts://u:p@x" },
		"nothing follows the port":                func(c *Config) { *c = external; c.URL = "mqtts://x/y" },
		"user: name the hub's user":               func(c *Config) { *c = external; c.User = "" },
		"write the password into it":              func(c *Config) { *c = external; c.PasswordFile = empty },
		"password_file: /nowhere":                 func(c *Config) { *c = external; c.PasswordFile = "/nowhere" },
	} {
		c := good
		f(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got: %v", want, err)
		}
	}
	c := external
	c.URL = "ftp://u:secret@x"
	if err := c.Validate(); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the message gives the password away: %v", err)
	}
}

func TestPortInUse(t *testing.T) {
	h := start(t)
	cfg := testConfig(t)
	cfg.Listen = h.Addr()
	if s, err := Start(cfg, h.users, h.log); err == nil || !strings.Contains(err.Error(), "another broker") {
		t.Errorf("%v, %v", s, err)
	}
}
