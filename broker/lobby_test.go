package broker

import (
	"fmt"
	"testing"
	"time"
)

func TestLobby(t *testing.T) {
	l, now := newLobby(10), time.Unix(1_700_000_000, 0)
	var flood []*conn
	enter := func(address string, wantOut *conn) *conn {
		t.Helper()
		c := &conn{}
		out, _ := l.enter(c, address, now)
		if wantOut == nil && out != nil || wantOut != nil && out != wantOut {
			t.Errorf("from %s: %p had to leave, want %p", address, out, wantOut)
		}
		if l.n > 10 {
			t.Fatalf("%d are in", l.n)
		}
		return c
	}
	for range 10 {
		flood = append(flood, enter("a", nil))
	}
	c := &conn{}
	if out, first := l.enter(c, "a", now); out != c || !first {
		t.Error("who comes from the crowd takes a place from it at once")
	}
	for i := range 4 {
		enter("b", flood[i])
	}
	if _, first := l.enter(&conn{}, "", now); first {
		t.Error("told twice")
	}
	var here []*conn
	for i := range 9 { // each from somewhere else: the crowd shrinks to one
		here = append(here, &conn{})
		l.enter(here[i], fmt.Sprint(i), now)
	}
	if out, _ := l.enter(c, "z", now); out != c {
		t.Error("one of many newcomers takes another's place")
	}
	now = now.Add(longLogin)
	if out, _ := l.enter(c, "z", now); out == nil || out == c {
		t.Error("who takes long keeps its place")
	}
	for address, guests := range l.from {
		for _, g := range append([]guest{}, guests...) {
			l.leave(g.c, address)
			l.leave(g.c, address)
		}
	}
	if l.n != 0 || len(l.from) != 0 || l.full {
		t.Errorf("%d left, %v", l.n, l.from)
	}
}
