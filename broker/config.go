package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// The modes of the bus.
const (
	Embedded = "embedded"
	External = "external"
)

// Config says where the bus is and how it is protected.
type Config struct {
	Mode string `yaml:"mode"` // embedded: a broker inside doorhub; external: one elsewhere, at url

	Listen            string `yaml:"listen"`             // embedded: plaintext address host:port; loopback only; "" for none
	PlaintextAnywhere bool   `yaml:"plaintext_anywhere"` // allow plaintext beyond this machine: tokens can then be read on the way
	TLSListen         string `yaml:"tls_listen"`         // embedded: TLS address, as ":8883"; "" until doorhub init has made certificates
	Cert              string `yaml:"cert"`               // embedded: the broker's certificate, a PEM file
	Key               string `yaml:"key"`                // embedded: its private key, a PEM file
	CA                string `yaml:"ca"`                 // the CA that signed the broker's certificate, a PEM file

	URL          string `yaml:"url"`           // external: mqtts://host:port, or mqtt://localhost:port
	User         string `yaml:"user"`          // external: the hub's user there
	PasswordFile string `yaml:"password_file"` // external: a file that holds the password

	MaxPacket      int           `yaml:"max_packet"`       // embedded: bytes in one packet from a user
	MaxHubPacket   int           `yaml:"max_hub_packet"`   // embedded: bytes in one packet from the hub, which sends pictures
	MaxLoginPacket int           `yaml:"max_login_packet"` // embedded: bytes in one packet before login
	MaxClients     int           `yaml:"max_clients"`      // embedded: connections logged in at once
	MaxLogins      int           `yaml:"max_logins"`       // embedded: connections not yet logged in at once
	LoginTimeout   time.Duration `yaml:"login_timeout"`    // embedded: from connecting to the end of login
	WriteTimeout   time.Duration `yaml:"write_timeout"`    // embedded: one write to a device that does not read; then it is cut

	MaxQueue int `yaml:"max_queue"` // embedded: bytes waiting to be sent to one client
	UserRate int `yaml:"user_rate"` // embedded: packets a second from one user, ten times as many at once; 0: any number; the hub may send as many as it likes

	Dir string `yaml:"-"` // where the embedded broker keeps its retained messages: the data folder
}

// Defaults returns the settings of a house whose owner has chosen none.
func Defaults() Config {
	return Config{
		Mode:           Embedded,
		Listen:         "127.0.0.1:1883",
		MaxPacket:      256 << 10,
		MaxHubPacket:   16 << 20,
		MaxLoginPacket: 16 << 10,
		MaxClients:     1000,
		MaxLogins:      256,
		MaxQueue:       4 << 20,
		UserRate:       300,
		LoginTimeout:   5 * time.Second,
		WriteTimeout:   2 * time.Second,
	}
}

// Validate reports all that is wrong, each with what would be right. It reads the files that
// the settings name.
func (c Config) Validate() error {
	switch c.Mode {
	case Embedded:
		return c.validEmbedded()
	case External:
		return c.validExternal()
	}
	return fmt.Errorf("mode: %q: use embedded or external", c.Mode)
}

func (c Config) validEmbedded() error {
	errs := []error{c.validListen(), c.validTLS(),
		within("max_packet", c.MaxPacket, 1<<10, 64<<20),
		within("max_hub_packet", c.MaxHubPacket, 1<<10, 64<<20),
		within("max_login_packet", c.MaxLoginPacket, 256, 256<<10),
		within("max_clients", c.MaxClients, 1, 100_000),
		within("max_logins", c.MaxLogins, 1, 10_000),
		within("user_rate", c.UserRate, 0, 1_000_000),
		within("max_queue", c.MaxQueue, 64<<10, 256<<20),
		withinTime("login_timeout", c.LoginTimeout, time.Second, time.Minute),
		withinTime("write_timeout", c.WriteTimeout, 100*time.Millisecond, time.Minute)}
	if c.URL != "" || c.User != "" || c.PasswordFile != "" {
		errs = append(errs, errors.New("url, user and password_file are for mode external: remove them, or set mode: external"))
	}
	return errors.Join(errs...)
}

func (c Config) validListen() error {
	if c.Listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w: use an address and a port, as 127.0.0.1:1883", err)
	}
	if !loopback(host) && !c.PlaintextAnywhere {
		return fmt.Errorf("listen: %s would take tokens in the clear from the network: use 127.0.0.1 here and tls_listen for devices, or set plaintext_anywhere: true", c.Listen)
	}
	return nil
}

func (c Config) validTLS() error {
	if c.TLSListen == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.TLSListen); err != nil {
		return fmt.Errorf("tls_listen: %w: use an address and a port, as :8883", err)
	}
	if c.Cert == "" || c.Key == "" {
		return errors.New("tls_listen: needs cert and key; doorhub init makes them")
	}
	_, err := readServerCert(c.Cert, c.Key, c.CA)
	return err
}

func (c Config) validExternal() error {
	var errs []error
	if _, err := c.External(nil); err != nil {
		errs = append(errs, err)
	}
	if c.User == "" {
		errs = append(errs, errors.New("user: name the hub's user at that broker"))
	}
	return errors.Join(errs...)
}

// External returns what a client needs to reach the broker elsewhere, with what the files
// hold. The caller adds a client id, a will and the rest.
func (c Config) External(log *slog.Logger) (ClientConfig, error) {
	cc := ClientConfig{URL: c.URL, User: c.User, Log: log}
	errs := []error{validURL(c.URL, c.PlaintextAnywhere)}
	if c.CA != "" {
		roots, err := readCA(c.CA)
		errs = append(errs, err)
		cc.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	if c.PasswordFile != "" {
		text, err := os.ReadFile(c.PasswordFile)
		if err == nil && strings.TrimSpace(string(text)) == "" {
			err = errors.New("is empty: write the password into it")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("password_file: %s: %w", c.PasswordFile, err))
		}
		cc.Token = strings.TrimSpace(string(text))
	}
	return cc, errors.Join(errs...)
}

func validURL(text string, plaintext bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || (u.Scheme != "mqtt" && u.Scheme != "mqtts"):
		return fmt.Errorf("url: %q: use mqtts://host:port, or mqtt://localhost:port on this machine", redact(text, u))
	case u.User != nil:
		return errors.New("url: name the user in user and put the password into password_file")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return fmt.Errorf("url: %q: nothing follows the port", text)
	case u.Scheme == "mqtt" && !loopback(u.Hostname()) && !plaintext:
		return fmt.Errorf("url: %s would send the password in the clear: use mqtts, or set plaintext_anywhere: true", text)
	}
	return nil
}

// redact returns the address without a password somebody may have put into it.
func redact(text string, u *url.URL) string {
	if u == nil {
		return "…"
	}
	if u.User != nil {
		return u.Redacted()
	}
	return text
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func within(key string, v, low, high int) error {
	if v < low || v > high {
		return fmt.Errorf("%s: %d: use %d to %d", key, v, low, high)
	}
	return nil
}

func withinTime(key string, v, low, high time.Duration) error {
	if v < low || v > high {
		return fmt.Errorf("%s: %s: use %s to %s", key, v, low, high)
	}
	return nil
}
