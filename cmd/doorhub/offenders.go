package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/doorhub/doorhub/door"
)

// What a user or an address does to the bus, one word each.
const (
	busFlooding     = "flooding"      // a user sends faster than it may, and is cut
	busLoginBlocked = "login_blocked" // many wrong passwords: logins are turned away for a while
)

// offenceBeat is from look to look at whether those who were told have stopped.
const offenceBeat = 2 * time.Second

// offenders has the journal tell who floods the bus or guesses at its passwords: once, and once
// when it is over, however much comes between. Addresses are one part together, since whoever
// has an IPv6 network has more of them than the journal could take.
type offenders struct {
	bus interface {
		Flooding() (users []string)
		Blocked() (addresses, users []string)
	}
	send func(door.Input)
	rate int           // packets a second of one user, as told
	wake chan struct{} // somebody may have begun
	told map[string]door.Fault
}

func (o *offenders) run(ctx context.Context) {
	for {
		var look <-chan time.Time
		if len(o.told) > 0 {
			look = time.After(offenceBeat)
		}
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		case <-look:
		}
		o.look()
	}
}

// look tells what has changed.
func (o *offenders) look() {
	now := map[string]door.Fault{}
	for _, f := range o.faults() {
		now[f.Part] = f
		if _, told := o.told[f.Part]; !told {
			o.send(f)
		}
	}
	for part := range o.told {
		if _, still := now[part]; !still {
			o.send(door.Fault{Part: part})
		}
	}
	o.told = now
}

func (o *offenders) faults() []door.Fault {
	var fs []door.Fault
	for _, user := range o.bus.Flooding() {
		fs = append(fs, door.Fault{Part: "bus_user/" + user, Reason: busFlooding,
			Detail: fmt.Sprintf("it sends more than %d packets a second and was cut: find out why, or raise broker.user_rate", o.rate)})
	}
	addresses, users := o.bus.Blocked()
	for _, user := range users {
		fs = append(fs, door.Fault{Part: "bus_login/" + user, Reason: busLoginBlocked,
			Detail: "many logins with wrong passwords: from elsewhere than before it must wait some minutes"})
	}
	if len(addresses) > 0 {
		fs = append(fs, door.Fault{Part: "bus_login", Reason: busLoginBlocked,
			Detail: "many logins with wrong passwords from " + strings.Join(addresses[:min(3, len(addresses))], ", ")})
	}
	return fs
}
