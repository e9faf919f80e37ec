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
	TLSClientCA       string `yaml:"tls_client_ca"`      // embedded: when set, devices need a certificate by this CA, too, whose common name is their user; a PEM file

	URL          string `yaml:"url"`           // external: mqtts://host:port, or mqtt://localhost:port; all of a cluster, by commas
	User         string `yaml:"user"`          // external: the hub's user there
	PasswordFile string `yaml:"password_file"` // external: a file that holds the password
	ClientCert   string `yaml:"client_cert"`   // external: the hub's certificate, if that broker asks for one; a PEM file
	ClientKey    string `yaml:"client_key"`    // external: its private key, a PEM file

	MaxPacket      int           `yaml:"max_packet"`       // embedded: bytes in one packet from a user
	MaxHubPacket   int           `yaml:"max_hub_packet"`   // embedded: bytes in one packet from the hub, which sends pictures
	MaxLoginPacket int           `yaml:"max_login_packet"` // embedded: bytes in one packet before login
	MaxClients     int           `yaml:"max_clients"`      // embedded: connections logged in at once
	MaxUserClients int           `yaml:"max_user_clients"` // embedded: clients of one user, connected or with a session that waits for them; the hub may have any number
	MaxLogins      int           `yaml:"max_logins"`       // embedded: connections not yet logged in at once
	LoginTimeout   time.Duration `yaml:"login_timeout"`    // embedded: from connecting to the end of login
	WriteTimeout   time.Duration `yaml:"write_timeout"`    // embedded: one write to a device that does not read; then it is cut

	RefuseFilters []string      `yaml:"refuse_filters"` // embedded: topic filters; nobody may receive what is on their topics
	Keepalive     time.Duration `yaml:"keepalive"`      // embedded: the longest keepalive, imposed on who wants a longer one or none; whole seconds; 0: as the client wants

	MaxQueue int `yaml:"max_queue"` // embedded: bytes waiting to be sent to one client
	UserRate int `yaml:"user_rate"` // embedded: packets a second from one user, ten times as many at once; 0: any number; the hub may send as many as it likes

	Dir string `yaml:"-"` // where the embedded broker keeps retained messages and sessions: the data folder
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
		MaxUserClients: 100,
		MaxLogins:      256,
		MaxQueue:       4 << 20,
		UserRate:       300,
		LoginTimeout:   5 * time.Second,
		WriteTimeout:   2 * time.Second,
		RefuseFilters:  []string{},
	}
}

// Validate reports all that is wrong, each with what would be right. It reads the files that
// the settings name.
func (c Config) Validate() error {
	switch c.Mode {
	case Embedded:
		return errors.Join(c.validEmbedded(), c.validFiles())
	case External:
		return c.validExternal()
	}
	return fmt.Errorf("mode: %q: use embedded or external", c.Mode)
}

func (c Config) validEmbedded() error {
	errs := []error{c.validListen(), c.validTLS(), c.validRefused(), c.validKeepalive(),
		within("max_packet", c.MaxPacket, 1<<10, 64<<20),
		within("max_hub_packet", c.MaxHubPacket, 1<<10, 64<<20),
		within("max_login_packet", c.MaxLoginPacket, 256, 256<<10),
		within("max_clients", c.MaxClients, 1, 100_000),
		within("max_user_clients", c.MaxUserClients, 1, 100_000),
		within("max_logins", c.MaxLogins, 1, 10_000),
		within("user_rate", c.UserRate, 0, 1_000_000),
		within("max_queue", c.MaxQueue, 64<<10, 256<<20),
		withinTime("login_timeout", c.LoginTimeout, time.Second, time.Minute),
		withinTime("write_timeout", c.WriteTimeout, 100*time.Millisecond, time.Minute)}
	if c.URL+c.User+c.PasswordFile+c.ClientCert+c.ClientKey != "" {
		errs = append(errs, errors.New("url, user, password_file, client_cert and client_key are for mode external: remove them, or set mode: external"))
	}
	return errors.Join(errs...)
}

func (c Config) validListen() error {
	if c.Listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil:
		return fmt.Errorf("listen: %w: use an address and a port, as 127.0.0.1:1883", err)
	case loopback(host):
		return nil
	case !c.PlaintextAnywhere:
		return fmt.Errorf("listen: %s would take tokens in the clear from the network: use 127.0.0.1 here and tls_listen for devices, or set plaintext_anywhere: true", c.Listen)
	case c.TLSClientCA != "":
		return fmt.Errorf("listen: %s would let devices in without the certificate that tls_client_ca asks for: use 127.0.0.1, or leave one of the two out", c.Listen)
	}
	return nil
}

// validRefused keeps the hub from being cut off from what its own doors and sensors send.
func (c Config) validRefused() error {
	var errs []error
	for _, f := range c.RefuseFilters {
		errs = append(errs, validRefusedFilter(f))
	}
	return errors.Join(errs...)
}

func validRefusedFilter(f string) error {
	if err := ValidFilter(f); err != nil {
		return fmt.Errorf("refuse_filters: %w: use filters as doorhub/door/+/image", err)
	}
	if shared(f) {
		return fmt.Errorf("refuse_filters: %.80q: nobody may share a subscription: leave it out", f)
	}
	for _, need := range []string{"doorhub/in/#", "doorhub/cmd/#", "homeassistant/#"} {
		if overlaps(f, need) {
			return fmt.Errorf("refuse_filters: %.80q: the hub or Home Assistant must receive %s: leave it out", f, need)
		}
	}
	return nil
}

func (c Config) validKeepalive() error {
	if c.Keepalive == 0 {
		return nil
	}
	if c.Keepalive%time.Second != 0 {
		return fmt.Errorf("keepalive: %s: use whole seconds", c.Keepalive)
	}
	return withinTime("keepalive", c.Keepalive, 5*time.Second, 12*time.Hour)
}

func (c Config) validTLS() error {
	if c.TLSListen == "" {
		if c.TLSClientCA != "" {
			return errors.New("tls_client_ca: only devices that come by TLS show certificates: set tls_listen, too")
		}
		return nil
	}
	if _, _, err := net.SplitHostPort(c.TLSListen); err != nil {
		return fmt.Errorf("tls_listen: %w: use an address and a port, as :8883", err)
	}
	if c.Cert == "" || c.Key == "" {
		return errors.New("tls_listen: needs cert and key; doorhub init makes them")
	}
	return nil
}

// validFiles reads the certificates. Its error is ErrCertificate, by which it can be told from
// settings without which nothing goes.
func (c Config) validFiles() error {
	if c.TLSListen == "" || c.Cert == "" || c.Key == "" {
		return nil
	}
	_, err := c.serving(nil)
	return err
}

// Exposed says where passwords and messages cross a network in the clear because the settings
// allow it; "" where they do not.
func (c Config) Exposed() string {
	if c.Mode == External {
		for _, text := range splitURLs(c.URL) {
			if u, err := url.Parse(text); err == nil && u.Scheme == "mqtt" && !loopback(u.Hostname()) {
				return "url: " + redact(text, u) + ": use mqtts://"
			}
		}
		return ""
	}
	if host, _, err := net.SplitHostPort(c.Listen); err == nil && !loopback(host) {
		return "listen: " + c.Listen + ": use 127.0.0.1 here and tls_listen for devices"
	}
	return ""
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
	errs := []error{validURLs(c.URL, c.PlaintextAnywhere)}
	var err error
	cc.TLS, err = c.dialing()
	errs = append(errs, err)
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

// dialing is the client's side of TLS. The hub's certificate is read for each connection, so
// that it is renewed without a restart.
func (c Config) dialing() (*tls.Config, error) {
	tc := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA != "" {
		roots, err := readCA(c.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		tc.RootCAs = pool(roots)
	}
	if c.ClientCert == "" && c.ClientKey == "" {
		return tc, nil
	}
	if c.ClientCert == "" || c.ClientKey == "" {
		return nil, errors.New("client_cert: a certificate and its key go together: set client_key, too, or neither")
	}
	own := func() (*tls.Certificate, error) {
		pair, err := readPair("client_cert", c.ClientCert, "client_key", c.ClientKey)
		return &pair, err
	}
	tc.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own() }
	_, err := own()
	return tc, err
}

// splitURLs returns the addresses of a list by commas: at least one, if only "".
func splitURLs(list string) []string {
	urls := strings.Split(list, ",")
	for i, u := range urls {
		urls[i] = strings.TrimSpace(u)
	}
	return urls
}

func validURLs(list string, plaintext bool) error {
	var errs []error
	for _, u := range splitURLs(list) {
		errs = append(errs, validURL(u, plaintext))
	}
	return errors.Join(errs...)
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
