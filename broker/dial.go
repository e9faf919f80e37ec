package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	neturl "net/url"
	"os"
	"syscall"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

const (
	keepAlive    = 30 * time.Second
	mostReceived = 65 << 20 // bytes in one packet from a broker: the most that max_hub_packet allows, and some
)

// errSilent is why a broker is taken for lost whose connection is there.
var errSilent = errors.New("no answer")

// options sets up paho for one connection, after which it is thrown away.
func (c *Client) options(ctx context.Context, url string, w *wire) *paho.ClientOptions {
	o := paho.NewClientOptions()
	o.AddBroker("tcp://broker") // for paho to have one; the next line decides
	o.SetCustomOpenConnectionFn(func(*neturl.URL, paho.ClientOptions) (net.Conn, error) { return c.open(ctx, url) })
	o.SetProtocolVersion(4).SetClientID(c.cfg.ClientID).SetUsername(c.cfg.User).SetPassword(c.cfg.Token)
	o.SetCleanSession(!w.keeps).SetAutoReconnect(false).SetConnectRetry(false)
	o.SetOrderMatters(true).SetAutoAckDisabled(true)
	o.SetKeepAlive(keepAlive).SetPingTimeout(answerPatience)
	o.SetConnectTimeout(connectPatience).SetWriteTimeout(answerPatience)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { c.enqueue(w, m) })
	o.SetConnectionLostHandler(func(_ paho.Client, err error) { w.end(); w.lost <- err })
	if will := c.cfg.Will; will != nil {
		o.SetBinaryWill(will.Topic, will.Payload, will.QoS, will.Retain)
	}
	return o
}

// open makes the network connection.
func (c *Client) open(ctx context.Context, url string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	conn, err := c.dial(ctx, url)
	if err != nil {
		return nil, err
	}
	return newGuard(conn, mostReceived), nil
}

func (c *Client) dial(ctx context.Context, url string) (net.Conn, error) {
	if c.cfg.Conn != nil {
		return c.cfg.Conn(ctx)
	}
	u, err := neturl.Parse(url)
	if err != nil {
		return nil, err
	}
	d := &net.Dialer{KeepAlive: keepAlive}
	if u.Scheme == "mqtts" {
		return (&tls.Dialer{NetDialer: d, Config: c.cfg.TLS}).DialContext(ctx, "tcp", hostPort(u, "8883"))
	}
	return d.DialContext(ctx, "tcp", hostPort(u, "1883"))
}

func hostPort(u *neturl.URL, port string) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
}

// explain says what to do about the errors that an owner can do something about.
func (c *Client) explain(err error) error {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("the broker's certificate is not signed by the given CA: give the ca.crt of whoever made it as ca: %w", err)
	case errors.As(err, &host):
		return fmt.Errorf("the broker's certificate is for another host: use its name in url, or make one for this: %w", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the broker's certificate has ended or not begun: renew it there, or set the clock here: %w", err)
	case errors.As(err, &invalid):
		return fmt.Errorf("the broker's certificate is not good for a broker: make another there: %w", err)
	case errors.As(err, &header):
		return fmt.Errorf("the broker speaks no TLS at that port: use its TLS port, often 8883: %w", err)
	case ourCertRefused(err) && c.cfg.TLS != nil && c.cfg.TLS.GetClientCertificate != nil:
		return fmt.Errorf("the broker does not accept client_cert: use one by its CA, in its time, of user %q: %w", c.cfg.User, err)
	case ourCertRefused(err):
		return fmt.Errorf("the broker asks for a client certificate: set client_cert and client_key: %w", err)
	case errors.Is(err, packets.ErrorRefusedNotAuthorised), errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword):
		return fmt.Errorf("the broker does not let user %q in: check its name, token and will: %w", c.cfg.User, err)
	}
	return err
}

// wait waits for paho's answer; a lost connection is ErrDown.
func wait(ctx context.Context, t paho.Token, patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-t.Done():
		if err := t.Error(); err != nil {
			return fmt.Errorf("%w: %w", ErrDown, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("%w: %w in %s", ErrDown, errSilent, patience)
	}
}

func compareText(a, b error) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) }

// Dial connects to the broker within the process, without a port: for ClientConfig.Conn. The
// login is the same as everybody's.
func (s *Server) Dial(context.Context) (net.Conn, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	near, err := fileConn(fds[0])
	far, err2 := fileConn(fds[1])
	if err := errors.Join(err, err2); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	s.admitConn(far, "inside")
	return near, nil
}

func fileConn(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "bus")
	defer f.Close()
	return net.FileConn(f)
}
