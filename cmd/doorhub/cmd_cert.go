package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/doorhub/doorhub/broker"
)

type brokerCertCmd struct {
	Show   certShow   `cmd:"" help:"Show the certificates of the bus: names, dates, fingerprints."`
	Renew  certRenew  `cmd:"" help:"Make the broker a new certificate. A running hub takes it up by itself, and nobody is cut."`
	CA     certCA     `cmd:"" name:"ca" help:"Let another CA follow the present one, in three steps: new, use, drop."`
	Client certClient `cmd:"" help:"Make a certificate for a user of the bus, for which tls_client_ca asks."`
}

type certShow struct{}

// Run shows what is in the certificate files.
func (certShow) Run(a *app) error {
	return a.connected(func(hub caller) error {
		var certs []certView
		err := hub.call(a.ctx, "broker.cert.show", struct{}{}, collect(&certs), nothing)
		for _, c := range certs {
			if a.cli.JSON {
				err = errors.Join(err, a.printJSON(c))
			} else {
				fmt.Fprint(a.out, c.text())
			}
		}
		return err
	})
}

// certView is a certificate as commands show it.
type certView struct {
	Use       string    `json:"use"` // broker, ca, client_ca or client
	File      string    `json:"file"`
	Subject   string    `json:"subject"`
	Names     []string  `json:"names,omitempty"`
	SignedBy  string    `json:"signed_by"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	DaysLeft  int       `json:"days_left"` // negative: it has ended
	SHA256    string    `json:"sha256"`
}

func viewCert(f broker.CertificateFile, now time.Time) certView {
	c := f.Cert
	return certView{f.Use, f.File, c.Subject.CommonName, broker.Hosts(c), c.Issuer.CommonName,
		c.NotBefore, c.NotAfter, days(c.NotAfter.Sub(now)), broker.Fingerprint(c)}
}

func (v certView) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n  subject    %s\n", v.Use, v.File, v.Subject)
	if len(v.Names) > 0 {
		fmt.Fprintf(&b, "  names      %s\n", strings.Join(v.Names, ", "))
	}
	if v.SignedBy != v.Subject {
		fmt.Fprintf(&b, "  signed by  %s\n", v.SignedBy)
	}
	fmt.Fprintf(&b, "  from       %s\n  until      %s\n  SHA-256    %s\n", v.NotBefore.Format(time.DateOnly), v.until(), v.SHA256)
	return b.String()
}

func (v certView) until() string {
	date := v.NotAfter.Format(time.DateOnly)
	if v.DaysLeft < 0 {
		return date + ": it has ended"
	}
	return fmt.Sprintf("%s, %d days left", date, v.DaysLeft)
}

type caKey struct {
	CAKey string `name:"ca-key" help:"The CA's private key, where it does not lie beside the CA's certificate." type:"existingfile" placeholder:"FILE"`
}

func (k caKey) read() ([]byte, error) {
	if k.CAKey == "" {
		return nil, nil
	}
	return readBounded(k.CAKey)
}

type certRenew struct {
	caKey `embed:""`
	Hosts []string `help:"Names and addresses by which devices reach the broker (default: those of the present certificate)." placeholder:"HOST"`
}

// Run renews the broker's certificate.
func (c certRenew) Run(a *app) error {
	key, err := c.read()
	if err != nil {
		return err
	}
	return a.oneCert("broker.cert.renew", certRequest{Key: key, Hosts: c.Hosts}, func(v certView) {
		fmt.Fprintf(a.out, "renewed for %s\nuntil %s\nSHA-256 %s\n", strings.Join(v.Names, ", "), v.until(), v.SHA256)
	})
}

// oneCert makes a call that answers with one certificate, which it prints.
func (a *app) oneCert(method string, req certRequest, text func(certView)) error {
	return a.connected(func(hub caller) error {
		v, err := callOne[certView](a, hub, method, req)
		if err != nil {
			return err
		}
		if a.cli.JSON {
			return a.printJSON(v)
		}
		text(v)
		return nil
	})
}

type certCA struct {
	New  caNew  `cmd:"" help:"First: make another CA, and put it beside the present one into the file that devices are given."`
	Use  caUse  `cmd:"" help:"Then, when every device has that file: have the new CA sign the broker's certificate."`
	Drop caDrop `cmd:"" help:"At last: forget every CA but the one that signed the broker's certificate."`
}

type caNew struct {
	Key string `name:"ca-key" help:"Write the new CA's private key into this file, which must not be there, and not into the hub's folder." type:"path" placeholder:"FILE"`
}

// Run makes a CA. Its key is made here, so that one for elsewhere never lies on the hub's disk.
func (c caNew) Run(a *app) error {
	cert, key, err := broker.NewCA(time.Now())
	if err != nil {
		return err
	}
	req := certRequest{Cert: cert, Key: key}
	if c.Key != "" {
		if err := createFile(c.Key, key, 0o600); err != nil {
			return fmt.Errorf("--ca-key: %w", err)
		}
		req.Key = nil
	}
	err = a.oneCert("broker.cert.ca.new", req, func(v certView) {
		fmt.Fprintf(a.out, "made %s; %s holds it beside the present CA\nnext: give that file to every device, then doorhub broker cert ca use\n", v.Subject, v.File)
	})
	if err != nil && c.Key != "" {
		err = fmt.Errorf("%w (the key in %s is left: it is wanted if doorhub broker cert show lists the new CA, else remove it)", err, c.Key)
	}
	return err
}

type caUse struct {
	caKey `embed:""`
}

// Run has the new CA sign.
func (c caUse) Run(a *app) error {
	key, err := c.read()
	if err != nil {
		return err
	}
	return a.oneCert("broker.cert.ca.use", certRequest{Key: key}, func(v certView) {
		fmt.Fprintf(a.out, "%s signs the broker's certificate now, until %s\nnext: when every device is there again, doorhub broker cert ca drop\n", v.SignedBy, v.until())
	})
}

type caDrop struct{}

// Run forgets the CAs that sign no more.
func (caDrop) Run(a *app) error {
	return a.connected(func(hub caller) error {
		var dropped []certView
		if err := hub.call(a.ctx, "broker.cert.ca.drop", struct{}{}, collect(&dropped), nothing); err != nil {
			return err
		}
		for _, v := range dropped {
			if a.cli.JSON {
				if err := a.printJSON(map[string]string{"dropped": v.Subject}); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(a.out, "dropped %s; client certificates by it are worth nothing now\n", v.Subject)
		}
		return nil
	})
}

type certClient struct {
	caKey `embed:""`
	Name  string `arg:"" help:"The user of the bus."`
	Out   string `help:"Folder for NAME.crt and NAME.key." type:"existingdir" default:"." placeholder:"DIR"`
}

// Run makes a client certificate. The hub keeps no copy of its key.
func (c certClient) Run(a *app) error {
	key, err := c.read()
	if err != nil {
		return err
	}
	return a.connected(func(hub caller) error {
		made, err := callOne[clientCert](a, hub, "broker.cert.client", certRequest{Name: c.Name, Key: key})
		if err != nil {
			return err
		}
		certFile, keyFile := filepath.Join(c.Out, c.Name+".crt"), filepath.Join(c.Out, c.Name+".key")
		if err := createFile(keyFile, made.Key, 0o600); err != nil {
			return err
		}
		if err := createFile(certFile, made.Cert, 0o644); err != nil {
			return errors.Join(err, os.Remove(keyFile))
		}
		if a.cli.JSON {
			return a.printJSON(map[string]string{"user": c.Name, "cert": certFile, "key": keyFile})
		}
		fmt.Fprintf(a.out, "made %s and %s, good as long as there is the user %s: put both on the device\n", certFile, keyFile, c.Name)
		if !made.Asked {
			fmt.Fprintln(a.out, "(devices are asked for certificates once tls_client_ca is set)")
		}
		return nil
	})
}
