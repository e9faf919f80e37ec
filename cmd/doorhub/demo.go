package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

// The demo's people and secrets. Its data folder is thrown away afterwards.
const (
	demoPIN    = "246810"
	demoRemote = "97531864"
	wrongPIN   = "135792"
	demoWindow = 4 * time.Second // shorter than a real house's, so that a refusal is not waited for
)

// demo is a hub on simulated hardware, and whoever acts before it.
type demo struct {
	hub    *hub
	out    io.Writer
	sensor *broker.Client // the kitchen window's
	viewer string         // token of a user who reads
	undo   closers

	mu      sync.Mutex
	records []door.Record
	more    chan struct{} // closed and made anew at each record
}

func runDemo(a *app, c runCmd) error {
	d := &demo{out: &shared{w: a.out}, more: make(chan struct{})}
	err := d.start(a.ctx, c.Verbose)
	if err == nil {
		err = d.play(a.ctx, c.Once, a.in)
	}
	return errors.Join(err, d.undo.undo())
}

// shared is a writer for both the scene and the journal's news.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// start makes a throw-away house and brings its hub up.
func (d *demo) start(ctx context.Context, verbose bool) error {
	dir, err := os.MkdirTemp("", "doorhub-demo-")
	if err != nil {
		return err
	}
	d.undo.add("demo folder", func() error { return os.RemoveAll(dir) })
	log, err := os.OpenFile(filepath.Join(dir, "doorhub.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	d.undo.add("log", log.Close)
	cfg := demoConfig(dir)
	if err := store.CreateKey(dir); err != nil {
		return err
	}
	if err := enrolDemo(ctx, cfg); err != nil {
		return err
	}
	token, err := d.makeUsers(cfg)
	if err != nil {
		return err
	}
	began := time.Now()
	slog.SetDefault(newLog(log, verbose))
	if d.hub, err = startHub(ctx, cfg, slog.Default()); err != nil {
		return err
	}
	d.undo.add("hub", d.hub.close)
	d.hub.watch(d.saw)
	fmt.Fprintf(d.out, "doorhub %s is up after %s: broker on %s, store in %s\n", version, time.Since(began).Round(10*time.Millisecond), d.hub.server.Addr(), dir)
	return d.connectSensor(ctx, token)
}

// demoConfig is a front door with readers on both sides, all of it simulated.
func demoConfig(dir string) Config {
	cfg := Defaults()
	cfg.demo, cfg.Data, cfg.Clock = true, dir, clockTrust
	cfg.House.Window = demoWindow
	cfg.House.Liveness = door.LivenessOff // the camera shows flat portraits
	cfg.Broker.Listen = freeAddress(cfg.Broker.Listen)
	front := doorDefaults()
	front.ID, front.Name, front.Hardware = "front", "Front door", simulated
	front.Egress = door.EgressReader
	outside, inside := keypadDefaults(), keypadDefaults()
	inside.Name, inside.Side = "inside", door.Exit
	front.Keypads = []Keypad{outside, inside}
	if hasVision {
		for _, side := range []door.Side{door.Entry, door.Exit} {
			c := cameraDefaults()
			c.Source, c.Side = portraits(), side
			front.Cameras = append(front.Cameras, c)
		}
	} else {
		cfg.House.Policy = []door.Set{door.SetOf(door.PIN)}
	}
	cfg.Doors = []Door{front}
	return cfg
}

// portraits is the folder of the sample portraits.
func portraits() string {
	if dir := os.Getenv("DOORHUB_PORTRAITS"); dir != "" {
		return dir
	}
	if cache := os.Getenv("DOORHUB_CACHE"); cache != "" {
		return filepath.Join(cache, "portraits")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "."
	}
	return filepath.Join(home, ".cache", "doorhub", "portraits")
}

// freeAddress returns the address if nobody listens there, else one on any free port.
func freeAddress(address string) string {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "127.0.0.1:0"
	}
	l.Close()
	return address
}

// enrolDemo makes one person known, as the commands would.
func enrolDemo(ctx context.Context, cfg Config) error {
	c, err := connect(ctx, cfg, func() (enroller, error) { return newEnroller(cfg) })
	if err != nil {
		return err
	}
	type ask struct {
		method string
		req    any
	}
	asks := []ask{
		{"people.add", addRequest{Name: "Barack"}},
		{"people.enrol", enrolRequest{Who: "Barack", PIN: demoPIN, Remote: demoRemote}},
	}
	if hasVision {
		pictures, err := readPictures([]string{filepath.Join(portraits(), "obama.jpg")})
		if err != nil {
			return errors.Join(fmt.Errorf("sample portraits: %w: get them with `make models`", err), c.close())
		}
		asks = append(asks, ask{"people.enrol", enrolRequest{Who: "Barack", Pictures: pictures, faceTerms: faceTerms{Consent: true}}})
	}
	for _, r := range asks {
		if err := c.call(ctx, r.method, r.req, func(json.RawMessage) error { return nil }, nothing); err != nil {
			return errors.Join(err, c.close())
		}
	}
	return c.close()
}

// makeUsers makes the bus users of the demo; the kitchen window's token is returned.
func (d *demo) makeUsers(cfg Config) (token string, err error) {
	users, err := makeUsers(cfg)
	for _, u := range users {
		switch u.Name {
		case "kitchen":
			token = u.Token
		case "viewer":
			d.viewer = u.Token
		}
	}
	return token, err
}

// connectSensor connects the kitchen window as a device of its own, over a real socket.
func (d *demo) connectSensor(ctx context.Context, token string) (err error) {
	d.sensor, err = broker.Dial(ctx, broker.ClientConfig{URL: "mqtt://" + d.hub.server.Addr(), User: "kitchen", Token: token, ClientID: "kitchen"})
	if err != nil {
		return err
	}
	d.undo.add("kitchen window", func() error { d.sensor.Close(); return nil })
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return d.sensor.Ready(ctx)
}

func (d *demo) window(ctx context.Context, open bool) error {
	word := "closed"
	if open {
		word = "open"
	}
	return d.sensor.Publish(ctx, broker.Message{Topic: "doorhub/in/kitchen/contact", Payload: []byte(word), QoS: 1})
}

// saw tells what the journal has just written.
func (d *demo) saw(r door.Record) {
	d.mu.Lock()
	d.records = append(d.records, r)
	close(d.more)
	d.more = make(chan struct{})
	d.mu.Unlock()
	fmt.Fprintf(d.out, "    %s  %s\n", r.Time.Local().Format(time.TimeOnly), d.sentence(r))
}

func (d *demo) sentence(r door.Record) string {
	words := []string{string(r.Kind)}
	if name := d.hub.names.of(r.Person); name != "" {
		words = append(words, name)
	}
	if f := r.Factors.String(); f != "" {
		words = append(words, "by "+f)
	}
	if r.Side == door.Exit && r.Kind != door.KindExit {
		words = append(words, "inside")
	}
	if id := r.Details[door.DetailSensor]; id != "" {
		words = append(words, id)
	}
	if r.Reason != "" {
		words = append(words, "("+strings.ReplaceAll(r.Reason, "_", " ")+")")
	}
	if text := r.Details[door.DetailText]; text != "" {
		words = append(words, text)
	}
	return strings.Join(words, " ")
}

// await waits for a record that fits, among those after the first skip.
func (d *demo) await(ctx context.Context, what string, skip int, fits func(door.Record) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		d.mu.Lock()
		records, more := d.records[min(skip, len(d.records)):], d.more
		d.mu.Unlock()
		for _, r := range records {
			if fits(r) {
				return nil
			}
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("the scene waited in vain for %s: %w", what, ctx.Err())
		}
	}
}

func (d *demo) seen() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.records)
}

// play plays the scene, and then does what is typed until the end of the context.
func (d *demo) play(ctx context.Context, once bool, in io.Reader) error {
	if err := d.scene(ctx); err != nil {
		return err
	}
	if err := d.table(ctx); err != nil {
		return err
	}
	if once {
		return nil
	}
	d.next()
	lines := make(chan string)
	go func() { // ends with the process: a read of the terminal cannot be called back
		s := bufio.NewScanner(in)
		for s.Scan() {
			lines <- s.Text()
		}
		close(lines)
	}()
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(d.out, "\nstopping")
			return nil
		case line, ok := <-lines:
			if !ok {
				lines = nil // no more is typed; the hub stays up
				continue
			}
			if words := strings.Fields(line); len(words) > 0 {
				if words[0] == "quit" {
					return nil
				}
				if err := d.typed(ctx, words); err != nil {
					fmt.Fprintln(d.out, "  ", err)
				}
			}
		}
	}
}

// table prints the classic log.
func (d *demo) table(ctx context.Context) error {
	fmt.Fprintln(d.out, "\nThe log:")
	req, err := logShow{}.request(time.Now())
	if err != nil {
		return err
	}
	print := textTable(d.out, false)
	c := &local{s: d.hub.service}
	var rows []logRow
	if err := c.call(ctx, "log", req, collect(&rows), nothing); err != nil {
		return err
	}
	for _, r := range rows {
		if err := print.row(r); err != nil {
			return err
		}
	}
	return print.end()
}

// next says what to try.
func (d *demo) next() {
	host, port, _ := net.SplitHostPort(d.hub.server.Addr())
	me, err := os.Executable()
	if err != nil {
		me = "doorhub"
	}
	fmt.Fprintf(d.out, `
Type here:  pin %s · pin inside %s · show obama2.jpg · show inside obama2.jpg · show nobody
            open · close · rex · window open · window close · log · quit
Elsewhere:  %s --data %s log --all
            mosquitto_sub -h %s -p %s -u viewer -P %s -v -t 'doorhub/door/#' -t 'doorhub/sensor/#' -t 'doorhub/house/#'
Home Assistant finds the door by MQTT discovery; Ctrl-C ends.
`, demoPIN, demoPIN, me, d.hub.cfg.Data, host, port, d.viewer)
}
