package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/doorhub/doorhub/door/store"
)

// The control socket speaks HTTP: POST /METHOD with a JSON request, answered by JSON lines,
// each with one of the fields below. Only the user who runs doorhub may open it.
type controlLine struct {
	Item     json.RawMessage  `json:"item,omitempty"`
	Progress *controlProgress `json:"progress,omitempty"`
	Error    string           `json:"error,omitempty"`
	Done     bool             `json:"done,omitempty"` // the last line: the answer is whole
}

type controlProgress struct {
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
}

const maxControlRequest = 256 << 20 // ten large pictures in base64

// serveControl answers commands on a unix socket until close.
func serveControl(path string, s *service) (close func() error, err error) {
	if err := makeWay(path); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// Made in a private folder of its own and moved into place with its mode set, so that
	// nobody can open it in between.
	l, err := listenPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	server := &http.Server{Handler: controlHandler(s), ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := context.WithCancel(context.Background())
	s.stopping = ctx.Done()
	server.RegisterOnShutdown(stop)
	go server.Serve(l) //nolint:errcheck // ends with ErrServerClosed
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		return errors.Join(server.Shutdown(ctx), ignoreMissing(os.Remove(path)))
	}, nil
}

// makeWay removes the socket that a killed hub left behind, and nothing else. No other hub has
// it: this one holds the store.
func makeWay(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&os.ModeSocket == 0:
		return fmt.Errorf("%s is there and is no socket: remove it, or set control to another path", path)
	}
	return ignoreMissing(os.Remove(path))
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func listenPrivate(path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".c")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/s", Net: "unix"})
	if errors.Is(err, syscall.EINVAL) {
		return nil, fmt.Errorf("%s is too long for a socket: set control to a path of at most 100 bytes", path)
	}
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(dir+"/s", 0o600), os.Rename(dir+"/s", path)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func controlHandler(s *service) http.Handler {
	mux := http.NewServeMux()
	for name, c := range calls() {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxControlRequest))
			if err != nil {
				http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
				return
			}
			answer(r.Context(), s, c, body, w)
		})
	}
	return mux
}

// answer carries out one call and writes its lines. A call may answer from several goroutines.
func answer(ctx context.Context, s *service, c call, req json.RawMessage, w io.Writer) {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	var mu sync.Mutex
	send := func(l controlLine, now bool) error {
		mu.Lock()
		defer mu.Unlock()
		if err := enc.Encode(l); err != nil {
			return err
		}
		if now {
			err := out.Flush()
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
			return err
		}
		return nil
	}
	item := func(v any, now bool) error {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		return send(controlLine{Item: text}, now)
	}
	err := c(ctx, s, req, reply{
		item:     func(v any) error { return item(v, false) },
		live:     func(v any) error { return item(v, true) },
		progress: func(done, total uint64) { _ = send(controlLine{Progress: &controlProgress{done, total}}, true) },
	})
	last := controlLine{Done: true}
	if err != nil {
		last.Error = err.Error()
	}
	_ = send(last, false) // a caller who is gone hears nothing
	_ = out.Flush()
}

// caller makes calls, to a running hub or to the store itself.
type caller interface {
	call(ctx context.Context, method string, req any, item func(json.RawMessage) error, progress func(done, total uint64)) error
	close() error
}

// answerPatience is how long a running hub may take to begin its answer.
const answerPatience = time.Minute

// remote calls a running hub.
type remote struct{ http http.Client }

// errSilent says that nobody answers on the control socket.
var errSilent = errors.New("a hub that is starting or stopping, or another command: try again")

// listens makes sure that a hub listens on a control socket.
func listens(ctx context.Context, path string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("the data folder is in use, but nobody answers on %s: %w", path, errSilent)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w: run as the user who runs doorhub", err)
	case err != nil:
		return err
	}
	return conn.Close()
}

func dialControl(path string) *remote {
	return &remote{http.Client{Transport: &http.Transport{
		ResponseHeaderTimeout: answerPatience,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}}
}

func (r *remote) close() error { r.http.CloseIdleConnections(); return nil }

func (r *remote) call(ctx context.Context, method string, req any, item func(json.RawMessage) error, progress func(done, total uint64)) error {
	body, err := json.Marshal(req)
	if err != nil {
		return err
	}
	hreq, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://doorhub/"+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := r.http.Do(hreq)
	if err != nil {
		return fmt.Errorf("the running hub does not answer: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the running hub says %s: is it of another version?", resp.Status)
	}
	return readAnswer(resp.Body, item, progress)
}

func readAnswer(from io.Reader, item func(json.RawMessage) error, progress func(done, total uint64)) error {
	dec := json.NewDecoder(from)
	for {
		var l controlLine
		if err := dec.Decode(&l); err != nil {
			return fmt.Errorf("the answer broke off: %w", err)
		}
		switch {
		case l.Item != nil:
			if err := item(l.Item); err != nil {
				return err
			}
		case l.Progress != nil:
			progress(l.Progress.Done, l.Progress.Total)
		case l.Error != "":
			return errors.New(l.Error)
		case l.Done:
			return nil
		}
	}
}

// local makes the same calls on a service of its own, over a pipe in memory.
type local struct {
	s    *service
	undo closers
}

func (l *local) close() error { return l.undo.undo() }

func (l *local) call(ctx context.Context, method string, req any, item func(json.RawMessage) error, progress func(done, total uint64)) error {
	body, err := json.Marshal(req)
	if err != nil {
		return err
	}
	c, ok := calls()[method]
	if !ok {
		return fmt.Errorf("no such call: %s", method)
	}
	r, w := io.Pipe()
	go func() {
		answer(ctx, l.s, c, body, w)
		w.Close()
	}()
	defer r.Close()
	return readAnswer(r, item, progress)
}

const connectPause = 50 * time.Millisecond // from one try to the next

// connect finds the hub of a config: a running one if there is, else its store. Whoever holds
// the store's lock is the hub; there is no moment in which both write. It waits a while for a
// hub that is starting, or for another command to end.
func connect(ctx context.Context, cfg Config, faces func() (enroller, error)) (c caller, err error) {
	err = whenFree(ctx, cfg, func() (err error) {
		c, err = reach(ctx, cfg, faces)
		return err
	})
	return c, err
}

// whenFree tries again while a silent hub or a command holds the store, for as long as the
// config waits for whoever holds the database.
func whenFree(ctx context.Context, cfg Config, try func() error) error {
	patience := time.NewTimer(cfg.Store.BusyTimeout)
	defer patience.Stop()
	for {
		err := try()
		if !errors.Is(err, errSilent) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			return err
		case <-time.After(connectPause):
		}
	}
}

// reach tries once. With the store held by a silent hub or a command, the error is errSilent.
func reach(ctx context.Context, cfg Config, faces func() (enroller, error)) (caller, error) {
	st, err := store.Open(cfg.Data, store.With(cfg.Store))
	if errors.Is(err, store.ErrInUse) {
		if err := listens(ctx, cfg.socket()); err != nil {
			return nil, err
		}
		return dialControl(cfg.socket()), nil
	}
	if err != nil {
		return nil, err
	}
	l := &local{}
	l.undo.add("store", st.Close)
	if l.s, err = localService(ctx, cfg, st, faces); err != nil {
		return nil, errors.Join(err, l.undo.undo())
	}
	return l, nil
}
