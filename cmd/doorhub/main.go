// Command doorhub runs the doors of a house and guards it.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door/album"
	"github.com/doorhub/doorhub/door/store"
)

// version is stamped in by the linker.
var version = "unversioned"

// Exit codes. README and --help name them.
const (
	exitFailed  = 1 // it could not be done; the message says why
	exitUsage   = 2 // the command line or the config is wrong
	exitRefused = 3 // "no" is the answer: try would not open, no picture was taken
	exitBroken  = 4 // the journal is not whole
)

// exit is an error that ends the command with a code of its own.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string { return e.err.Error() }
func (e exit) Unwrap() error { return e.err }

// cli is the command line.
type cli struct {
	Config string `help:"Config file (default ${config} if it is there, else the defaults)." env:"DOORHUB_CONFIG" type:"path" placeholder:"FILE"`
	Data   string `help:"Data folder, in place of the config's." env:"DOORHUB_DATA" type:"path" placeholder:"DIR"`
	JSON   bool   `help:"Answer in JSON, one object a line." name:"json"`

	Init    initCmd    `cmd:"" help:"Make data folder, keys, certificates, bus users and a config."`
	Run     runCmd     `cmd:"" help:"Run the hub, or a demo of it."`
	People  peopleCmd  `cmd:"" help:"Who may come in."`
	Face    faceCmd    `cmd:"" help:"How well faces are known, whom they are taken for, and why."`
	Log     logCmd     `cmd:"" help:"Who came and went, and whether the journal is whole."`
	Try     tryCmd     `cmd:"" help:"Would somebody get in? Opens nothing; exit code 3 is no."`
	History historyCmd `cmd:"" help:"The database for Grafana: how far it is, and what to send again."`
	Broker  brokerCmd  `cmd:"" help:"The bus: its users and certificates, and how it fares."`
	Version versionCmd `cmd:"" help:"Print the version and what was built in."`
}

// app is what commands need of their surroundings.
type app struct {
	ctx    context.Context
	cli    *cli
	out    io.Writer
	errOut io.Writer
	in     *os.File
}

// defaultConfig is read when no other file is named.
const defaultConfig = "/etc/doorhub/config.yaml"

func main() {
	slog.SetLogLoggerLevel(slog.LevelWarn) // commands answer; the hub logs in its own way
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the command with all that it touches given, and returns its exit code.
func run(ctx context.Context, args []string, in *os.File, out, errOut io.Writer) int {
	var c cli
	var code *int // set when kong itself ends, as after --help
	parser, err := kong.New(&c, kong.Name("doorhub"),
		kong.Description("A self-hosted door and house guard. Exit codes: 0 done, 1 failed, 2 wrong usage or config, 3 the answer is no, 4 the journal is not whole."),
		kong.Vars{"config": defaultConfig}, kong.Writers(out, errOut), kong.Exit(func(n int) { code = &n }))
	if err != nil {
		fmt.Fprintln(errOut, "doorhub:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	for i, arg := range args {
		if !utf8.ValidString(arg) { // kong would change it in silence
			fmt.Fprintf(errOut, "doorhub: argument %d, %.40q, is not UTF-8: type it again\n", i+1, arg)
			return exitUsage
		}
	}
	k, err := parser.Parse(args)
	if code != nil {
		return *code
	}
	if err != nil {
		fmt.Fprintf(errOut, "doorhub: %v\n(doorhub --help lists the commands)\n", err)
		return exitUsage
	}
	a := &app{ctx: ctx, cli: &c, out: out, errOut: errOut, in: in}
	if err := k.Run(a); err != nil {
		return a.fail(err)
	}
	return 0
}

// fail says what went wrong, and returns the code for it.
func (a *app) fail(err error) int {
	var e exit
	if errors.As(err, &e) {
		if e.err != nil {
			fmt.Fprintln(a.errOut, "doorhub:", e.err)
		}
		return e.code
	}
	if errors.Is(err, context.Canceled) && a.ctx.Err() != nil {
		fmt.Fprintln(a.errOut, "doorhub: stopped")
		return exitFailed
	}
	fmt.Fprintln(a.errOut, "doorhub:", err)
	return exitFailed
}

// config reads the config that the command line names.
func (a *app) config() (Config, error) {
	file := a.cli.Config
	if file == "" {
		if _, err := os.Stat(defaultConfig); err == nil {
			file = defaultConfig
		}
	}
	cfg, err := loadConfig(file)
	if err != nil {
		return cfg, exit{exitUsage, err}
	}
	if a.cli.Data != "" {
		cfg.Data = a.cli.Data
	}
	return cfg, nil
}

// connected runs f with the hub of the config.
func (a *app) connected(f func(caller) error) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	c, err := connect(a.ctx, cfg, func() (enroller, error) { return newEnroller(cfg) })
	if errors.Is(err, store.ErrNoKey) && a.cli.Data == "" && a.cli.Config == "" {
		return fmt.Errorf("%w, or name your data folder with --data or your config with --config", err)
	}
	if err != nil {
		return err
	}
	if err := f(c); err != nil {
		return errors.Join(err, c.close())
	}
	a.warnOfHead(c)
	return c.close()
}

// warnOfHead says that the journal's head could not be kept, where no hub runs to journal it.
func (a *app) warnOfHead(c caller) {
	l, ok := c.(*local)
	if !ok {
		return
	}
	if err := l.s.store.HeadProblem(); err != nil {
		fmt.Fprintln(a.errOut, "doorhub: warning:", err)
	}
}

// localService serves commands that find no hub running.
func localService(ctx context.Context, cfg Config, st *store.Store, faces func() (enroller, error)) (*service, error) {
	p, err := readPast(ctx, st)
	if err != nil {
		return nil, err
	}
	users, err := broker.OpenUsers(usersFile(cfg.Data))
	if err != nil {
		return nil, err
	}
	s := &service{cfg: cfg, store: st, past: p, users: users, faces: faces}
	s.album = sync.OnceValues(func() (*album.Album, error) { return openAlbum(cfg) })
	s.changed = func(context.Context) error { return nil }
	s.blind = func(id string) bool { return !hasVision && cfg.watched(id) }
	s.shown = func() (*x509.Certificate, error) { return nil, nil }
	s.note = directNote(st, newClock(cfg.Clock == clockTrust))
	return s, nil
}

// progress shows how far something slow is, on a terminal only.
func (a *app) progress(what string) func(done, total uint64) {
	f, ok := a.errOut.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func(done, total uint64) {}
	}
	return func(done, total uint64) {
		fmt.Fprintf(f, "\r%s: %d of %d\x1b[K", what, done, total)
		if done >= total {
			fmt.Fprint(f, "\r\x1b[K")
		}
	}
}

func newLog(w io.Writer, verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(a *app) error {
	if a.cli.JSON {
		return a.printJSON(map[string]any{"version": version, "vision": hasVision})
	}
	fmt.Fprintln(a.out, "doorhub", version)
	if hasVision {
		fmt.Fprintln(a.out, "with vision: cameras and faces")
	} else {
		fmt.Fprintln(a.out, "without vision: no camera, no faces (built without cgo); PIN and the bus work")
	}
	return nil
}
