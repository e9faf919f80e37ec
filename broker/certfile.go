package broker

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrCertificate says that a certificate or key of the embedded broker is of no use. A house
// must not stand still for it: the broker starts all the same, and serves TLS once it is mended.
var ErrCertificate = errors.New("the broker's certificate cannot be used")

type certificateError struct{ err error }

func (e certificateError) Error() string        { return e.err.Error() }
func (e certificateError) Unwrap() error        { return e.err }
func (e certificateError) Is(target error) bool { return target == ErrCertificate }

const minRSA = 2048 // bits

// readPEM reads all certificates of a file.
func readPEM(path string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	certs, err := parseCerts(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return certs, nil
}

// parseCerts refuses a text that was cut off, of which pem.Decode would take the first part.
func parseCerts(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("is damaged: %w", err)
		}
		certs = append(certs, c)
	}
	if bytes.Contains(text, []byte("-----BEGIN")) {
		return nil, errors.New("is damaged or was cut off: restore it from a backup")
	}
	if len(certs) == 0 {
		return nil, errors.New("holds no certificate")
	}
	return certs, nil
}

// readCA reads the certificates of one or more CAs.
func readCA(path string) ([]*x509.Certificate, error) {
	certs, err := readPEM(path)
	if err != nil {
		return nil, fmt.Errorf("%w: give the PEM file (ca.crt) of whoever signed the certificates", err)
	}
	for _, c := range certs {
		if !c.IsCA {
			return nil, fmt.Errorf("%s: the certificate of %q is not a CA's: give the PEM file (ca.crt) of whoever signed it", path, c.Subject.CommonName)
		}
	}
	return certs, nil
}

func pool(certs []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

// readKey reads a private key that nobody but its owner, and perhaps a group, may read.
func readKey(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s: everybody on this machine may use it: chmod o= %s, and if others were on it, make another", path, path)
	}
	switch block, _ := pem.Decode(text); {
	case block == nil:
		return nil, fmt.Errorf("%s holds no key in PEM form, or only part of one: restore it from a backup", path)
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return nil, fmt.Errorf("%s is locked by a passphrase, which nobody is there to type: store it without one", path)
	}
	return text, nil
}

// readPair reads a certificate and its key. Errors name them by the settings' keys.
func readPair(certKey, cert, keyKey, key string) (tls.Certificate, error) {
	certs, err := readPEM(cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s: %w", certKey, err)
	}
	text, err := readKey(key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s: %w", keyKey, err)
	}
	pair, err := tls.X509KeyPair(certPEM(certs...), text)
	if err == nil {
		return fits(keyKey, pair)
	}
	// A renewal that was killed between its two files left the key beside its place.
	if next, e := readKey(key + tempSuffix); e == nil {
		if pair, e := tls.X509KeyPair(certPEM(certs...), next); e == nil {
			return fits(keyKey, pair)
		}
	}
	return tls.Certificate{}, fmt.Errorf("%s: %s is not the key of %s: %w", keyKey, key, cert, err)
}

// fits judges the key itself. RSA is for owners who bring their own certificate.
func fits(name string, pair tls.Certificate) (tls.Certificate, error) {
	if k, ok := pair.Leaf.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < minRSA {
		return tls.Certificate{}, fmt.Errorf("%s: RSA of %d bits is too short: use P-256, or RSA from %d bits", name, k.N.BitLen(), minRSA)
	}
	return pair, nil
}

// readServerCert reads the broker's certificate and key and, when ca is not empty, makes sure
// that devices that know only this CA will accept it; if not, it returns both and an error. Dates are not looked at: the clock may
// not have been set yet.
func readServerCert(cert, key, ca string) (tls.Certificate, error) {
	pair, err := readPair("cert", cert, "key", key)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; doorhub init makes them", err)
	}
	if err != nil || ca == "" {
		return pair, err
	}
	roots, err := readCA(ca)
	if err != nil {
		return pair, fmt.Errorf("ca: %w", err)
	}
	return pair, vouched(pair, roots, cert, ca)
}

func vouched(pair tls.Certificate, roots []*x509.Certificate, cert, ca string) error {
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: pool(roots), Intermediates: between,
		CurrentTime: inLife(pair.Leaf, roots), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return fmt.Errorf("cert: %s is not for servers, so no device will accept it: use another: %w", cert, err)
	}
	return fmt.Errorf("ca: %s did not sign %s: give the CA that did, or make another certificate with doorhub broker cert renew: %w", ca, cert, err)
}

// inLife returns a moment at which a certificate is good, to judge all else than its dates.
func inLife(c *x509.Certificate, roots []*x509.Certificate) time.Time {
	t := c.NotBefore
	for _, r := range roots {
		if c.CheckSignatureFrom(r) == nil {
			t = later(t, r.NotBefore)
		}
	}
	return t.Add(time.Second)
}

// parseKey reads the private key of a CA of ours.
func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no key in PEM form, or only part of one")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := k.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("not the key of a CA that doorhub made")
	}
	return key, nil
}

func parseKeyFile(path string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseKey(text)
}

// ownerOf returns the certificate of a key; nil: none of these is.
func ownerOf(key *ecdsa.PrivateKey, certs []*x509.Certificate) *x509.Certificate {
	for _, c := range certs {
		if pub, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && pub.Equal(key.Public()) {
			return c
		}
	}
	return nil
}

// replacePair puts a new certificate and its key into the place of others: after a crash at any
// moment, readPair finds the old two or the new two.
func replacePair(cert, key string, certText, keyText []byte) error {
	if err := settlePair(cert, key); err != nil {
		return err
	}
	err := errors.Join(writeSynced(key+tempSuffix, keyText, 0o600), writeSynced(cert+tempSuffix, certText, 0o644))
	if err == nil {
		err = syncDir(filepath.Dir(key))
	}
	if err == nil {
		err = os.Rename(cert+tempSuffix, cert)
	}
	if err != nil {
		return errors.Join(err, removeIfThere(cert+tempSuffix), removeIfThere(key+tempSuffix))
	}
	if err := syncDir(filepath.Dir(cert)); err != nil {
		return err
	}
	return errors.Join(os.Rename(key+tempSuffix, key), syncDir(filepath.Dir(key)))
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// settlePair ends a replacement that was interrupted after its first half.
func settlePair(cert, key string) error {
	certText, err1 := os.ReadFile(cert)
	next, err2 := os.ReadFile(key + tempSuffix)
	if err1 != nil || err2 != nil {
		return nil
	}
	if _, err := tls.X509KeyPair(certText, next); err != nil {
		return nil
	}
	return errors.Join(os.Rename(key+tempSuffix, key), syncDir(filepath.Dir(key)))
}
