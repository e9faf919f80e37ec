package broker

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// Why a client is refused before it can say who it is.
var errClientCert = errors.New("its certificate is refused")

// overTLS names the listener at tls_listen.
const overTLS = "tls"

// endsSoon is how long before its end a certificate is spoken of.
const endsSoon = 30 * 24 * time.Hour

// identity is what the broker shows to devices, and by what it knows theirs. Its files are read
// anew when they have changed, so that a certificate is renewed without a restart: connections
// that are there stay, new ones see the new. While what is there now is of no use, what was
// read before stays in use.
type identity struct {
	cfg   Config
	log   *slog.Logger
	clock func() bool // whether dates can be judged

	mu     sync.Mutex
	seen   []os.FileInfo // of the files, when they were read
	now    *tls.Config   // nil: nothing good was read yet
	leaf   *x509.Certificate
	wrong  error
	warned time.Time
}

func newIdentity(cfg Config, log *slog.Logger, clock func() bool) *identity {
	i := &identity{cfg: cfg, log: log, clock: clock}
	i.refresh()
	return i
}

func (i *identity) files() []string {
	return []string{i.cfg.Cert, i.cfg.Key, i.cfg.CA, i.cfg.TLSClientCA}
}

// listening is for the listener: each connection asks for what is good at its time.
func (i *identity) listening() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		i.refresh()
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.now == nil {
			return nil, i.wrong
		}
		return i.now, nil
	}}
}

// refresh reads the files if they have changed.
func (i *identity) refresh() {
	i.mu.Lock()
	defer i.mu.Unlock()
	stats := make([]os.FileInfo, len(i.files()))
	for n, path := range i.files() {
		stats[n], _ = os.Stat(path) // nil: reading it tells why
	}
	if i.seen != nil && sameFiles(i.seen, stats) {
		return
	}
	i.seen = stats
	tc, err := i.cfg.serving(i.judge)
	if i.wrong = err; err != nil {
		i.log.Error("a certificate is wrong: mend its files, they are looked at again", "error", err)
	}
	if tc == nil || err != nil && i.now != nil {
		return
	}
	i.now, i.leaf = tc, tc.Certificates[0].Leaf
	i.log.Info("certificate in use", "not_after", i.leaf.NotAfter, "sha256", Fingerprint(i.leaf))
}

func sameFiles(a, b []os.FileInfo) bool {
	for i := range a {
		switch {
		case a[i] == nil || b[i] == nil:
			if a[i] != b[i] {
				return false
			}
		case !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() || a[i].Mode() != b[i].Mode():
			return false
		}
	}
	return true
}

// serving reads what the broker needs for TLS. judge sees each client's certificates. With an
// error there may still be a certificate that some devices accept: better than none.
func (c Config) serving(judge func(tls.ConnectionState, []*x509.Certificate) error) (*tls.Config, error) {
	pair, wrong := readServerCert(c.Cert, c.Key, c.CA)
	if wrong != nil {
		wrong = certificateError{wrong}
	}
	if pair.Leaf == nil {
		return nil, wrong
	}
	tc := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if c.TLSClientCA == "" {
		return tc, wrong
	}
	roots, err := readCA(c.TLSClientCA)
	if err != nil {
		return nil, certificateError{errors.Join(wrong, fmt.Errorf("tls_client_ca: %w", err))}
	}
	tc.ClientAuth, tc.ClientCAs = tls.RequireAnyClientCert, pool(roots)
	tc.SessionTicketsDisabled = true // each connection shows its certificate
	tc.VerifyConnection = func(s tls.ConnectionState) error { return judge(s, roots) }
	return tc, wrong
}

// judge accepts the certificates that one of roots vouches for. While the clock is not right,
// as that of a Raspberry Pi after a power cut, dates keep nobody out: the token is asked for, too.
func (i *identity) judge(s tls.ConnectionState, roots []*x509.Certificate) error {
	leaf := s.PeerCertificates[0]
	o := x509.VerifyOptions{Roots: pool(roots), Intermediates: pool(s.PeerCertificates[1:]), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if !i.clock() {
		o.CurrentTime = inLife(leaf, roots)
	}
	if _, err := leaf.Verify(o); err != nil {
		return fmt.Errorf("%w: %.64q, by %.64q: %w", errClientCert, leaf.Subject.CommonName, leaf.Issuer.CommonName, err)
	}
	return nil
}

// Fingerprint is the SHA-256 of a certificate in hex, as devices and browsers show it.
func Fingerprint(c *x509.Certificate) string { return fmt.Sprintf("%x", sha256.Sum256(c.Raw)) }

// Certificate returns the certificate that devices are shown, read anew if its file has
// changed; nil while there is none, or no TLS. The error tells why what is in the files now
// cannot be used.
func (s *Server) Certificate() (*x509.Certificate, error) {
	if s.identity == nil {
		return nil, nil
	}
	s.identity.refresh()
	s.identity.mu.Lock()
	defer s.identity.mu.Unlock()
	return s.identity.leaf, s.identity.wrong
}

// ClockRight tells the server how to know whether the clock is right, before which it judges
// no client's certificate by its dates. To be called by what prepares the server.
func (s *Server) ClockRight(f func() bool) { s.clock = f }

// shakeHands is the TLS handshake: what is wrong with certificates is told, and counted as a
// wrong login of that address.
func (s *Server) shakeHands(c *conn) bool {
	t, ok := c.Conn.(*tls.Conn)
	if !ok {
		return true
	}
	err := t.Handshake()
	if err == nil {
		if certs := t.ConnectionState().PeerCertificates; len(certs) > 0 {
			c.cert = certs[0]
		}
		return true
	}
	remote := c.RemoteAddr()
	switch {
	case errors.Is(err, errClientCert), noClientCert(err):
		s.totals.refusedLogins.Add(1)
		s.log.Warn("no TLS with a client: make it a certificate with doorhub broker cert client", keyRemote, remote.String(), "why", err.Error())
		if err := s.throttle.wrong(address(remote), ""); err != nil {
			s.log.Error("cannot write", "error", err)
		}
	case (ourCertRefused(err) || alertInTheClear(err)) && s.identity.mayWarn():
		s.log.Warn("a client does not accept the broker's certificate: give it ca.crt, its host by a name in the certificate, and the time", keyRemote, remote.String(), "why", err.Error())
	default:
		s.log.Debug("no TLS", keyRemote, remote.String(), "why", err.Error())
	}
	return false
}

// warnOfEnd says that a client's certificate will not do for long.
func (s *Server) warnOfEnd(c *conn, user string) {
	if c.cert != nil && s.clock() && time.Until(c.cert.NotAfter) < endsSoon {
		s.log.Warn("a client's certificate ends soon: make another with doorhub broker cert client", keyUser, user, "not_after", c.cert.NotAfter)
	}
}

// crypto/tls has no type for any of these.
func noClientCert(err error) bool {
	return strings.Contains(err.Error(), "client didn't provide a certificate")
}

func ourCertRefused(err error) bool {
	return strings.Contains(err.Error(), "remote error: tls: ") && strings.Contains(err.Error(), "certificate")
}

// With TLS 1.3 OpenSSL says in the clear that it refuses a certificate, where crypto/tls
// awaits what is encrypted.
func alertInTheClear(err error) bool { return strings.Contains(err.Error(), "bad record MAC") }

// mayWarn keeps clients that try again and again from filling the log.
func (i *identity) mayWarn() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.warned) < time.Second {
		return false
	}
	i.warned = time.Now()
	return true
}
