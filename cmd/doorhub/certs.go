package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
)

// Parts that a problem of the bus's protection can have.
const (
	certificatePart   = "broker_certificate"
	plaintextPart     = "broker_plaintext"
	plaintextHomePart = "home_assistant_plaintext"
)

// What can be wrong with a certificate, and what is journalled when one was made.
const (
	certUnreadable = "unreadable"
	certEndsSoon   = "ends_soon"
	certExpired    = "expired"
	certNotYet     = "not_yet_valid"
	certCAEnds     = "ca_ends_soon"
	overPlaintext  = "plaintext"
	certRenewed    = "certificate_renewed"
	caAdded        = "ca_added"
	caUsed         = "ca_used"
	caDropped      = "ca_dropped"
	clientCertMade = "client_certificate"
)

const (
	certBeat   = time.Minute         // from look to look; it reads files only when they have changed
	certSoon   = 30 * 24 * time.Hour // before its end, a certificate is renewed or complained of
	caSoon     = 180 * 24 * time.Hour
	certRetry  = time.Hour      // from one try to renew to the next
	certRemind = 24 * time.Hour // from one line in the log to the next
)

// certWatch has the house know when the certificate by which the hub's bus is protected ends
// or cannot be used, and renews it before, where the CA's key lies beside it.
type certWatch struct {
	cfg   broker.Config
	shown func() (*x509.Certificate, error) // by the embedded broker; nil: there is no such
	issue func(now time.Time, caKey []byte, hosts ...string) (*x509.Certificate, error)
	send  func(door.Fault)
	note  func(ctx context.Context, r door.Record) error
	log   *slog.Logger

	last   door.Fault // as sent
	logged time.Time
	tried  time.Duration // when it was renewed or could not be, on the clock of the boot
	failed error
}

func (h *hub) newCertWatch() *certWatch {
	w := &certWatch{cfg: h.cfg.Broker, issue: h.service.renewAlone, send: h.sendCertificate, note: h.note, log: h.log.With("component", "certificates")}
	if h.server != nil {
		w.shown = h.server.Certificate
	}
	return w
}

// shownCert is the certificate that devices are shown; nil where there is none.
func (h *hub) shownCert() (*x509.Certificate, error) {
	if h.server == nil {
		return nil, nil
	}
	return h.server.Certificate()
}

func (w *certWatch) run(ctx context.Context, now func() door.Instant) {
	tick := time.NewTicker(certBeat)
	defer tick.Stop()
	for {
		w.look(ctx, now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look tells what has changed. Until the clock is right no date is judged, and nothing renewed.
func (w *certWatch) look(ctx context.Context, now door.Instant) {
	leaf, err := w.own()
	if leaf == nil && err == nil {
		return
	}
	if err == nil && w.shown != nil && w.due(leaf, now) {
		leaf = w.renew(ctx, leaf, now)
	}
	f := door.Fault{Part: certificatePart}
	if f.Reason, f.Detail = w.judge(leaf, err, now); f.Reason != w.last.Reason {
		w.send(f)
	}
	w.remind(f, now.Wall)
	w.last = f
}

func (w *certWatch) remind(f door.Fault, now time.Time) {
	if f.Reason == "" || f.Reason == w.last.Reason && now.Sub(w.logged).Abs() < certRemind {
		return
	}
	w.logged = now
	w.log.Warn("the bus's certificate needs a hand", "reason", f.Reason, "detail", f.Detail)
}

// own returns the certificate that the hub shows: as a broker, or at an external one.
func (w *certWatch) own() (*x509.Certificate, error) {
	if w.shown != nil {
		return w.shown()
	}
	if w.cfg.ClientCert == "" {
		return nil, nil
	}
	files, err := w.cfg.Certificates()
	for _, f := range files {
		if f.Use == "client" {
			return f.Cert, nil
		}
	}
	return nil, err
}

// due reports whether it is time to renew, and whether that would gain anything.
func (w *certWatch) due(leaf *x509.Certificate, now door.Instant) bool {
	if !now.Synced || leaf.NotAfter.Sub(now.Wall) > certSoon || w.tried != 0 && now.Mono-w.tried < certRetry {
		return false
	}
	ca := w.signer(leaf)
	return ca == nil || ca.NotAfter.Sub(leaf.NotAfter) > certSoon
}

// signer returns the CA of a certificate, if devices are given it.
func (w *certWatch) signer(leaf *x509.Certificate) *x509.Certificate {
	files, _ := w.cfg.Certificates() // of those that can be read
	for _, f := range files {
		if f.Use == "ca" && leaf.CheckSignatureFrom(f.Cert) == nil {
			return f.Cert
		}
	}
	return nil
}

func (w *certWatch) renew(ctx context.Context, leaf *x509.Certificate, now door.Instant) *x509.Certificate {
	w.tried = max(now.Mono, 1)
	renewed, err := w.issue(now.Wall, nil)
	if w.failed = err; err != nil {
		return leaf
	}
	w.log.Info("renewed the broker's certificate", "not_after", renewed.NotAfter)
	if err := w.note(ctx, certRecord(certRenewed, certText(renewed))); err != nil {
		w.log.Error("its record is not written", "error", err)
	}
	return renewed
}

func certRecord(reason, text string) door.Record {
	return door.Record{Kind: door.KindChanged, Reason: reason, Details: map[string]string{door.DetailPart: certificatePart, door.DetailText: text}}
}

// judge says what is wrong: the worst first.
func (w *certWatch) judge(leaf *x509.Certificate, err error, now door.Instant) (reason, detail string) {
	switch {
	case err != nil:
		return certUnreadable, err.Error()
	case !now.Synced && w.last.Reason != certUnreadable:
		return w.last.Reason, w.last.Detail
	case !now.Synced:
		return "", ""
	}
	left := leaf.NotAfter.Sub(now.Wall)
	switch {
	case left <= 0:
		return certExpired, fmt.Sprintf("it ended on %s: %s", leaf.NotAfter.Format(time.DateOnly), w.advice(leaf))
	case now.Wall.Before(leaf.NotBefore):
		return certNotYet, fmt.Sprintf("it begins on %s: set the clock or, if that is right, begin another CA with doorhub broker cert ca new", leaf.NotBefore.Format(time.DateOnly))
	}
	if ca := w.signer(leaf); w.shown != nil && ca != nil && ca.NotAfter.Sub(now.Wall) < caSoon {
		return certCAEnds, fmt.Sprintf("the CA ends on %s: begin another with doorhub broker cert ca new, so that there is time to give it to every device", ca.NotAfter.Format(time.DateOnly))
	}
	if left < certSoon {
		return certEndsSoon, fmt.Sprintf("it ends on %s, in %d days: %s", leaf.NotAfter.Format(time.DateOnly), days(left), w.advice(leaf))
	}
	return "", ""
}

func (w *certWatch) advice(leaf *x509.Certificate) string {
	switch ca := w.signer(leaf); {
	case w.shown == nil:
		return "get another for client_cert"
	case ca == nil:
		return "get another from whoever signed it, and put it in its place"
	case w.failed != nil && !errors.Is(w.failed, broker.ErrNoCAKey):
		return w.failed.Error()
	}
	return "renew it with doorhub broker cert renew --ca-key FILE"
}

// days rounds towards the end, so that 0 is today.
func days(d time.Duration) int { return int(math.Floor(d.Hours() / 24)) }

// sendCertificate tells of the certificate, and keeps it for those who ask how the bus fares.
func (h *hub) sendCertificate(f door.Fault) {
	h.certificate.Store(&f)
	h.send(f)
}

// unprotected lists what lays the bus open now, as part and reason.
func (h *hub) unprotected() []string {
	fs := h.cfg.exposed()
	if f := h.certificate.Load(); f != nil && f.Reason != "" {
		fs = append(fs, *f)
	}
	var texts []string
	for _, f := range fs {
		texts = append(texts, f.Part+" "+f.Reason)
	}
	return texts
}

// exposed are the problems that its owner has chosen: messages in the clear on a network.
func (c Config) exposed() []door.Fault {
	var fs []door.Fault
	if where := c.Broker.Exposed(); where != "" {
		fs = append(fs, door.Fault{Part: plaintextPart, Reason: overPlaintext, Detail: "passwords and messages can be read and changed on the way: broker." + where})
	}
	if where := c.homeBroker().Exposed(); where != "" && c.HomeAssistant.Enabled {
		fs = append(fs, door.Fault{Part: plaintextHomePart, Reason: overPlaintext, Detail: "passwords and remote codes can be read on the way: home_assistant.broker: " + where})
	}
	return fs
}

// homeBroker is the broker that Home Assistant has of its own; its URL is "" where it has none.
func (c Config) homeBroker() broker.Config {
	ha := c.HomeAssistant
	return broker.Config{Mode: broker.External, URL: ha.Broker, User: ha.User, PasswordFile: ha.PasswordFile, CA: ha.CA, PlaintextAnywhere: ha.PlaintextAnywhere}
}
