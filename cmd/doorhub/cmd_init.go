package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/term"
	"gopkg.in/yaml.v3"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/store"
)

type initCmd struct {
	Hosts     []string `help:"Names and addresses by which devices reach this hub (default: its own name, localhost and its addresses)." placeholder:"HOST"`
	Fallback  string   `help:"Factors that open while faces cannot be seen: none, or two others, as pin+card (default: ask, else none)." placeholder:"SET"`
	Simulated bool     `help:"No hardware yet: lock, contact and keypad in memory."`
}

// Run makes all that a hub needs, and overwrites nothing. What fails midway is undone.
func (c initCmd) Run(a *app) error {
	cfg, file, err := c.prepare(a)
	if err != nil {
		return err
	}
	var made closers
	users, err := c.make(cfg, file, &made)
	if err != nil {
		return errors.Join(fmt.Errorf("%w (nothing was made)", err), made.undo())
	}
	return a.printInit(cfg, file, certsFolder(cfg), users)
}

func certsFolder(cfg Config) string { return filepath.Join(cfg.Data, "certs") }

// make makes it all, the config last: with it the hub can run.
func (c initCmd) make(cfg Config, file string, made *closers) ([]userView, error) {
	if _, err := os.Stat(cfg.Data); errors.Is(err, fs.ErrNotExist) {
		made.add("data folder", func() error { return removeIfThere(cfg.Data) })
	}
	if err := store.CreateKey(cfg.Data); err != nil {
		return nil, err
	}
	made.add("key", func() error { return os.Remove(filepath.Join(cfg.Data, "key")) })
	before, err := os.ReadDir(cfg.Data)
	if err != nil {
		return nil, err
	}
	made.add("data", func() error { return removeNew(cfg.Data, before) })
	st, err := store.Open(cfg.Data, store.With(cfg.Store))
	if err != nil {
		return nil, err
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	if err := broker.MakeCA(certsFolder(cfg), c.hosts()...); err != nil {
		return nil, err
	}
	users, err := makeUsers(cfg)
	if err != nil {
		return nil, err
	}
	text, err := c.configText(cfg)
	if err != nil {
		return users, err
	}
	return users, writeNew(file, text)
}

// removeIfThere does not try on a read-only disk what is not there to be removed.
func removeIfThere(path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return os.Remove(path)
}

// removeNew removes what has come into a folder since.
func removeNew(dir string, before []fs.DirEntry) error {
	now, err := os.ReadDir(dir)
	for _, e := range now {
		if !slices.ContainsFunc(before, func(b fs.DirEntry) bool { return b.Name() == e.Name() }) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// prepare reads the settings to begin with: the defaults, in the named folder and file.
func (c initCmd) prepare(a *app) (Config, string, error) {
	cfg := Defaults()
	file := a.cli.Config
	if a.cli.Data != "" {
		cfg.Data = a.cli.Data
		if file == "" {
			file = filepath.Join(cfg.Data, "config.yaml")
		}
	}
	if file == "" {
		file = defaultConfig
	}
	if _, err := os.Stat(file); err == nil {
		return cfg, file, fmt.Errorf("%s is there already: init overwrites nothing; remove it, or name another with --config", file)
	}
	fallback := c.Fallback
	if fallback == "" && term.IsTerminal(int(a.in.Fd())) {
		fallback = askFallback(a)
	}
	if fallback != "" && fallback != "none" {
		set, err := door.ParseSet(fallback)
		if err != nil {
			return cfg, file, exit{exitUsage, fmt.Errorf("--fallback: %w", err)}
		}
		cfg.House.Fallback = []door.Set{set}
		if err := cfg.House.Validate(); err != nil {
			return cfg, file, exit{exitUsage, fmt.Errorf("--fallback: %w", err)}
		}
	}
	return cfg, file, nil
}

func askFallback(a *app) string {
	fmt.Fprintln(a.errOut, "When the camera is dark or broken, faces cannot be seen and pin+face opens to nobody.")
	fmt.Fprint(a.errOut, "Which two other factors may open then? (as pin+card, once cards can be enrolled; empty for none) ")
	line, _ := bufio.NewReader(a.in).ReadString('\n')
	return strings.TrimSpace(line)
}

func (c initCmd) hosts() []string {
	if len(c.Hosts) > 0 {
		return c.Hosts
	}
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	if name, err := os.Hostname(); err == nil && name != "" {
		hosts = append(hosts, name, name+".local")
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return hosts
	}
	for _, addr := range addrs {
		if ip, ok := addr.(*net.IPNet); ok && !ip.IP.IsLoopback() && !ip.IP.IsLinkLocalUnicast() {
			hosts = append(hosts, ip.IP.String())
		}
	}
	return hosts
}

// configText holds what differs from the defaults; all else is in config.example.yaml.
func (c initCmd) configText(cfg Config) ([]byte, error) {
	certs := certsFolder(cfg)
	type brokerPart struct {
		TLSListen string `yaml:"tls_listen"`
		Cert      string `yaml:"cert"`
		Key       string `yaml:"key"`
		CA        string `yaml:"ca"`
	}
	type housePart struct {
		Fallback []door.Set `yaml:"fallback"`
	}
	type doorPart struct {
		ID       string     `yaml:"id"`
		Name     string     `yaml:"name"`
		Hardware string     `yaml:"hardware"`
		Keypads  []struct{} `yaml:"keypads"`
	}
	part := struct {
		Data   string     `yaml:"data"`
		House  housePart  `yaml:"house"`
		Broker brokerPart `yaml:"broker"`
		Doors  []doorPart `yaml:"doors,omitempty"`
	}{Data: cfg.Data, House: housePart{cfg.House.Fallback}, Broker: brokerPart{
		":8883", filepath.Join(certs, broker.ServerCertFile), filepath.Join(certs, broker.ServerKeyFile), filepath.Join(certs, broker.CACertFile)}}
	if c.Simulated {
		part.Doors = []doorPart{{"front", "Front door", simulated, make([]struct{}, 1)}}
	}
	text, err := yaml.Marshal(part)
	return append([]byte("# doorhub: what differs from the defaults. config.example.yaml has every setting.\n"), text...), err
}

func writeNew(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if err := createFile(file, text, 0o644); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

// createFile makes a file, and overwrites none.
func createFile(path string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func makeUsers(cfg Config) ([]userView, error) {
	users, err := broker.OpenUsers(usersFile(cfg.Data))
	if err != nil {
		return nil, err
	}
	want := []broker.User{{Name: "homeassistant", Role: broker.RoleHomeAssistant}, {Name: "viewer", Role: broker.RoleViewer}}
	for _, s := range cfg.Sensors {
		want = append(want, broker.User{Name: s.ID, Role: broker.RoleSensor})
	}
	var made []userView
	for _, u := range want {
		token, err := users.Add(u.Name, u.Role)
		if err != nil {
			return made, err
		}
		made = append(made, userView{u, token})
	}
	return made, nil
}

func (a *app) printInit(cfg Config, file, certs string, users []userView) error {
	if a.cli.JSON {
		return a.printJSON(map[string]any{"config": file, "data": cfg.Data, "ca": filepath.Join(certs, broker.CACertFile), "users": users})
	}
	fmt.Fprintf(a.out, "config    %s\ndata      %s (keys in it: back it up, and let nobody read it)\nCA        %s (give it to devices)\n", file, cfg.Data, filepath.Join(certs, broker.CACertFile))
	fmt.Fprintln(a.out, "users of the bus, their passwords shown this once:")
	for _, u := range users {
		fmt.Fprintf(a.out, "  %-14s %-14s %s\n", u.Name, u.Role, u.Token)
	}
	fmt.Fprintf(a.out, "next: doorhub --config %s people add NAME\n", file)
	return nil
}

// directNote writes records into the journal of a store that no hub has open.
func directNote(st *store.Store, clk clock) func(context.Context, door.Record) error {
	return func(ctx context.Context, r door.Record) error {
		now := clk.now()
		r.Time, r.Clock = now.Wall.Round(0), door.Clock{Synced: now.Synced, Boot: clk.boot, Mono: now.Mono}
		_, err := st.Append(ctx, []door.Record{r})
		return err
	}
}
