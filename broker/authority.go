package broker

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// ErrNoCAKey says that the key that signs certificates lies elsewhere, and was not given.
var ErrNoCAKey = errors.New("the CA's key is not here")

// The keys of CAs, beside the file of their certificates, while one follows another.
const (
	newCAKeyFile = "ca-new.key" // of the next, until it signs the broker's certificate
	oldCAKeyFile = "ca-old.key" // of the one before, until it is dropped
)

// CertificateFile is one certificate that the settings name.
type CertificateFile struct {
	Use  string // broker, ca, client_ca or client (the hub's own, at an external broker)
	File string
	Cert *x509.Certificate
}

// Certificates returns what is in the files that the settings name, in use or not.
func (c Config) Certificates() ([]CertificateFile, error) {
	var all []CertificateFile
	var errs []error
	for _, f := range []struct{ use, file string }{
		{"broker", c.Cert}, {"client", c.ClientCert}, {"ca", c.CA}, {"client_ca", c.TLSClientCA},
	} {
		if f.file == "" || f.use == "client_ca" && f.file == c.CA {
			continue
		}
		certs, err := readPEM(f.file)
		errs = append(errs, err)
		for _, cert := range certs {
			all = append(all, CertificateFile{f.use, f.file, cert})
		}
	}
	return all, errors.Join(errs...)
}

// beside returns a path in the folder of the CA's certificate.
func (c Config) beside(file string) string { return filepath.Join(filepath.Dir(c.CA), file) }

// ours makes sure that the settings name all files of a CA of the house's own.
func (c Config) ours() error {
	switch {
	case c.Mode != Embedded:
		return errors.New("certificates: the broker is elsewhere (mode: external), and so are they")
	case c.Cert == "" || c.Key == "" || c.CA == "":
		return errors.New("certificates: cert, key and ca are not set: doorhub init makes them and says where")
	case c.Cert == c.Key || c.Cert == c.CA:
		return errors.New("certificates: cert, key and ca are one file: give each its own")
	}
	return nil
}

// authority finds the CA, of those that devices are given, whose private key this is; nil: the
// key beside them.
func (c Config) authority(key []byte) (signed, error) {
	if err := c.ours(); err != nil {
		return signed{}, err
	}
	known, err := readCA(c.CA)
	if err != nil {
		return signed{}, fmt.Errorf("ca: %w", err)
	}
	if key == nil {
		key, err = readKey(c.beside(CAKeyFile))
		if errors.Is(err, fs.ErrNotExist) {
			return signed{}, fmt.Errorf("%w: no %s: name it with --ca-key", ErrNoCAKey, c.beside(CAKeyFile))
		}
		if err != nil {
			return signed{}, fmt.Errorf("CA key: %w", err)
		}
	}
	k, err := parseKey(key)
	if err != nil {
		return signed{}, fmt.Errorf("CA key: %w", err)
	}
	cert := ownerOf(k, known)
	if cert == nil {
		return signed{}, fmt.Errorf("CA key: it is of none of the CAs in %s: give the key of one of them", c.CA)
	}
	return signed{cert, k}, nil
}

// RenewCertificate replaces the broker's certificate and key by new ones for hosts, or for
// those of the present certificate when there are none. caKey is the CA's private key in PEM
// form; nil: ca.key beside ca. A running broker takes them up by itself and cuts nobody.
func (c Config) RenewCertificate(now time.Time, caKey []byte, hosts ...string) (*x509.Certificate, error) {
	ca, err := c.authority(caKey)
	if err != nil {
		return nil, err
	}
	before, wrong := readPEM(c.Cert)
	if wrong == nil && caKey == nil {
		if err := c.current(ca.cert, before[0]); err != nil {
			return nil, err
		}
	}
	if len(hosts) == 0 {
		if wrong != nil {
			return nil, fmt.Errorf("cert: %w: name the broker's hosts with --hosts", wrong)
		}
		hosts = Hosts(before[0])
	}
	if err := validHosts(hosts); err != nil {
		return nil, err
	}
	server, err := ca.issue(serverTemplate(now, hosts), now)
	if err != nil {
		return nil, err
	}
	key, err := keyPEM(server.key)
	if err == nil {
		err = replacePair(c.Cert, c.Key, certPEM(server.cert), key)
	}
	return server.cert, err
}

// current keeps a key that was left behind from going back to the CA before.
func (c Config) current(ca, before *x509.Certificate) error {
	known, err := readCA(c.CA)
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	if ca.Equal(known[len(known)-1]) || before.CheckSignatureFrom(ca) == nil {
		return nil
	}
	return fmt.Errorf("CA key: %s is of %q, another has followed it: name that one's key with --ca-key, or forget the old with doorhub broker cert ca drop", c.beside(CAKeyFile), ca.Subject.CommonName)
}

// Hosts returns the names and addresses that a certificate is for, each once.
func Hosts(c *x509.Certificate) []string {
	hosts := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		if !slices.Contains(hosts, ip.String()) {
			hosts = append(hosts, ip.String())
		}
	}
	return hosts
}

// ClientCertificate makes a certificate and key, both in PEM form, for a user of the bus. It
// is good as long as there is that user, and at most until the CA ends; the key of that CA is
// beside tls_client_ca, if set, else beside ca. Nothing is stored.
func (c Config) ClientCertificate(now time.Time, caKey []byte, user string) (cert, key []byte, err error) {
	if c.TLSClientCA != "" {
		c.CA = c.TLSClientCA
	}
	ca, err := c.authority(caKey)
	if err != nil {
		return nil, nil, err
	}
	client, err := ca.issue(clientTemplate(now, user), now)
	if err != nil {
		return nil, nil, err
	}
	key, err = keyPEM(client.key)
	return certPEM(client.cert), key, err
}

// NewCA makes a CA, certificate and key in PEM form, for AddCA. Nothing is stored.
func NewCA(now time.Time) (cert, key []byte, err error) {
	ca, err := newCA(now)
	if err != nil {
		return nil, nil, err
	}
	key, err = keyPEM(ca.key)
	return certPEM(ca.cert), key, err
}

// AddCA is the first step to another CA: devices are given the file ca once more, in which
// both are from now on. key is stored beside it; nil: it is kept elsewhere.
func (c Config) AddCA(cert, key []byte) (*x509.Certificate, error) {
	if err := c.ours(); err != nil {
		return nil, err
	}
	added, err := parseCerts(cert)
	if err != nil {
		return nil, fmt.Errorf("new CA: its certificate %w", err)
	}
	known, err := readCA(c.CA)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if !added[0].IsCA || slices.ContainsFunc(known, added[0].Equal) {
		return nil, fmt.Errorf("new CA: %q is none, or there already", added[0].Subject.CommonName)
	}
	if len(known) > 1 {
		return nil, fmt.Errorf("ca: %s holds %d CAs already: end the change that was begun with doorhub broker cert ca use, or drop", c.CA, len(known))
	}
	if key != nil {
		if err := replaceFile(c.beside(newCAKeyFile), key); err != nil {
			return nil, fmt.Errorf("new CA: %w", err)
		}
	}
	return added[0], replaceFileMode(c.CA, certPEM(append(known, added...)...), 0o644)
}

// UseCA is the second step: the new CA signs the broker's certificate. Devices that were not
// given the file ca since the first step accept it no more. Done again after it was interrupted,
// it goes on.
func (c Config) UseCA(now time.Time, caKey []byte) (*x509.Certificate, error) {
	if err := c.ours(); err != nil {
		return nil, err
	}
	known, err := readCA(c.CA)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if len(known) < 2 {
		return nil, fmt.Errorf("ca: %s holds one CA: add another with doorhub broker cert ca new, and give the file to devices", c.CA)
	}
	newest := known[len(known)-1]
	if caKey == nil {
		if err := c.turnKeys(newest); err != nil {
			return nil, err
		}
	}
	ca, err := c.authority(caKey)
	if err != nil {
		return nil, err
	}
	if !ca.cert.Equal(newest) {
		return nil, fmt.Errorf("CA key: it is of %q, not of the new CA %q: name the new one's with --ca-key", ca.cert.Subject.CommonName, newest.Subject.CommonName)
	}
	return c.RenewCertificate(now, caKey)
}

// turnKeys makes the key of the new CA, if it is here, the one that signs.
func (c Config) turnKeys(newest *x509.Certificate) error {
	key, err := parseKeyFile(c.beside(newCAKeyFile))
	if err != nil || ownerOf(key, []*x509.Certificate{newest}) == nil {
		return nil // what signs then says what is missing
	}
	if err := os.Rename(c.beside(CAKeyFile), c.beside(oldCAKeyFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(os.Rename(c.beside(newCAKeyFile), c.beside(CAKeyFile)), syncDir(filepath.Dir(c.CA)))
}

// DropCAs is the last step, and also ends a change that was only begun: every CA but the one
// that signed the broker's certificate is forgotten, with its key if it is here. Client
// certificates by the others are worth nothing from then on. It returns what was dropped.
func (c Config) DropCAs() ([]*x509.Certificate, error) {
	if err := c.ours(); err != nil {
		return nil, err
	}
	known, err1 := readCA(c.CA)
	server, err2 := readPEM(c.Cert)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	var kept, dropped []*x509.Certificate
	for _, ca := range known {
		if server[0].CheckSignatureFrom(ca) == nil {
			kept = append(kept, ca)
		} else {
			dropped = append(dropped, ca)
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("ca: none in %s signed %s: nothing was dropped", c.CA, c.Cert)
	}
	if len(dropped) == 0 {
		return nil, fmt.Errorf("ca: %s holds only the CA that signed the broker's certificate: there is nothing to drop", c.CA)
	}
	if err := replaceFileMode(c.CA, certPEM(kept...), 0o644); err != nil {
		return nil, err
	}
	return dropped, c.forgetKeys(kept)
}

// forgetKeys removes the keys of CAs that are kept no more, as far as they are here.
func (c Config) forgetKeys(kept []*x509.Certificate) error {
	signing := c.beside(CAKeyFile)
	var errs []error
	for _, file := range []string{CAKeyFile, newCAKeyFile, oldCAKeyFile} {
		path := c.beside(file)
		key, err := parseKeyFile(path)
		if err != nil {
			continue // as a rule there is none
		}
		if ownerOf(key, kept) == nil {
			errs = append(errs, os.Remove(path))
		} else if _, err := os.Stat(signing); errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, os.Rename(path, signing))
		}
	}
	return errors.Join(append(errs, syncDir(filepath.Dir(c.CA)))...)
}
