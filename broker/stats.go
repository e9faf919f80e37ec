package broker

import (
	"cmp"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Stats is what the embedded broker knows of itself at one moment; no secret and no message is
// in it. Totals run from its start and never go down.
type Stats struct {
	Since  time.Time `json:"since"`  // its start
	Uptime float64   `json:"uptime"` // seconds since then, whatever the clock was set to

	Connections int `json:"connections"` // logged in
	LoggingIn   int `json:"logging_in"`  // connected, and not logged in yet
	Sessions    int `json:"sessions"`    // of clients that are connected or may come back
	Users       int `json:"users"`       // who may connect, doorhub itself left out
	Retained    int `json:"retained"`    // messages
	Queued      int `json:"queued"`      // messages of QoS 1 and 2 that clients have not acknowledged
	QueueBytes  int `json:"queue_bytes"` // that they take
	Unwritten   int `json:"unwritten"`   // bytes on their way out to slow connections
	LogBytes    int `json:"log_bytes"`   // on disk, of the sessions that are kept

	In      Flow   `json:"in"`
	Out     Flow   `json:"out"`
	Dropped uint64 `json:"dropped"` // messages of QoS 0 to clients too far behind
	Totals

	Unkept           string        `json:"unkept,omitempty"`  // why retained or queued messages are not written to the disk
	Flooding         []string      `json:"flooding"`          // users
	BlockedUsers     []string      `json:"blocked_users"`     // their logins are turned away, except from where they have been before
	BlockedAddresses []string      `json:"blocked_addresses"` // likewise
	Clients          []ClientStats `json:"clients"`           // connected or expected back, by user and id
}

// Flow is what went one way.
type Flow struct {
	Messages uint64 `json:"messages"` // PUBLISH packets
	Packets  uint64 `json:"packets"`  // of all types
	Bytes    uint64 `json:"bytes"`    // of these, without those of TLS and below
}

// Totals count what happened since the start.
type Totals struct {
	Logins          uint64 `json:"logins"`           // that went well
	RefusedLogins   uint64 `json:"refused_logins"`   // wrong passwords and certificates, forbidden wills
	TurnedAway      uint64 `json:"turned_away"`      // connections: from blocked addresses, or too many at the login
	RefusedMessages uint64 `json:"refused_messages"` // publications that the sender's role forbids
	RefusedFilters  uint64 `json:"refused_filters"`  // subscriptions that the client's role forbids
	Floods          uint64 `json:"floods"`           // users cut for sending too fast
	LoginBlocks     uint64 `json:"login_blocks"`     // of users and addresses
	Overflows       uint64 `json:"overflows"`        // sessions that ended because too much waited for them
	Stuck           uint64 `json:"stuck"`            // connections cut because nobody read from them
	Panics          uint64 `json:"panics"`           // caught; each cost its sender the connection
}

// ClientStats is one client.
type ClientStats struct {
	User    string    `json:"user"`
	Role    Role      `json:"role,omitempty"`
	Client  string    `json:"client"`           // its id
	Remote  string    `json:"remote,omitempty"` // address and port; "inside": the hub itself; "": it is away
	Version string    `json:"version"`          // of MQTT: 3.1.1 or 5
	TLS     bool      `json:"tls"`
	Since   time.Time `json:"since,omitzero"` // when it connected; zero: it is away
	Seen    time.Time `json:"seen,omitzero"`  // when something last came from it; zero: not since the broker's start

	In         Flow   `json:"in"` // on this connection, as what follows
	Out        Flow   `json:"out"`
	Dropped    uint64 `json:"dropped"`
	Queued     int    `json:"queued"` // as in Stats
	QueueBytes int    `json:"queue_bytes"`
	InFlight   int    `json:"in_flight"` // of the queued: sent and not acknowledged
	Unwritten  int    `json:"unwritten"`
}

// Rates are what went both ways, a second.
type Rates struct {
	In  Rate `json:"in"`
	Out Rate `json:"out"`
}

// Rate is a Flow a second.
type Rate struct {
	Messages float64 `json:"messages"`
	Packets  float64 `json:"packets"`
	Bytes    float64 `json:"bytes"`
}

// Rates returns the rates between an earlier look and this one; with none, since the start.
func (s Stats) Rates(before Stats) Rates {
	seconds := s.Uptime - before.Uptime
	return Rates{s.In.since(before.In, seconds), s.Out.since(before.Out, seconds)}
}

// Rates returns the rates of one client within so many seconds, at the begin of which it was as
// before says; another connection of its, or none, counts as a new one.
func (c ClientStats) Rates(before ClientStats, seconds float64) Rates {
	if !c.Since.Equal(before.Since) || c.Remote != before.Remote {
		before = ClientStats{}
	}
	return Rates{c.In.since(before.In, seconds), c.Out.since(before.Out, seconds)}
}

func (f Flow) since(before Flow, seconds float64) Rate {
	if seconds <= 0 {
		return Rate{}
	}
	return Rate{
		float64(f.Messages-before.Messages) / seconds,
		float64(f.Packets-before.Packets) / seconds,
		float64(f.Bytes-before.Bytes) / seconds,
	}
}

func (f *Flow) add(g Flow) {
	f.Messages += g.Messages
	f.Packets += g.Packets
	f.Bytes += g.Bytes
}

// Stats looks at the broker. It costs about a microsecond for each client.
func (s *Server) Stats() Stats {
	st := Stats{
		Since: s.began.UTC(), Uptime: time.Since(s.began).Seconds(), Users: len(s.users.List()), Retained: s.mq.Topics.Retained.Len() - len(s.mq.Topics.Messages("$SYS/#")),
		LoggingIn: s.lobby.count(), LogBytes: s.kept.bytes(), Totals: s.totals.now(), Flooding: s.Flooding(),
	}
	st.BlockedAddresses, st.BlockedUsers = s.Blocked()
	s.mu.Lock()
	sessions := slices.Collect(maps.Values(s.sessions))
	if err := s.wrong; err != nil {
		st.Unkept = err.Error()
	}
	st.In, st.Out, st.Dropped = s.past.flows()
	for c := range s.conns {
		in, out, dropped := c.counts.flows()
		st.In.add(in)
		st.Out.add(out)
		st.Dropped += dropped
	}
	s.mu.Unlock()
	for _, x := range sessions {
		c := x.stats()
		c.Role = s.users.role(c.User)
		st.count(c)
	}
	slices.SortFunc(st.Clients, func(a, b ClientStats) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Client, b.Client))
	})
	return st
}

func (st *Stats) count(c ClientStats) {
	st.Sessions++
	if c.Remote != "" {
		st.Connections++
	}
	st.Queued += c.Queued
	st.QueueBytes += c.QueueBytes
	st.Unwritten += c.Unwritten
	st.Clients = append(st.Clients, c)
}

func (x *session) stats() ClientStats {
	x.mu.Lock()
	defer x.mu.Unlock()
	c := ClientStats{
		User: x.user, Client: strings.TrimPrefix(x.id, x.user+"/"), Version: "3.1.1", Seen: x.seen,
		Queued: x.queue.n, QueueBytes: x.bytes, InFlight: x.flying,
	}
	if x.version == 5 {
		c.Version = "5"
	}
	if x.conn == nil {
		c.InFlight = 0
		return c
	}
	c.Remote, c.TLS, c.Since, c.Seen = remote(x.conn), socket(x.conn.Conn) != x.conn.Conn, x.conn.began, x.conn.counts.seen()
	c.In, c.Out, c.Dropped = x.conn.counts.flows()
	c.Unwritten = x.conn.out.pending()
	return c
}

func remote(c net.Conn) string {
	if address(c.RemoteAddr()) == "" {
		return "inside"
	}
	return c.RemoteAddr().String()
}

// bytes returns the size of the log's files, which another goroutine writes meanwhile.
func (l *keptLog) bytes() (n int) {
	names, _ := filepath.Glob(filepath.Join(l.dir, "*"+logSuffix)) // fails for a bad pattern only
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			n += int(info.Size())
		}
	}
	return n
}

// LastSeen returns when something last came from each user since the broker's start.
func (s *Server) LastSeen() map[string]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := maps.Clone(s.lastSeen)
	for _, x := range s.sessions {
		if at := x.stats().Seen; at.After(seen[x.user]) {
			seen[x.user] = at
		}
	}
	return seen
}
