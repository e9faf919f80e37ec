package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// The files MakeCA writes. The certificate of the CA is for every device to know; the keys
// stay where they are, and ca.key may be moved to a safe place: then nobody renews the broker's
// certificate but its owner.
const (
	CACertFile     = "ca.crt"
	CAKeyFile      = "ca.key"
	ServerCertFile = "server.crt"
	ServerKeyFile  = "server.key"
)

const (
	caLife     = 10 * 365 * 24 * time.Hour
	serverLife = 825 * 24 * time.Hour // the longest that Apple's clients accept
	backdate   = 24 * time.Hour       // small devices' clocks may be behind
	firstYear  = 2025                 // a clock before it was never set
)

// maxCommonName is the most characters of a common name (RFC 5280, ub-common-name).
const maxCommonName = 64

// MakeCA writes a certificate authority and a server certificate signed by it into dir, both
// with P-256 keys, which small devices can verify. hosts are the names and IP addresses by
// which devices will reach the broker; at least one. It never overwrites a file: when any of
// the four is there, the error is fs.ErrExist and nothing is changed.
func MakeCA(dir string, hosts ...string) error {
	files, err := makeFiles(time.Now(), hosts)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	return writeNew(dir, files)
}

func makeFiles(now time.Time, hosts []string) (map[string][]byte, error) {
	if err := validHosts(hosts); err != nil {
		return nil, err
	}
	ca, err := newCA(now)
	if err != nil {
		return nil, err
	}
	server, err := ca.issue(serverTemplate(now, hosts), now)
	if err != nil {
		return nil, err
	}
	caPEM, err := keyPEM(ca.key)
	if err != nil {
		return nil, err
	}
	serverPEM, err := keyPEM(server.key)
	return map[string][]byte{
		CACertFile: certPEM(ca.cert), CAKeyFile: caPEM,
		ServerCertFile: certPEM(server.cert), ServerKeyFile: serverPEM,
	}, err
}

// signed is a certificate with its private key.
type signed struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newCA makes an authority of a name of its own: while one follows another, devices know both,
// and some look an issuer up by its name alone. It constrains no names: the constraint would be
// critical, and BearSSL as well as older mbedTLS refuse critical extensions they do not know.
func newCA(now time.Time) (signed, error) {
	if now.Year() < firstYear {
		return signed{}, fmt.Errorf("the clock says %s: set it first", now.Format(time.DateOnly))
	}
	mark := make([]byte, 4)
	if _, err := rand.Read(mark); err != nil {
		return signed{}, err
	}
	return sign(&x509.Certificate{
		Subject:   pkix.Name{CommonName: fmt.Sprintf("doorhub CA %x", mark)},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(caLife - backdate),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil)
}

// serverTemplate names each IPv4 address a second time, as if it were a host's name: BearSSL
// (the ESP8266's) and mbedTLS before 3.5 look at no others, also when asked for an address.
func serverTemplate(now time.Time, hosts []string) *x509.Certificate {
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: hosts[0]},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(serverLife - backdate),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(hosts[0]) > maxCommonName { // nobody looks there who finds names below
		t.Subject.CommonName = "doorhub"
	}
	for _, h := range hosts {
		ip := net.ParseIP(h)
		if ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		}
		if ip == nil || ip.To4() != nil {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return t
}

// clientTemplate is for a user of the bus. Its one usage is critical: BearSSL, which otherwise
// reads no usages, then takes it for no server's. The alternative name, which is no host's,
// keeps others from taking its common name for one.
func clientTemplate(now time.Time, user string) *x509.Certificate {
	usage := []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02} // id-kp-clientAuth (RFC 5280, 4.2.1.12)
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: user},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(caLife - backdate), // its CA ends before
		KeyUsage:        x509.KeyUsageDigitalSignature,
		URIs:            []*url.URL{{Scheme: "doorhub", Opaque: user}},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}
}

var hostName = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)

func validHosts(hosts []string) error {
	if len(hosts) == 0 {
		return errors.New("name at least one host or IP address by which devices reach the hub")
	}
	for _, h := range hosts {
		if net.ParseIP(h) == nil && (len(h) > 253 || !hostName.MatchString(h)) {
			return fmt.Errorf("host %.80q: use a name, as door.lan, or an IP address, without a port", h)
		}
	}
	return nil
}

// issue signs a certificate for a new key, which ends no later than its authority.
func (ca signed) issue(template *x509.Certificate, now time.Time) (signed, error) {
	switch {
	case now.Before(ca.cert.NotBefore):
		return signed{}, fmt.Errorf("the clock says %s, but the CA was made on %s: set the clock first", now.UTC().Format(time.DateOnly), ca.cert.NotBefore.Add(backdate).Format(time.DateOnly))
	case now.After(ca.cert.NotAfter):
		return signed{}, fmt.Errorf("the CA %q ended on %s: make another with doorhub broker cert ca new", ca.cert.Subject.CommonName, ca.cert.NotAfter.Format(time.DateOnly))
	}
	template.NotBefore = later(template.NotBefore, ca.cert.NotBefore)
	template.NotAfter = earlier(template.NotAfter, ca.cert.NotAfter)
	return sign(template, &ca)
}

func earlier(a, b time.Time) time.Time { return slices.MinFunc([]time.Time{a, b}, time.Time.Compare) }
func later(a, b time.Time) time.Time   { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }

// sign makes a key and a certificate for it; by itself when there is no parent.
func sign(template *x509.Certificate, by *signed) (signed, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signed{}, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return signed{}, err
	}
	if by == nil {
		by = &signed{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		return signed{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return signed{cert, key}, err
}

func certPEM(certs ...*x509.Certificate) []byte {
	var text []byte
	for _, c := range certs {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return text
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// writeNew writes all the files or none, and overwrites none.
func writeNew(dir string, files map[string][]byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	var made []string
	for name, content := range files {
		path := filepath.Join(dir, name)
		err := createFile(path, content)
		if err == nil {
			made = append(made, path)
			continue
		}
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%w: it is kept; move it away to make new certificates, which every device must then be given", err)
		}
		for _, path := range made {
			err = errors.Join(err, os.Remove(path))
		}
		return fmt.Errorf("certificates: %w", err)
	}
	return syncDir(dir)
}

func createFile(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, modeOf(path))
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// modeOf lets everybody read what devices are given, and only its owner all else.
func modeOf(path string) os.FileMode {
	if filepath.Ext(path) == ".crt" {
		return 0o644
	}
	return 0o600
}
