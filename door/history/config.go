package history

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// ErrFile says that a file which the settings name cannot be used. The files are read again at
// each try to reach the database, so that one which is mended counts without a restart.
var ErrFile = errors.New("a file of the history's cannot be used")

// fileError is an ErrFile.
type fileError struct {
	key string
	err error
}

func (e fileError) Error() string        { return e.key + ": " + e.err.Error() }
func (e fileError) Unwrap() error        { return e.err }
func (e fileError) Is(target error) bool { return target == ErrFile }

// Config says where the history goes.
type Config struct {
	URL       string        `yaml:"url"`        // of InfluxDB, as http://127.0.0.1:8086; "": no history
	TokenFile string        `yaml:"token_file"` // file with the token; for 1.8 with user:password; "": none
	Org       string        `yaml:"org"`        // organisation; 1.8 has none
	Bucket    string        `yaml:"bucket"`     // bucket; for 1.8 database/retention policy
	CA        string        `yaml:"ca"`         // file of the CA that vouches for an https server (PEM); "": the system's
	Plaintext bool          `yaml:"plaintext"`  // allow http beyond this machine: names and token can then be read on the way
	Every     time.Duration `yaml:"every"`      // records wait so long for others to go with
	Batch     int           `yaml:"batch"`      // records in one request
	Timeout   time.Duration `yaml:"timeout"`    // for one request
}

// Defaults returns the settings of a house without a history.
func Defaults() Config {
	return Config{Org: "doorhub", Bucket: "doorhub", Every: time.Second, Batch: 5000, Timeout: 20 * time.Second}
}

// Validate reports all that is wrong, each with what would be right; what is wrong with the files
// named is ErrFile.
func (c Config) Validate() error {
	if c.URL == "" {
		return nil
	}
	_, tokenErr := c.token()
	_, tlsErr := c.tls()
	return errors.Join(c.form(), tokenErr, tlsErr)
}

// form is Validate without the files.
func (c Config) form() error {
	errs := []error{c.validURL(),
		within("every", c.Every, 100*time.Millisecond, time.Minute),
		within("timeout", c.Timeout, time.Second, 5*time.Minute)}
	if c.Bucket == "" {
		errs = append(errs, errors.New("bucket: name one, as doorhub; for InfluxDB 1.8 the database and its retention policy, as doorhub/autogen"))
	}
	if c.Batch < 1 || c.Batch > 50_000 {
		errs = append(errs, fmt.Errorf("batch: %d: use 1 to 50000", c.Batch))
	}
	return errors.Join(errs...)
}

func (c Config) validURL() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("url: use http://host:port or https://host:port")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("url: no user, password or token in it: put the token into a file and name that as token_file")
	case c.Exposed() != "" && !c.Plaintext:
		return fmt.Errorf("url: http to %s would send names and the token in the clear: use https, or set plaintext: true", u.Hostname())
	}
	return nil
}

// Exposed returns where names and the token go in the clear, as its owner has allowed; "": nowhere.
func (c Config) Exposed() string {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" || loopback(u.Hostname()) {
		return ""
	}
	return u.Host
}

// local reports whether the server is on this machine, where compressing costs more than it saves.
func (c Config) local() bool {
	u, err := url.Parse(c.URL)
	return err == nil && loopback(u.Hostname())
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// token reads the token, without the line feed at its end.
func (c Config) token() (string, error) {
	if c.TokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fileError{"token_file", err}
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, "\r\n") {
		return "", fileError{"token_file", fmt.Errorf("%s: put the token on a line of its own, and nothing else", c.TokenFile)}
	}
	return token, nil
}

func (c Config) tls() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fileError{"ca", err}
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fileError{"ca", fmt.Errorf("%s holds no certificate (PEM)", c.CA)}
	}
	return cfg, nil
}

func within(key string, v, low, high time.Duration) error {
	if v < low || v > high {
		return fmt.Errorf("%s: %s: use %s to %s", key, v, low, high)
	}
	return nil
}
