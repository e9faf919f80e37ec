package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Keys of log lines.
const (
	keyUser   = "user"
	keyClient = "client"
	keyRemote = "remote"
)

const (
	sessionLife   = 24 * time.Hour   // how long a session that asks for it is kept while its client is away
	sysInterval   = 60               // seconds between $SYS messages, which only the hub may read
	closePatience = 10 * time.Second // how long Close waits for clients to go
)

// ErrClosed is returned for what needs a server that has been closed.
var ErrClosed = errors.New("the broker is closed")

// Server is the embedded broker.
type Server struct {
	cfg      Config
	users    *Users
	log      *slog.Logger
	mq       *mqtt.Server
	kept     *keptLog
	retained retained
	throttle *throttle
	routes   routes
	changes  atomic.Uint64 // of what routes depend on
	buffers  buffers

	plain, secure net.Listener // nil when not asked for
	identity      *identity    // nil without secure
	clock         func() bool  // whether the clock is right

	began  time.Time
	totals totals

	life sync.Mutex // held while a session begins, changes hands or ends; before mu

	mu       sync.Mutex
	closed   bool
	sessions map[string]*session // by client id
	deep     map[string]*session // those with filters that the broker does not serve in full
	conns    map[*conn]struct{}
	shows    []watch
	faults   []func(error)
	floods   []func(user string)
	blocks   []func(what string)
	limits   map[string]*limiter // by user
	crowds   map[string]bool     // users with as many clients as they may have
	serving  sync.WaitGroup      // connections being served
	lobby    *lobby              // the connections not yet logged in
	wrong    error               // why messages cannot be kept
	past     bygone
	lastSeen map[string]time.Time // by user, of connections that have ended
}

type watch struct {
	filter string
	f      func(user string, m Message)
}

// Start runs the embedded broker until Close. cfg.Dir must name the folder in which to keep
// retained messages and the sessions of clients that are away. Each user's rights are those of
// its role.
// A certificate that cannot be used is no error: TLS is served once its files are mended.
// What prepare registers, as by OnPublish, is in place before the first connection is taken.
func Start(cfg Config, users *Users, log *slog.Logger, prepare ...func(*Server)) (*Server, error) {
	if cfg.Mode != Embedded || cfg.Dir == "" {
		return nil, errors.New("bus: the embedded broker needs mode embedded and a folder for retained messages")
	}
	if err := cfg.validEmbedded(); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	s := &Server{
		cfg: cfg, users: users, log: log.With("component", "broker"),
		conns: map[*conn]struct{}{}, sessions: map[string]*session{}, deep: map[string]*session{}, limits: map[string]*limiter{}, crowds: map[string]bool{}, lobby: newLobby(cfg.MaxLogins),
		began: time.Now(), lastSeen: map[string]time.Time{}, clock: func() bool { return true },
	}
	s.mq = mqtt.New(options(cfg))
	if err := s.mq.AddHook(&hook{s: s}, nil); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	var err error
	if s.throttle, err = openThrottle(filepath.Join(cfg.Dir, "logins.json"), s.tellBlock); err != nil {
		s.log.Warn("logins that were blocked are free", "error", err)
	}
	if err := s.restore(); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	for _, f := range prepare {
		f(s)
	}
	if err := s.listen(); err != nil {
		return nil, errors.Join(fmt.Errorf("bus: %w", err), s.closeListeners(), s.kept.close())
	}
	if err := s.mq.Serve(); err != nil {
		return nil, errors.Join(fmt.Errorf("bus: %w", err), s.closeListeners(), s.kept.close())
	}
	users.watch(s.Cut)
	s.accept(s.plain, "plain")
	s.accept(s.secure, overTLS)
	s.log.Info("broker is up", "listen", s.Addr(), "tls_listen", s.TLSAddr())
	return s, nil
}

// options sets limits by which mochi-mqtt v2.7.9 is harmless, and silences it: its log lines
// hold whole packets, with passwords.
func options(cfg Config) *mqtt.Options {
	c := mqtt.NewDefaultServerCapabilities()
	c.MaximumMessageExpiryInterval = 0 // a retained message stays, unless it says otherwise
	c.MaximumSessionExpiryInterval = uint32(sessionLife / time.Second)
	c.MaximumClients = int64(cfg.MaxClients)
	c.ReceiveMaximum = receiveMaximum // to be told; we count, and by version 5 only
	c.TopicAliasMaximum = 0
	c.SharedSubAvailable = 0
	c.MinimumProtocolVersion = 4
	c.Compatibilities.NoInheritedPropertiesOnAck = true
	return &mqtt.Options{Capabilities: c, SysTopicResendInterval: sysInterval, Logger: slog.New(slog.DiscardHandler)}
}

func (s *Server) listen() (err error) {
	if s.cfg.Listen != "" {
		if s.plain, err = net.Listen("tcp", s.cfg.Listen); err != nil {
			return fmt.Errorf("listen: %w: is another broker running? stop it, or choose another port", err)
		}
	}
	if s.cfg.TLSListen == "" {
		return nil
	}
	l, err := net.Listen("tcp", s.cfg.TLSListen)
	if err != nil {
		return fmt.Errorf("tls_listen: %w: is another broker running? stop it, or choose another port", err)
	}
	s.identity = newIdentity(s.cfg, s.log, s.clock)
	s.secure = tls.NewListener(l, s.identity.listening())
	return nil
}

func (s *Server) closeListeners() error {
	var errs []error
	for _, l := range []net.Listener{s.plain, s.secure} {
		if l != nil {
			errs = append(errs, l.Close())
		}
	}
	return errors.Join(errs...)
}

// accept serves a listener until it is closed.
func (s *Server) accept(l net.Listener, id string) {
	if l == nil {
		return
	}
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // as too many open files: give them time to close
				s.log.Error("cannot accept connections", "error", err)
				time.Sleep(100 * time.Millisecond)
				continue
			}
			s.admitConn(c, id)
		}
	}()
}

// admitConn serves c in a goroutine. When too many are at the login, one of them is closed.
func (s *Server) admitConn(raw net.Conn, id string) {
	from := address(raw.RemoteAddr())
	if !s.throttle.welcome(from) {
		s.totals.turnedAway.Add(1)
		_ = raw.Close()
		return
	}
	var c *conn
	c = newConn(raw, s.cfg, &s.buffers, func() { s.lobby.leave(c, from) })
	c.certified = id == overTLS && s.cfg.TLSClientCA != ""
	if out, first := s.lobby.enter(c, from, time.Now()); out != nil {
		s.totals.turnedAway.Add(1)
		if first {
			s.log.Warn("too many connections that have not logged in: some are closed", keyRemote, out.RemoteAddr().String())
		}
		if out.out.abort(errCrowded); out == c {
			return
		}
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		c.release()
		_ = c.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.serving.Add(1)
	s.mu.Unlock()
	go s.serve(c, id)
}

// Addr is the plaintext address in use; "" when there is none.
func (s *Server) Addr() string { return addr(s.plain) }

// TLSAddr is the TLS address in use; "" when there is none.
func (s *Server) TLSAddr() string { return addr(s.secure) }

func addr(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// OnPublish has f called with each allowed message on a topic that filter matches, and with
// the user who published it, which the message itself does not tell: commands need it. f is
// called before the message is acknowledged, in the order of its sender, from the goroutine of
// the sender's connection: while it waits, that sender's next messages and the acknowledgement
// of this one do, so it must not wait long. Different senders' calls may come at once.
func (s *Server) OnPublish(filter string, f func(user string, m Message)) error {
	if err := ValidFilter(filter); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shows = append(s.shows, watch{filter, f})
	s.changes.Add(1)
	return nil
}

// OnFault has f called when retained or queued messages can no longer be written, and with nil
// when they can again. Until then they are acknowledged all the same: a full disk must not stop
// the house. f must only enqueue.
func (s *Server) OnFault(f func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
}

// judgeDisk tells of it when what must be kept can no longer be written, or can again.
func (s *Server) judgeDisk(err error) {
	s.mu.Lock()
	before := s.wrong
	s.wrong = err
	faults := s.faults
	s.mu.Unlock()
	if (before != nil) == (err != nil) {
		return
	}
	if err != nil {
		s.log.Error("messages cannot be kept: free or repair the disk", "error", err)
	}
	for _, f := range faults {
		f(err)
	}
}

// Close disconnects everybody, tells their wills, and stops. It waits at most ten seconds.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.mu.Unlock()
	err := s.closeListeners()
	s.mu.Lock()
	conns, sessions := slices.Collect(maps.Keys(s.conns)), slices.Collect(maps.Values(s.sessions))
	s.mu.Unlock()
	for _, x := range sessions {
		if c := x.connection(); c != nil {
			c.dismiss(packets.ErrServerShuttingDown)
		}
	}
	for _, c := range conns {
		_ = c.Close() // those that never logged in
	}
	done := make(chan error, 1)
	go func() {
		s.serving.Wait()
		for _, x := range sessions {
			x.forgetTimers()
			x.noteUnsent()
		}
		done <- errors.Join(s.mq.Close(), s.kept.close())
	}()
	select {
	case e := <-done:
		return errors.Join(err, e)
	case <-time.After(closePatience):
		return errors.Join(err, fmt.Errorf("bus: some clients were still there after %s", closePatience))
	}
}
