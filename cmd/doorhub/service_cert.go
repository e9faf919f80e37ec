package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/doorhub/doorhub/broker"
)

// certRequest is what the commands for certificates ask for. Keys come along since they may
// lie where the hub cannot read them, as on a stick that only root may mount.
type certRequest struct {
	Name  string   `json:"name,omitempty"`  // of a user
	Hosts []string `json:"hosts,omitempty"` // none: those of before
	Cert  []byte   `json:"cert,omitempty"`  // of a new CA, PEM
	Key   []byte   `json:"key,omitempty"`   // of a CA, PEM
}

// clientCert is a certificate made for a user.
type clientCert struct {
	Cert  []byte `json:"cert"` // PEM
	Key   []byte `json:"key"`
	Asked bool   `json:"asked"` // the broker asks devices for theirs
}

func callCerts(_ context.Context, s *service, _ json.RawMessage, to reply) error {
	files, err := s.cfg.Broker.Certificates()
	now := time.Now()
	for _, f := range files {
		err = errors.Join(err, to.item(viewCert(f, now)))
	}
	if err == nil && len(files) == 0 {
		err = errors.New("certificates: none are set: doorhub init makes them")
	}
	return err
}

func (s *service) renewCert(ctx context.Context, req certRequest) (certView, error) {
	c, err := s.renewAlone(time.Now(), req.Key, req.Hosts...)
	return s.made(ctx, certRenewed, c, err)
}

func (s *service) renewAlone(now time.Time, key []byte, hosts ...string) (*x509.Certificate, error) {
	s.certs.Lock()
	defer s.certs.Unlock()
	return s.cfg.Broker.RenewCertificate(now, key, hosts...)
}

// made journals a new certificate of the broker's, and makes sure that it is in use.
func (s *service) made(ctx context.Context, reason string, c *x509.Certificate, err error) (certView, error) {
	if err != nil {
		return certView{}, err
	}
	view := viewCert(broker.CertificateFile{Use: "broker", File: s.cfg.Broker.Cert, Cert: c}, time.Now())
	err = s.note(ctx, certRecord(reason, certText(c)))
	used, wrong := s.shown()
	if wrong == nil && used != nil && !used.Equal(c) {
		wrong = errors.New("its file was changed again")
	}
	if wrong != nil {
		err = errors.Join(err, fmt.Errorf("it was made, but the running broker does not use it: %w", wrong))
	}
	return view, err
}

func (s *service) newCA(ctx context.Context, req certRequest) (certView, error) {
	s.certs.Lock()
	c, err := s.cfg.Broker.AddCA(req.Cert, req.Key)
	s.certs.Unlock()
	if err != nil {
		return certView{}, err
	}
	return viewCert(broker.CertificateFile{Use: "ca", File: s.cfg.Broker.CA, Cert: c}, time.Now()), s.note(ctx, certRecord(caAdded, certText(c)))
}

func (s *service) useCA(ctx context.Context, req certRequest) (certView, error) {
	s.certs.Lock()
	c, err := s.cfg.Broker.UseCA(time.Now(), req.Key)
	s.certs.Unlock()
	return s.made(ctx, caUsed, c, err)
}

func callDropCAs(ctx context.Context, s *service, _ json.RawMessage, to reply) error {
	s.certs.Lock()
	dropped, err := s.cfg.Broker.DropCAs()
	s.certs.Unlock()
	for _, c := range dropped {
		view := viewCert(broker.CertificateFile{Use: "ca", File: s.cfg.Broker.CA, Cert: c}, time.Now())
		err = errors.Join(err, s.note(ctx, certRecord(caDropped, certText(c))), to.item(view))
	}
	return err
}

func (s *service) clientCert(ctx context.Context, req certRequest) (clientCert, error) {
	if err := s.listed(req.Name); err != nil {
		return clientCert{}, err
	}
	cert, key, err := s.cfg.Broker.ClientCertificate(time.Now(), req.Key, req.Name)
	if err != nil {
		return clientCert{}, err
	}
	return clientCert{cert, key, s.cfg.Broker.TLSClientCA != ""}, s.note(ctx, certRecord(clientCertMade, "for user "+req.Name))
}

// certText is what the journal keeps of a certificate.
func certText(c *x509.Certificate) string {
	return fmt.Sprintf("%s, until %s, SHA-256 %s", c.Subject.CommonName, c.NotAfter.Format(time.DateOnly), broker.Fingerprint(c))
}
