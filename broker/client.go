package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// What a caller may want to know of a failed exchange with the broker.
var (
	ErrDown     = errors.New("not connected to the broker")         // nothing was sent, or nobody knows
	ErrRefused  = errors.New("the broker refused the subscription") // its rules forbid the filter
	ErrOverflow = errors.New("messages came faster than they were handled: some are lost")
)

// Times by which the client gives up, and how it tries again.
const (
	connectPatience = 10 * time.Second
	answerPatience  = 10 * time.Second // for an acknowledgement
	firstRetry      = time.Second
	lastRetry       = 30 * time.Second
	steady          = 15 * time.Second // a connection that held so long starts the retries anew
	subscribeTries  = 3
)

// ClientConfig says how a client reaches its broker and who it is there.
type ClientConfig struct {
	URL      string                                      // mqtt://host:port or mqtts://host:port, several of one cluster by commas; unused with Conn
	Conn     func(ctx context.Context) (net.Conn, error) // makes the connection instead, as Server.Dial
	TLS      *tls.Config                                 // for mqtts; nil: the system's CAs
	User     string
	Token    string
	ClientID string        // must differ between the clients of one user
	Will     *Message      // told by the broker when the client is gone without goodbye
	Keep     []Keep        // what the broker keeps for the client while it is away; none: it forgets the client
	Retry    time.Duration // first pause between tries, doubled up to 30 s; 0: 1 s
	Queue    int           // received messages waiting to be handled; 0: 1024
	// Problem is told of each change of what is wrong: the connection cannot be made or was
	// lost, ErrRefused, ErrOverflow. nil: only the log is. It must not block.
	Problem func(error)
	Log     *slog.Logger // nil: none
}

// Client is a connection to a broker that is made again whenever it is lost. It is safe for
// use by many goroutines.
type Client struct {
	cfg    ClientConfig
	urls   []string
	log    *slog.Logger
	cancel context.CancelFunc
	queue  chan arrival
	again  chan error // asks for a new connection
	done   sync.WaitGroup

	mu    sync.Mutex
	url   string        // of urls, in use or last tried
	now   paho.Client   // nil while down
	up    chan struct{} // closed while up
	subs  []subscription
	onUp  []func()
	wrong error // the last problem told; nil when all is well

	since    time.Time // when the connection was made, or lost
	connects uint64    // connections made
}

type subscription struct {
	filter string
	qos    byte
	handle func(context.Context, Message) error
}

// Dial starts a client, which lives until ctx is done or Close. It returns before there is a
// connection, since a hub must start without its broker, too: Ready waits for one. The error
// tells only of settings that can never work.
func Dial(ctx context.Context, cfg ClientConfig) (*Client, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &Client{
		cfg: cfg, urls: splitURLs(cfg.URL), log: cfg.Log.With("component", "bus"), cancel: cancel,
		queue: make(chan arrival, cfg.Queue), again: make(chan error, 1), up: make(chan struct{}), since: time.Now(),
	}
	c.url = c.urls[0]
	for _, k := range cfg.Keep {
		c.subs = append(c.subs, subscription{k.Filter, 1, k.Handle})
	}
	c.done.Go(func() { c.keepConnected(ctx) })
	c.done.Go(func() { c.handle(ctx) })
	return c, nil
}

func (cfg *ClientConfig) fill() error {
	var errs []error
	if cfg.Conn == nil {
		errs = append(errs, validURLs(cfg.URL, true))
	}
	for _, k := range cfg.Keep {
		errs = append(errs, ValidFilter(k.Filter))
	}
	if cfg.ClientID == "" {
		errs = append(errs, errors.New("bus client: needs a client id"))
	}
	if cfg.Will != nil {
		errs = append(errs, ValidTopic(cfg.Will.Topic))
	}
	if cfg.Queue <= 0 {
		cfg.Queue = 1024
	}
	if cfg.Retry <= 0 {
		cfg.Retry = firstRetry
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return errors.Join(errs...)
}

// keepConnected makes one connection after the other, each with a client of its own: paho's
// own reconnecting sends again what it had stored, and an old state must not follow a new one.
// It pauses when every address has been tried.
func (c *Client) keepConnected(ctx context.Context) {
	pause, tried := c.cfg.Retry, 0
	for n := 0; ; n++ {
		start := time.Now()
		err := c.connection(ctx, c.urls[n%len(c.urls)])
		if ctx.Err() != nil {
			return
		}
		c.problem(err)
		if time.Since(start) > steady {
			pause, tried = c.cfg.Retry, 0
		}
		if tried++; tried < len(c.urls) {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause, tried = min(2*pause, lastRetry), 0
	}
}

// connection lives through one connection and returns why it ended.
func (c *Client) connection(ctx context.Context, url string) error {
	select {
	case <-c.again: // meant for the connection before
	default:
	}
	c.mu.Lock()
	c.url = url
	c.mu.Unlock()
	w := &wire{keeps: len(c.cfg.Keep) > 0, lost: make(chan error, 1)}
	defer w.end()
	p := paho.NewClient(c.options(ctx, url, w))
	if err := wait(ctx, p.Connect(), connectPatience+time.Second); err != nil {
		p.Disconnect(0)
		return fmt.Errorf("connect to the broker: %w", c.explain(err))
	}
	defer p.Disconnect(250)
	if err := c.raise(ctx, p); err != nil {
		return err
	}
	defer c.lower()
	for _, f := range c.callbacks() {
		f()
	}
	select {
	case err := <-w.lost:
		return fmt.Errorf("connection to the broker lost: %w", err)
	case err := <-c.again:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// anew asks for a new connection.
func (c *Client) anew(err error) {
	select {
	case c.again <- err:
	default: // asked for already
	}
}

// raise subscribes to all that was asked for and marks the client as up.
func (c *Client) raise(ctx context.Context, p paho.Client) error {
	var refused error
	for n := 0; ; {
		c.mu.Lock()
		todo := slices.Clone(c.subs[n:])
		if len(todo) == 0 {
			c.now = p
			c.since = time.Now()
			c.connects++
			close(c.up)
			c.mu.Unlock()
			c.problem(refused)
			return nil
		}
		c.mu.Unlock()
		err := c.subscribe(ctx, p, todo)
		if err != nil && !errors.Is(err, ErrRefused) {
			return err
		}
		refused = errors.Join(refused, err)
		n += len(todo)
	}
}

func (c *Client) lower() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.up = nil, make(chan struct{})
	c.since = time.Now()
}

func (c *Client) callbacks() []func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.onUp)
}

// subscribe asks for filters and reads the answer, since paho calls a refusal a success. It
// tries again, because mochi-mqtt refuses a packet id that one of its own deliveries has.
func (c *Client) subscribe(ctx context.Context, p paho.Client, subs []subscription) error {
	want := map[string]byte{}
	for _, s := range subs {
		want[s.filter] = max(s.qos, want[s.filter])
	}
	for try := 1; ; try++ {
		t := p.SubscribeMultiple(want, nil)
		if err := wait(ctx, t, answerPatience); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		for filter, code := range t.(*paho.SubscribeToken).Result() {
			if code <= 2 {
				delete(want, filter)
			}
		}
		if len(want) == 0 {
			return nil
		}
		if try == subscribeTries {
			return refusal(want)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func refusal(filters map[string]byte) error {
	var errs []error
	for f := range filters {
		errs = append(errs, fmt.Errorf("%w: %s: check the role or the rules of this user", ErrRefused, f))
	}
	slices.SortFunc(errs, func(a, b error) int { return compareText(a, b) })
	return errors.Join(errs...)
}

// Subscribe has handle called with each message that filter matches, from now on and after
// every reconnect. One goroutine calls all handlers of a client, in the order of arrival; a
// handler may be slow or publish, but messages wait behind it and the queue is bounded. While
// the client is down the filter is only noted and a refusal told to Problem later.
func (c *Client) Subscribe(ctx context.Context, filter string, qos byte, handle func(Message)) error {
	if err := ValidFilter(filter); err != nil || qos > 2 {
		return errors.Join(err, validQoS(qos))
	}
	s := subscription{filter, qos, func(_ context.Context, m Message) error { handle(m); return nil }}
	c.mu.Lock()
	c.subs = append(c.subs, s)
	p := c.now
	c.mu.Unlock()
	if p == nil {
		return nil
	}
	err := c.subscribe(ctx, p, []subscription{s})
	if err == nil || errors.Is(err, ErrRefused) {
		return err
	}
	c.anew(err) // the filter is in the list for it
	return ctx.Err()
}

// OnUp has f called after each connect and reconnect, with all subscriptions in place and Up
// true. f may publish; it holds up only the noticing of the next loss.
func (c *Client) OnUp(f func()) {
	c.mu.Lock()
	c.onUp = append(c.onUp, f)
	already := c.now != nil
	c.mu.Unlock()
	if already {
		f()
	}
}

// Up reports whether the client is connected, with its subscriptions in place.
func (c *Client) Up() bool { return c.current() != nil }

func (c *Client) current() paho.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil || !c.now.IsConnectionOpen() {
		return nil
	}
	return c.now
}

// Ready waits until the client is up. When ctx ends first, the error tells why it is not.
func (c *Client) Ready(ctx context.Context) error {
	c.mu.Lock()
	up := c.up
	c.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		return errors.Join(ErrDown, c.wrong, ctx.Err())
	}
}

// Publish sends one message and waits: at QoS 0 until it is written, above until the broker
// has it, at most ten seconds. With ErrDown the message was not sent, or the connection was
// lost before the answer, so that nobody knows; it will not be sent later. A broker that does
// not answer may be cut off from its cluster: the connection is made anew.
func (c *Client) Publish(ctx context.Context, m Message) error {
	if err := errors.Join(ValidTopic(m.Topic), validQoS(m.QoS)); err != nil {
		return err
	}
	p := c.current()
	if p == nil {
		return fmt.Errorf("publish %s: %w", m.Topic, ErrDown)
	}
	payload := m.Payload
	if payload == nil {
		payload = []byte{}
	}
	err := wait(ctx, p.Publish(m.Topic, m.QoS, m.Retain, payload), answerPatience)
	if errors.Is(err, errSilent) {
		c.anew(err)
	}
	if err != nil {
		return fmt.Errorf("publish %s: %w", m.Topic, err)
	}
	return nil
}

func validQoS(qos byte) error {
	if qos > 2 {
		return fmt.Errorf("qos %d: use 0, 1 or 2", qos)
	}
	return nil
}

// Close says goodbye, so that the will is not told, and ends the client.
func (c *Client) Close() {
	c.cancel()
	c.done.Wait()
}

// problem logs and tells a change of what is wrong, not each repetition.
func (c *Client) problem(err error) {
	c.mu.Lock()
	same := compareText(err, c.wrong) == 0
	c.wrong = err
	c.mu.Unlock()
	if same || err == nil {
		return
	}
	c.log.Warn("bus problem", "error", err)
	if c.cfg.Problem != nil {
		c.cfg.Problem(err)
	}
}
