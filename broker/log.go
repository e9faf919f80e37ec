package broker

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

const (
	logSuffix   = ".log"
	logHead     = 8        // bytes before a record: its length and its checksum, little-endian
	maxRecord   = 80 << 20 // bytes: more than any packet
	tidyAt      = 1 << 20  // bytes: a log this long may be worth tidying
	tidyFactor  = 3        // and is, when it has grown by this since
	repairPause = 5 * time.Second
)

// What a record of the log says.
const (
	noteOpen  = "open"  // a session, in place of what was known of it
	noteSub   = "sub"   // its subscriptions, some more
	noteUnsub = "unsub" // and some less
	noteMsg   = "msg"   // a message is queued
	noteRel   = "rel"   // the client has it, the exchange goes on
	noteDone  = "done"  // the client has acknowledged it
	noteGot   = "got"   // the client has sent a message at QoS 2
	noteFree  = "free"  // and has released it
	noteEnd   = "end"   // the session is over
)

// note is a record: this as JSON, a line feed, and the payload of a message.
type note struct {
	Kind string `json:"k"`
	ID   string `json:"c"` // client id

	User    string    `json:"user,omitempty"`
	Token   []byte    `json:"token,omitempty"` // its hash, as in the file of users
	Version byte      `json:"version,omitempty"`
	Life    uint32    `json:"life,omitempty"` // seconds; version 5
	Subs    []logSub  `json:"subs,omitempty"`
	PID     uint16    `json:"pid,omitempty"`
	Message *logEntry `json:"m,omitempty"`

	payload []byte
}

type logSub struct {
	Filter            string `json:"f"`
	QoS               byte   `json:"q,omitempty"`
	Identifier        int    `json:"id,omitempty"`
	NoLocal           bool   `json:"nl,omitempty"`
	RetainAsPublished bool   `json:"rap,omitempty"`
}

type logEntry struct {
	Topic   string              `json:"t"`
	QoS     byte                `json:"q"`
	Retain  bool                `json:"r,omitempty"`
	Subs    []int               `json:"s,omitempty"`
	Again   bool                `json:"d,omitempty"`
	Created int64               `json:"at"`               // Unix seconds
	Expiry  int64               `json:"expiry,omitempty"` // Unix seconds
	Props   *packets.Properties `json:"props,omitempty"`  // of a version 5 sender
}

// sessionLog keeps the sessions that outlive their connections, and what is queued for them, in
// a folder of append-only files. Appending costs no disk access; one goroutine writes what has
// come together and, for those who wait, syncs it. When nothing is appended, nothing is
// written. From time to time a new file is begun with the state of all sessions, and older
// ones are removed.
//
// While the disk takes nothing, the log forgets, says so through fault, and makes a new start
// as soon as it can: a full disk must not stop the house.
type sessionLog struct {
	dir   string
	all   func(add func(note) uint64, pause func()) // adds the present state of all sessions, with pauses
	fault func(error)

	mu       sync.Mutex
	change   sync.Cond
	buf      []byte // appended, not yet written
	appended uint64 // records
	durable  uint64 // of these
	want     uint64 // of these, by somebody waiting
	broken   error
	closed   bool

	// of the goroutine that writes
	f    *os.File
	n    int   // its number
	size int64 // bytes
	tidy int64 // size at which a new file is begun
	try  time.Time
	done chan struct{}
}

// openLog opens the log in dir for appending, in a new file that begins with what all adds.
func openLog(dir string, all func(add func(note) uint64, pause func()), fault func(error)) (*sessionLog, error) {
	l := &sessionLog{dir: dir, all: all, fault: fault, done: make(chan struct{})}
	l.change.L = &l.mu
	names, err := logFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		l.n = max(l.n, logNumber(name))
	}
	if err := l.renew(); err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	go l.run()
	return l, nil
}

// add appends a record and returns its number, for wait. A number of 0 is of no record.
func (l *sessionLog) add(n note) uint64 {
	rec := encodeNote(n)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, rec...)
	l.appended++
	l.change.Broadcast()
	return l.appended
}

// wait returns when a record is durable, or cannot be, which fault has told.
func (l *sessionLog) wait(record uint64) {
	if record == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.want < record {
		l.want = record
		l.change.Broadcast()
	}
	for l.durable < record && l.broken == nil && !l.closed {
		l.change.Wait()
	}
}

// close writes what is left. What is added later is lost.
func (l *sessionLog) close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.change.Broadcast()
	l.mu.Unlock()
	<-l.done
	return errors.Join(l.f.Sync(), l.f.Close())
}

func (l *sessionLog) run() {
	defer close(l.done)
	for {
		buf, upTo, sync, ok := l.next()
		if !ok {
			return
		}
		err := l.write(buf)
		if err == nil && sync {
			err = l.f.Sync()
		}
		switch {
		case err == nil && sync:
			l.settle(upTo, nil)
		case err != nil:
			l.settle(0, err)
		}
		if l.size > l.tidy && err == nil {
			if err := l.renew(); err != nil {
				l.settle(0, err)
			}
		}
	}
}

// next waits for something to do. While the log is broken that is a new start, now and then.
func (l *sessionLog) next() (buf []byte, upTo uint64, sync, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.buf) == 0 && l.want <= l.durable && !l.closed {
			l.change.Wait()
		}
		if l.broken == nil {
			buf, l.buf = l.buf, nil
			return buf, l.appended, l.want > l.durable, len(buf) > 0 || !l.closed
		}
		l.buf, l.durable = nil, l.appended
		if l.closed {
			return nil, 0, false, false
		}
		if time.Since(l.try) < repairPause {
			continue
		}
		l.mu.Unlock()
		err := l.renew()
		if err == nil {
			l.fault(nil)
		}
		l.mu.Lock()
		l.broken = err
	}
}

// settle makes known how far the log is durable, or that it is broken.
func (l *sessionLog) settle(upTo uint64, err error) {
	if err != nil {
		l.fault(fmt.Errorf("queued messages are lost at the next restart: %w", err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.broken, l.try = err, time.Now()
	}
	l.durable = max(l.durable, upTo)
	l.change.Broadcast()
}

func (l *sessionLog) write(p []byte) error {
	n, err := l.f.Write(p)
	l.size += int64(n)
	return err
}

// renew begins a new file with the state of all sessions and removes the old ones. What is
// appended meanwhile stands in the new file, each session's before or after its state, as it
// came. A crash leaves both, which say the same.
func (l *sessionLog) renew() error {
	l.try = time.Now()
	f, err := os.OpenFile(filepath.Join(l.dir, fmt.Sprintf("%010d", l.n+1)+logSuffix), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if l.f != nil {
		_ = l.f.Close() // all that mattered of it was synced
	}
	l.f, l.n, l.size = f, l.n+1, 0
	err = syncDir(l.dir)
	flush := func() {
		buf, _ := l.take()
		if err == nil {
			err = l.write(buf)
		}
	}
	l.all(l.add, flush)
	buf, upTo := l.take()
	if err == nil {
		err = l.write(buf)
	}
	if err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		return err
	}
	l.tidy = max(tidyAt, tidyFactor*l.size)
	l.settle(upTo, nil)
	return l.removeOld()
}

// take returns what is to be written, and the number of its last record.
func (l *sessionLog) take() ([]byte, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	buf := l.buf
	l.buf = nil
	return buf, l.appended
}

func (l *sessionLog) removeOld() error {
	names, err := logFiles(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if logNumber(name) < l.n {
			err = errors.Join(err, os.Remove(name))
		}
	}
	return errors.Join(err, syncDir(l.dir))
}

func logNumber(path string) (n int) {
	_, _ = fmt.Sscanf(filepath.Base(path), "%d", &n) // 0 for what is no number
	return n
}

// logFiles returns the files in dir by age.
func logFiles(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	return filepath.Glob(filepath.Join(dir, "*"+logSuffix)) // sorted, as the names are by their numbers
}

func encodeNote(n note) []byte {
	rec := make([]byte, logHead, logHead+256+len(n.payload))
	head, err := json.Marshal(n)
	if err != nil {
		head = nil // cannot be: a note holds nothing that JSON lacks
	}
	rec = append(append(append(rec, head...), '\n'), n.payload...)
	binary.LittleEndian.PutUint32(rec, uint32(len(rec)-logHead))
	binary.LittleEndian.PutUint32(rec[4:], crc32.Checksum(rec[logHead:], crc32.MakeTable(crc32.Castagnoli)))
	return rec
}

// readLog calls f with each whole record of all files. A record cut off at the end of a file is
// what a crash leaves, and was never promised to anybody; what is damaged otherwise is told.
func readLog(dir string, f func(note)) error {
	names, err := logFiles(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err == nil {
			err = readNotes(content, f)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func readNotes(rest []byte, f func(note)) error {
	for len(rest) >= logHead {
		length := int64(binary.LittleEndian.Uint32(rest))
		sum := binary.LittleEndian.Uint32(rest[4:])
		if length > maxRecord {
			return errors.New("damaged: a record of impossible length; what follows is lost")
		}
		if length > int64(len(rest)-logHead) {
			return nil
		}
		body := rest[logHead : logHead+length]
		rest = rest[logHead+length:]
		if crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)) != sum {
			if len(rest) == 0 {
				return nil
			}
			return errors.New("damaged: a record differs from its checksum; what follows is lost")
		}
		head, payload, _ := bytes.Cut(body, []byte{'\n'})
		n := note{payload: payload}
		if err := json.Unmarshal(head, &n); err != nil {
			return fmt.Errorf("damaged: %w; what follows is lost", err)
		}
		f(n)
	}
	return nil
}
