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
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// Made in a private folder of its own and moved into place with its mode set, so that
	// nobody can open it in between.
	l, err := listenPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	server := &http.Server{Handler: controlHandler(s), ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(l) //nolint:errcheck // ends with ErrServerClosed
	return func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		return errors.Join(server.Shutdown(ctx), ignoreMissing(os.Remove(path)))
	}, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func listenPrivate(path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".control-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/s", Net: "unix"})
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
	send := func(l controlLine) error {
		mu.Lock()
		defer mu.Unlock()
		if err := enc.Encode(l); err != nil {
			return err
		}
		if l.Progress != nil {
			err := out.Flush()
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
			return err
		}
		return nil
	}
	err := c(ctx, s, req, reply{
		item: func(v any) error {
			text, err := json.Marshal(v)
			if err != nil {
				return err
			}
			return send(controlLine{Item: text})
		},
		progress: func(done, total uint64) { _ = send(controlLine{Progress: &controlProgress{done, total}}) },
	})
	last := controlLine{Done: true}
	if err != nil {
		last.Error = err.Error()
	}
	_ = send(last) // a caller who is gone hears nothing
	_ = out.Flush()
}

// caller makes calls, to a running hub or to the store itself.
type caller interface {
	call(ctx context.Context, method string, req any, item func(json.RawMessage) error, progress func(done, total uint64)) error
	close() error
}

// remote calls a running hub.
type remote struct{ http http.Client }

func dialControl(path string) *remote {
	return &remote{http.Client{Transport: &http.Transport{
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

// connect finds the hub of a config: a running one if there is, else its store. Whoever holds
// the store's lock is the hub; there is no moment in which both write.
func connect(ctx context.Context, cfg Config, faces func() (enroller, error)) (caller, error) {
	st, err := store.Open(cfg.Data, store.With(cfg.Store))
	if errors.Is(err, store.ErrInUse) {
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
