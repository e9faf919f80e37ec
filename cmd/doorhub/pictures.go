package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/doorhub/doorhub/discovery"
	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/album"
	"github.com/doorhub/doorhub/door/store"
)

// eventsFolder holds the pictures of events, in the data folder.
const eventsFolder = "events"

func openAlbum(cfg Config) (*album.Album, error) {
	return album.Open(filepath.Join(cfg.Data, eventsFolder), cfg.Pictures)
}

// tidyEvery is how often it is looked which pictures and looks are too old.
const tidyEvery = time.Hour

// pictures looks after the pictures of events: how long they stay, and which of them the bus
// shows. What goes wrong with them costs nothing else.
type pictures struct {
	album *album.Album
	store *store.Store
	cfg   Config
	names *names
	clock clock
	show  func(...discovery.Message)
	tell  func(door.Input)
	log   *slog.Logger
	wake  chan struct{} // somebody was erased

	mu    sync.Mutex
	shown map[string]uint64 // door → the record whose picture the bus shows; 0: none
	wrong bool              // a problem has been told
}

func (h *hub) openPictures() {
	a, err := openAlbum(h.cfg)
	h.pictures = &pictures{album: a, store: h.store, cfg: h.cfg, names: &h.names, clock: h.clock, show: h.show, tell: h.send,
		log: h.log.With("component", "pictures"), wake: make(chan struct{}, 1), shown: map[string]uint64{}}
	h.service.album = func() (*album.Album, error) { return a, err }
	h.watch(func(r door.Record) {
		if r.Kind == door.KindErased {
			nudge(h.pictures.wake)
		}
	})
	h.pictures.report(err)
}

// run tidies now and then, and at once when somebody was erased.
func (p *pictures) run(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		p.tidy(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-p.wake:
		}
	}
}

// tidy removes what names somebody who was erased, and what is too old if the hub knows the
// time.
func (p *pictures) tidy(ctx context.Context) {
	err := p.album.Retain(func(id string) bool { return p.names.of(id) != "" })
	if now := p.clock.now(); now.Synced {
		err = errors.Join(err, p.album.Prune(now.Wall))
		if err := p.store.PruneLooks(ctx, now.Wall); err != nil && ctx.Err() == nil {
			p.log.Error("old looks stay", "error", err)
		}
	}
	p.report(err)
	p.refresh()
}

// keep keeps a picture, and shows it; not if it names somebody who has just been erased.
func (p *pictures) keep(e album.Entry, jpeg []byte) {
	err := p.album.Keep(e, jpeg)
	for _, id := range e.People {
		if p.names.of(id) == "" {
			err = errors.Join(err, p.album.Erase(id))
		}
	}
	p.report(err)
	p.refresh()
}

// report tells a problem when it comes and when it goes.
func (p *pictures) report(err error) {
	p.mu.Lock()
	was := p.wrong
	p.wrong = err != nil
	p.mu.Unlock()
	switch {
	case err != nil && !was:
		p.log.Error("pictures cannot be kept, or not be removed", "error", err)
		p.tell(door.Fault{Part: "pictures", Reason: "unwritten", Detail: err.Error()})
	case err == nil && was:
		p.tell(door.Fault{Part: "pictures"})
	}
}

// refresh has the bus show the newest picture of each door that there is, or that there is
// none: also of what an earlier hub may have left there.
func (p *pictures) refresh() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.cfg.Doors {
		var newest uint64
		if p.cfg.Pictures.Show {
			newest = p.album.Newest(d.ID)
		}
		if before, told := p.shown[d.ID]; told && before == newest {
			continue
		}
		p.shown[d.ID] = newest
		var jpeg []byte
		if newest != 0 {
			jpeg, _ = p.album.Read(newest) // without one it shows none
		}
		p.show(discovery.Image(d.ID, jpeg))
	}
}

// picturedKinds are the records that a picture is kept of.
func picturedKinds() []door.Kind {
	return []door.Kind{door.KindSeen, door.KindGranted, door.KindDenied, door.KindIntrusion, door.KindForced}
}

// hasPictures reports whether a door's pictures are told.
func (c Config) hasPictures(d Door) bool {
	return hasVision && c.Pictures.Show && c.Pictures.Keep > 0 && len(d.Cameras) > 0
}

// pictureWidth is that of pictures, in pixels; 0 where none is kept.
func (c Config) pictureWidth() int {
	if c.Pictures.Keep == 0 {
		return 0
	}
	return c.Pictures.Width
}
