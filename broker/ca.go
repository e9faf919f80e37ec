package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The files MakeCA writes. The certificate of the CA is for every device to know; the keys
// stay where they are, and ca.key is best moved to a safe place.
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
)

// MakeCA writes a certificate authority and a server certificate signed by it into dir, both
// with P-256 keys, which small devices can verify. hosts are the names and IP addresses by
// which devices will reach the broker; at least one. It never overwrites a file: when any of
// the four is there, the error is fs.ErrExist and nothing is changed.
func MakeCA(dir string, hosts ...string) error {
	if len(hosts) == 0 {
		return errors.New("certificates: name at least one host or IP address by which devices reach the hub")
	}
	now := time.Now()
	if now.Year() < 2025 {
		return fmt.Errorf("certificates: the clock says %s; set it first", now.Format(time.DateOnly))
	}
	files, err := makeFiles(now, hosts)
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	return writeNew(dir, files)
}

func makeFiles(now time.Time, hosts []string) (map[string][]byte, error) {
	ca, caKey, err := issue(caTemplate(now), nil, nil)
	if err != nil {
		return nil, err
	}
	server, serverKey, err := issue(serverTemplate(now, hosts), ca, caKey)
	if err != nil {
		return nil, err
	}
	caPEM, err := keyPEM(caKey)
	if err != nil {
		return nil, err
	}
	serverPEM, err := keyPEM(serverKey)
	return map[string][]byte{
		CACertFile: certPEM(ca), CAKeyFile: caPEM,
		ServerCertFile: certPEM(server), ServerKeyFile: serverPEM,
	}, err
}

func caTemplate(now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: "doorhub CA"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(caLife - backdate),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func serverTemplate(now time.Time, hosts []string) *x509.Certificate {
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: hosts[0]},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(serverLife - backdate),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return t
}

// issue signs template by parent's key; by its own when there is no parent.
func issue(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, nil, err
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
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
	mode := os.FileMode(0o600)
	if filepath.Ext(path) == ".crt" {
		mode = 0o644
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// readCA reads the certificates of one or more CAs.
func readCA(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca: %s holds no certificate: give the PEM file (ca.crt) of whoever signed the broker's", path)
	}
	return pool, nil
}

// readServerCert reads the broker's certificate and key and, when ca is not empty, makes sure
// that devices that know only this CA will accept it. Dates are not looked at: the clock may
// not have been set yet.
func readServerCert(cert, key, ca string) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return pair, fmt.Errorf("cert and key: %w; doorhub init makes them", err)
	}
	if ca == "" {
		return pair, nil
	}
	roots, err := readCA(ca)
	if err != nil {
		return pair, err
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: pair.Leaf.NotBefore.Add(time.Second)}); err != nil {
		return pair, fmt.Errorf("ca: %s did not sign %s: give the CA that did, or make both anew with doorhub init: %w", ca, cert, err)
	}
	return pair, nil
}
