package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	logSuffix    = ".log"
	tidyAt       = 1 << 20 // bytes: a log this long may be worth tidying
	tidyFactor   = 3       // and is, when it has grown by this since
	repairPause  = 5 * time.Second
	maxUnwritten = 16 << 20 // bytes appended that the disk has not taken; who adds more waits
	spareBuffer  = 64 << 10 // bytes for which memory is kept
)

// keptLog keeps what outlives the broker: the sessions that outlive their connections, what is
// queued for them, and retained messages, in a folder of append-only files. Appending costs no
// disk access; one goroutine writes what has come together and, for those who wait, syncs it: one
// sync for all of them. When nothing is appended, nothing is written. From time to time a new
// file is begun with all that is kept, and older ones are removed.
//
// While the disk takes nothing, the log forgets, says so through fault, and makes a new start
// as soon as it can: a full disk must not stop the house.
type keptLog struct {
	dir   string
	mark  mark
	all   func(add func(note) uint64, pause func()) // adds all that is kept at present, with pauses
	fault func(error)

	mu        sync.Mutex
	change    sync.Cond
	buf       []byte // appended, not yet written
	spare     []byte // an empty buffer
	appended  uint64 // records
	durable   uint64 // of these
	want      uint64 // of these, by somebody waiting
	followers map[*acks]struct{}
	broken    error
	closed    bool

	// of the goroutine that writes
	f    *os.File
	n    int   // its number
	size int64 // bytes
	tidy int64 // size at which a new file is begun
	try  time.Time
	done chan struct{}
}

// openLog opens the log in dir for appending, in a new file that begins with what all adds.
func openLog(dir string, all func(add func(note) uint64, pause func()), fault func(error)) (*keptLog, error) {
	m, err := newMark()
	if err != nil {
		return nil, fmt.Errorf("kept messages: %w", err)
	}
	l := &keptLog{dir: dir, mark: m, all: all, fault: fault, done: make(chan struct{}), followers: map[*acks]struct{}{}}
	l.change.L = &l.mu
	names, err := logFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		l.n = max(l.n, logNumber(name))
	}
	if err := l.renew(); err != nil {
		return nil, fmt.Errorf("kept messages: %w", err)
	}
	go l.run()
	return l, nil
}

// add appends a record and returns its number, for wait. A number of 0 is of no record.
func (l *keptLog) add(n note) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = appendRecord(l.buf, l.mark, n)
	l.appended++
	l.change.Broadcast()
	return l.appended
}

// wait returns when a record is durable, or cannot be, which fault has told.
func (l *keptLog) wait(record uint64) {
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

// follow has a told how far the log is durable, until that is as far as a record, and reports
// whether there is anything to tell: not when the record is durable, or cannot be.
func (l *keptLog) follow(a *acks, record uint64) bool {
	if record == 0 {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.durable >= record || l.broken != nil || l.closed {
		return false
	}
	l.followers[a] = struct{}{}
	if l.want < record {
		l.want = record
		l.change.Broadcast()
	}
	return true
}

// tell tells the followers how far the log is durable.
func (l *keptLog) tell(upTo uint64) {
	l.mu.Lock()
	followers := l.followers
	l.followers = map[*acks]struct{}{}
	l.mu.Unlock()
	for a := range followers {
		if !a.reached(upTo) {
			l.mu.Lock()
			l.followers[a] = struct{}{}
			l.mu.Unlock()
		}
	}
}

// last is the number of the last record.
func (l *keptLog) last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.appended
}

// reached returns up to which record the log is durable.
func (l *keptLog) reached() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// crowded reports whether more is to be written than should be.
func (l *keptLog) crowded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.buf) > maxUnwritten
}

// waitForRoom returns when no more is to be written than should be, or nothing can be.
func (l *keptLog) waitForRoom() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.buf) > maxUnwritten && l.broken == nil && !l.closed {
		l.change.Wait()
	}
}

// close writes what is left. What is added later is lost.
func (l *keptLog) close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.change.Broadcast()
	l.mu.Unlock()
	<-l.done
	err := errors.Join(l.f.Sync(), l.f.Close())
	l.tell(math.MaxUint64)
	return err
}

func (l *keptLog) run() {
	defer close(l.done)
	for {
		buf, upTo, sync, ok := l.next()
		if !ok {
			return
		}
		err := l.write(buf)
		l.recycle(buf)
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
func (l *keptLog) next() (buf []byte, upTo uint64, sync, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.buf) == 0 && l.want <= l.durable && !l.closed {
			l.change.Wait()
		}
		if l.broken == nil {
			buf, l.buf, l.spare = l.buf, l.spare, nil
			if len(buf) > maxUnwritten {
				l.change.Broadcast() // there is room
			}
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

func (l *keptLog) recycle(buf []byte) {
	if cap(buf) > spareBuffer {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spare == nil {
		l.spare = buf[:0]
	}
}

// settle makes known how far the log is durable, or that it is broken.
func (l *keptLog) settle(upTo uint64, err error) {
	if err != nil {
		l.fault(fmt.Errorf("retained and queued messages are lost at the next restart: %w", err))
		upTo = math.MaxUint64 // nobody is to wait
	}
	l.mu.Lock()
	if err != nil {
		l.broken, l.try = err, time.Now()
	} else {
		l.durable = max(l.durable, upTo)
	}
	l.change.Broadcast()
	l.mu.Unlock()
	l.tell(upTo)
}

func (l *keptLog) write(p []byte) error {
	n, err := l.f.Write(p)
	l.size += int64(n)
	return err
}

// renew begins a new file with all that is kept and removes the old ones. What is appended
// meanwhile stands in the new file, before or after the state of what it is about, as it came. Before
// all of it is durable nobody is promised anything, so a file that a crash has kept from becoming
// whole counts for nothing.
func (l *keptLog) renew() error {
	l.try = time.Now()
	f, err := os.OpenFile(filepath.Join(l.dir, fmt.Sprintf("%010d", l.n+1)+logSuffix), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if l.f != nil {
		_ = l.f.Close() // all that mattered of it was synced
	}
	l.f, l.n, l.size = f, l.n+1, 0
	err = errors.Join(syncDir(l.dir), l.write(fileHead(l.mark)))
	flush := func() {
		buf, _ := l.take()
		if err == nil {
			err = l.write(buf)
		}
	}
	l.all(l.add, flush)
	l.add(note{kind: noteWhole})
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
func (l *keptLog) take() ([]byte, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	buf := l.buf
	l.buf = nil
	l.change.Broadcast() // there is room
	return buf, l.appended
}

func (l *keptLog) removeOld() error {
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
		return nil, fmt.Errorf("kept messages: %w", err)
	}
	return filepath.Glob(filepath.Join(dir, "*"+logSuffix)) // sorted, as the names are by their numbers
}

// readLog calls f with each whole record of all files that count.
func readLog(dir string, f func(note)) error {
	names, err := logFiles(dir)
	if err != nil {
		return err
	}
	var errs []error
	for i, name := range names {
		content, err := os.ReadFile(name)
		if err == nil && (i == 0 || whole(content)) {
			err = readRecords(content, f)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// whole reports whether a file got to the end of the state that it begins with. An older one is
// there as well while that is in doubt.
func whole(content []byte) (is bool) {
	_ = readRecords(content, func(n note) { is = is || n.kind == noteWhole }) // told when it is read
	return is
}
