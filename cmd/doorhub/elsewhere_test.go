package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/doorhub/doorhub/broker"
)

// elsewhere is a broker that is not ours: one process, or those of a cluster, run with the
// sample of deploy/brokers and the rules that doorhub prints.
type elsewhere struct {
	nodes []*node // one, or the cluster's
	ca    string  // file
	plain string  // address of NATS's own protocol

	write func(users map[string]broker.Role) // writes rules and passwords
}

// reload has the broker go by the rules of these users.
func (e *elsewhere) reload(tb testing.TB, users map[string]broker.Role) {
	tb.Helper()
	e.write(users)
	for _, n := range e.nodes {
		must(tb, n.cmd.Process.Signal(syscall.SIGHUP))
	}
}

// node is one process of it.
type node struct {
	address string
	command []string
	up      string // what it logs when it is there

	cmd  *exec.Cmd
	done chan struct{}
	mu   sync.Mutex
	log  bytes.Buffer
}

// observer may do everything; the rules that doorhub prints do not name it.
const observer = "observer"

// usersElsewhere are one of each role, and another sensor.
func usersElsewhere() map[string]broker.Role {
	return map[string]broker.Role{"hub": broker.RoleHub, "homeassistant": broker.RoleHomeAssistant, "kitchen": broker.RoleSensor,
		"keypad": broker.RoleReader, "viewer": broker.RoleViewer, "cellar": broker.RoleSensor}
}

// tokenOf is a user's password in these tests.
func tokenOf(user string) string { return "token-of-" + user }

// printedRules are what doorhub broker acl prints for the users.
func printedRules(tb testing.TB, target string, users map[string]broker.Role) string {
	tb.Helper()
	args := []string{"broker", "acl", "--for", target}
	for _, name := range sortedKeys(users) {
		args = append(args, "--user", name+"="+string(users[name]))
	}
	got := command(tb, "", args...)
	if got.code != 0 || got.err != "" {
		tb.Fatalf("doorhub %q: %+v", args, got)
	}
	return got.out
}

// sample is a file of deploy/brokers with some of its text changed, which must be there.
func sample(tb testing.TB, name string, change ...string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy/brokers", name))
	must(tb, err)
	for i := 0; i < len(change); i += 2 {
		if !strings.Contains(string(text), change[i]) {
			tb.Fatalf("%s does not say %q", name, change[i])
		}
	}
	return strings.NewReplacer(change...).Replace(string(text))
}

// mosquittoElsewhere runs Debian's.
func mosquittoElsewhere(tb testing.TB) *elsewhere {
	tb.Helper()
	bin, passwd := program(tb, "mosquitto"), program(tb, "mosquitto_passwd")
	dir := tb.TempDir()
	certs, data := filepath.Join(dir, "certs"), filepath.Join(dir, "data")
	must(tb, broker.MakeCA(certs, "127.0.0.1"))
	must(tb, os.Mkdir(data, 0o700))
	e := &elsewhere{ca: filepath.Join(certs, broker.CACertFile)}
	e.write = func(users map[string]broker.Role) {
		must(tb, os.WriteFile(filepath.Join(dir, "doorhub.acl"), []byte(printedRules(tb, broker.Mosquitto, users)+
			"\nuser "+observer+"\ntopic readwrite #\ntopic readwrite $SYS/#\n"), 0o600))
		var passwords strings.Builder
		for _, user := range append(sortedKeys(users), observer) {
			fmt.Fprintf(&passwords, "%s:%s\n", user, tokenOf(user))
		}
		file := filepath.Join(dir, "doorhub.passwords")
		must(tb, os.WriteFile(file, []byte(passwords.String()), 0o600))
		must(tb, exec.Command(passwd, "-U", file).Run())
	}
	e.write(usersElsewhere())
	address := freeAddr(tb)
	_, port, _ := net.SplitHostPort(address)
	text := sample(tb, "mosquitto.conf", "/etc/mosquitto/doorhub", dir+"/doorhub", "/etc/mosquitto/certs", certs,
		"listener 8883", "listener "+port+" 127.0.0.1")
	must(tb, os.WriteFile(filepath.Join(data, "doorhub.conf"), []byte(text), 0o600))
	debians := fmt.Sprintf("persistence true\npersistence_location %s/\ninclude_dir %s\n", data, data)
	if os.Geteuid() == 0 {
		debians += "user root\n" // else it becomes one who cannot read the test's folder
	}
	conf := filepath.Join(dir, "mosquitto.conf")
	must(tb, os.WriteFile(conf, []byte(debians), 0o600))
	n := &node{address: address, command: []string{bin, "-v", "-c", conf}, up: " running"}
	n.start(tb)
	e.nodes = []*node{n}
	return e
}

// start runs the process and waits until it is there.
func (n *node) start(tb testing.TB) {
	tb.Helper()
	n.mu.Lock()
	n.log.Reset()
	n.mu.Unlock()
	n.cmd, n.done = exec.Command(n.command[0], n.command[1:]...), make(chan struct{})
	n.cmd.Stdout, n.cmd.Stderr = n, n
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(tb, n.cmd.Start())
	cmd, done := n.cmd, n.done
	go func() { _ = cmd.Wait(); close(done) }()
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		if tb.Failed() {
			tb.Logf("%s: the end of its log:\n%s", n.command[len(n.command)-1], n.tail())
		}
	})
	until(tb, "the broker to run", func() bool {
		select {
		case <-done:
			tb.Fatalf("%q ended:\n%s", n.command, n.tail())
		default:
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		return bytes.Contains(n.log.Bytes(), []byte(n.up))
	})
}

// Write takes what the process logs.
func (n *node) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.log.Write(p)
}

func (n *node) tail() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := n.log.String()
	return text[max(0, len(text)-4000000):]
}

// end sends the process a signal and waits for its end.
func (n *node) end(tb testing.TB, sig os.Signal) {
	tb.Helper()
	must(tb, n.cmd.Process.Signal(sig))
	select {
	case <-n.done:
	case <-soon(tb).Done():
		tb.Fatalf("%q does not end", n.command)
	}
}

func (e *elsewhere) urls() string {
	var urls []string
	for _, n := range e.nodes {
		urls = append(urls, "mqtts://"+n.address)
	}
	return strings.Join(urls, ", ")
}

// asBus makes it the bus of a hub.
func (e *elsewhere) asBus(tb testing.TB) func(*Config) {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "password")
	must(tb, os.WriteFile(file, []byte(tokenOf("hub")+"\n"), 0o600))
	return func(c *Config) {
		b := broker.Defaults()
		b.Mode, b.URL, b.User, b.PasswordFile, b.CA = broker.External, e.urls(), "hub", file, e.ca
		c.Broker = b
	}
}

// login is how a user's client connects: with its token, in a session of its own.
func (e *elsewhere) login(tb testing.TB, user string) broker.ClientConfig {
	tb.Helper()
	pem, err := os.ReadFile(e.ca)
	must(tb, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return broker.ClientConfig{URL: e.urls(), TLS: &tls.Config{RootCAs: roots}, User: user, Token: tokenOf(user),
		ClientID: user, Retry: 50 * time.Millisecond}
}

// client connects a user, and is closed with the test if not before.
func (e *elsewhere) client(tb testing.TB, user string, change ...func(*broker.ClientConfig)) *broker.Client {
	tb.Helper()
	c := e.dial(tb, user, change...)
	must(tb, c.Ready(soon(tb)))
	return c
}

// dial does not wait for the connection.
func (e *elsewhere) dial(tb testing.TB, user string, change ...func(*broker.ClientConfig)) *broker.Client {
	tb.Helper()
	cc := e.login(tb, user)
	for _, f := range change {
		f(&cc)
	}
	c, err := broker.Dial(context.Background(), cc)
	must(tb, err)
	tb.Cleanup(c.Close)
	return c
}

// dies connects a user with a will, and cuts the line when it has been let in.
func (e *elsewhere) dies(tb testing.TB, user string, will broker.Message) {
	tb.Helper()
	var line net.Conn
	cut := make(chan struct{})
	c := e.client(tb, user, func(cc *broker.ClientConfig) {
		cc.Will = &will
		d := tls.Dialer{Config: cc.TLS}
		cc.Conn = func(ctx context.Context) (conn net.Conn, err error) {
			select {
			case <-cut:
				return nil, net.ErrClosed
			default:
			}
			line, err = d.DialContext(ctx, "tcp", e.nodes[0].address)
			return line, err
		}
	})
	close(cut)
	must(tb, line.(*tls.Conn).NetConn().Close())
	c.Close()
}

// id gives a client another id than its user's name.
func id(id string) func(*broker.ClientConfig) {
	return func(cc *broker.ClientConfig) { cc.ClientID = id }
}

// subscribed reports whether the broker took the subscription.
func subscribed(tb testing.TB, c *broker.Client, filter string, qos byte, f func(broker.Message)) bool {
	tb.Helper()
	err := c.Subscribe(soon(tb), filter, qos, f)
	if err != nil && !errors.Is(err, broker.ErrRefused) {
		tb.Fatalf("subscribe to %s: %v", filter, err)
	}
	return err == nil
}

// natsServer finds the program that make puts into build/tools, or skips the test saying so.
func natsServer(tb testing.TB) string {
	tb.Helper()
	if path := os.Getenv("DOORHUB_NATS_SERVER"); path != "" {
		return path
	}
	found, err := filepath.Glob("../../build/tools/*/nats-server")
	must(tb, err)
	if len(found) > 0 {
		path, err := filepath.Abs(found[len(found)-1])
		must(tb, err)
		return path
	}
	fmt.Fprintf(os.Stderr, "SKIPPED, NOT TESTED: %s: nats-server is not here: make packages-test\n", tb.Name())
	tb.Skip("SKIPPED, NOT TESTED: nats-server is not here: make packages-test")
	return ""
}

// natsElsewhere runs three nodes on loopback.
func natsElsewhere(tb testing.TB) *elsewhere {
	tb.Helper()
	bin, dir := natsServer(tb), tb.TempDir()
	certs := filepath.Join(dir, "certs")
	must(tb, os.Mkdir(certs, 0o700))
	makeClusterCert(tb, certs)
	names := []string{"nats1", "nats2", "nats3"}
	e := &elsewhere{ca: filepath.Join(certs, "ca.crt"), plain: freeAddr(tb)}
	e.write = func(users map[string]broker.Role) {
		rules := strings.Replace(printedRules(tb, broker.NATS, users), "users: [",
			fmt.Sprintf("users: [\n  { user: %q, password: %q }\n", observer, tokenOf(observer)), 1)
		var passwords strings.Builder
		for _, user := range sortedKeys(users) {
			hash, err := bcrypt.GenerateFromPassword([]byte(tokenOf(user)), bcrypt.MinCost) // or the token itself
			must(tb, err)
			fmt.Fprintf(&passwords, "password_%s: %q\n", user, hash)
		}
		for _, name := range names {
			must(tb, os.WriteFile(filepath.Join(dir, name, "doorhub-users.conf"), []byte(rules), 0o600))
			must(tb, os.WriteFile(filepath.Join(dir, name, "doorhub-passwords.conf"), []byte(passwords.String()), 0o600))
		}
	}
	routes := []string{freeAddr(tb), freeAddr(tb), freeAddr(tb)}
	for i, name := range names {
		home := filepath.Join(dir, name)
		must(tb, os.Mkdir(home, 0o700))
		address, plain := freeAddr(tb), freeAddr(tb)
		if i == 0 {
			plain = e.plain
		}
		text := sample(tb, "nats.conf", "server_name: nats1", "server_name: "+name, "127.0.0.1:4222", plain, "0.0.0.0:8883", address,
			"0.0.0.0:6222", routes[i], "nats1.lan:6222", routes[0], "nats2.lan:6222", routes[1], "nats3.lan:6222", routes[2],
			"/etc/nats/certs", certs, "/var/lib/nats", home)
		conf := filepath.Join(home, "nats.conf")
		must(tb, os.WriteFile(conf, []byte(text), 0o600))
		e.nodes = append(e.nodes, &node{address: address, command: []string{bin, "-c", conf}, up: "Server is ready"})
	}
	e.write(usersElsewhere())
	for _, n := range e.nodes {
		n.start(tb)
	}
	e.settle(tb)
	return e
}

// settle waits until everybody is let in at every node.
func (e *elsewhere) settle(tb testing.TB) {
	tb.Helper()
	for i := range e.nodes {
		c := e.dial(tb, observer, id(fmt.Sprintf("settle-%d", i)), func(cc *broker.ClientConfig) { cc.URL = strings.Split(cc.URL, ", ")[i] })
		untilIn(tb, failover, "a node to let clients in", c.Up)
		c.Close()
	}
}

// makeClusterCert writes a CA and a certificate by it for loopback, for servers and for the
// clients that they are to each other.
func makeClusterCert(tb testing.TB, dir string) {
	tb.Helper()
	now := time.Now()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cluster"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	server := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(tb, err)
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	must(tb, err)
	der, err := x509.CreateCertificate(rand.Reader, server, ca, key.Public(), caKey)
	must(tb, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(tb, err)
	for name, block := range map[string]*pem.Block{"ca.crt": {Type: "CERTIFICATE", Bytes: caDER},
		"server.crt": {Type: "CERTIFICATE", Bytes: der}, "server.key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		must(tb, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
}
