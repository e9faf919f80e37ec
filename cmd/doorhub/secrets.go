package main

import (
	"context"

	"github.com/doorhub/doorhub/door"
	"github.com/doorhub/doorhub/door/keypad"
)

// codeCheck is a command whose remote code, if it has one, is still to be looked up.
type codeCheck struct {
	cmd  door.Command
	code string
}

// typed looks up a typed secret off the house's loop, and takes only the answer there.
func (h *hub) typed(d Door, k Keypad, s keypad.Secret) {
	person, err := h.store.LookupPIN(context.Background(), s.Reveal())
	part := "keypad/" + d.ID + "/" + k.Name
	if err != nil {
		h.send(door.Fault{Part: part, Reason: "lookup_failed", Detail: err.Error()})
		return
	}
	h.send(door.Fault{Part: part})
	h.send(door.Claim{Door: d.ID, Side: k.Side, Reader: k.Name, Factor: door.PIN, Person: person})
}

// checkCodes takes commands in their order, one at a time: none to lock is overtaken by one to
// unlock that came before it.
func (h *hub) checkCodes(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-h.codes:
			if c.code != "" {
				h.checkCode(ctx, &c)
			}
			h.sendBehind(c.cmd)
		}
	}
}

func (h *hub) checkCode(ctx context.Context, c *codeCheck) {
	person, err := h.store.LookupRemoteCode(ctx, c.code)
	switch {
	case err != nil:
		c.cmd.Bad = "the code could not be looked up"
	case person == "":
		c.cmd.Code = door.CodeWrong
	default:
		c.cmd.Code, c.cmd.Person = door.CodeRight, person
	}
}
