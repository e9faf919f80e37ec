package main

import (
	"fmt"
	"time"

	"github.com/doorhub/doorhub/broker"
	"github.com/doorhub/doorhub/door"
)

type tryCmd struct {
	Who  string `arg:"" help:"Id or name."`
	With string `help:"The factors shown, as pin+face." default:"" placeholder:"SET"`
	Door string `help:"At which door (default: the first)." placeholder:"ID"`
}

// Run tells whether somebody would get in.
func (c tryCmd) Run(a *app) error {
	req := tryRequest{Who: c.Who, Door: c.Door}
	if c.With != "" {
		set, err := door.ParseSet(c.With)
		if err != nil {
			return exit{exitUsage, err}
		}
		req.Factors = set
	}
	return a.connected(func(hub caller) error {
		v, err := callOne[tryAnswer](a, hub, "try", req)
		if err != nil {
			return err
		}
		if err := a.printTry(v, req); err != nil {
			return err
		}
		if !v.Opens {
			return exit{exitRefused, nil}
		}
		return nil
	})
}

func (a *app) printTry(v tryAnswer, req tryRequest) error {
	if a.cli.JSON {
		return a.printJSON(v)
	}
	would := "would not get in"
	if v.Opens {
		would = "would get in"
	}
	fmt.Fprintf(a.out, "%s %s with %s\n", v.Name, would, orNothing(req.Factors))
	for _, why := range v.Why {
		fmt.Fprintf(a.out, "  - %s\n", why)
	}
	fmt.Fprintf(a.out, "  (opens for %s: %s)\n", v.Name, setsText(v.Policy))
	return nil
}

type brokerCmd struct {
	User brokerUserCmd `cmd:"" help:"Who may use the bus, and in which role."`
	ACL  brokerACL     `cmd:"" name:"acl" help:"Print the rules of the bus for a broker elsewhere."`
	Cert brokerCertCmd `cmd:"" help:"The certificates by which devices know the bus, and it them."`
	Top  brokerTop     `cmd:"" help:"Show who is connected, how busy, and what waits; q ends."`
}

type brokerUserCmd struct {
	Add    brokerUserAdd    `cmd:"" help:"Add a user and print its token, this once."`
	List   brokerUserList   `cmd:"" help:"List the users."`
	Revoke brokerUserRevoke `cmd:"" help:"Take a user away; its connection is cut."`
	Rotate brokerUserRotate `cmd:"" help:"Give a user a new token; the old one ends."`
}

type brokerUserAdd struct {
	Name string      `arg:"" help:"A sensor's user is called like the sensor."`
	Role broker.Role `help:"homeassistant, sensor, reader or viewer." required:""`
}

// Run adds a user of the bus.
func (c brokerUserAdd) Run(a *app) error {
	if _, err := parseRole(c.Role); err != nil {
		return exit{exitUsage, err}
	}
	return a.token("broker.user.add", userRequest(c))
}

type brokerUserRotate struct {
	Name string `arg:""`
}

// Run gives a user of the bus a new token.
func (c brokerUserRotate) Run(a *app) error {
	return a.token("broker.user.rotate", userRequest{Name: c.Name})
}

func (a *app) token(method string, req userRequest) error {
	return a.connected(func(hub caller) error {
		u, err := callOne[userView](a, hub, method, req)
		if err != nil {
			return err
		}
		if a.cli.JSON {
			return a.printJSON(u)
		}
		fmt.Fprintf(a.out, "user %s\npassword %s\n(shown this once; doorhub keeps only a hash)\n", u.Name, u.Token)
		return nil
	})
}

type brokerUserList struct{}

// Run lists the users of the bus.
func (brokerUserList) Run(a *app) error {
	return a.connected(func(hub caller) error {
		var users []userRow
		if err := hub.call(a.ctx, "broker.user.list", struct{}{}, collect(&users), nothing); err != nil {
			return err
		}
		for _, u := range users {
			if a.cli.JSON {
				if err := a.printJSON(u); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(a.out, "%s\t%s%s\n", u.Name, u.Role, seenText(u.Seen))
		}
		return nil
	})
}

// seenText says when a user was last seen, where that is known.
func seenText(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return "\tlast seen " + at.Local().Format(time.DateTime)
}

type brokerUserRevoke struct {
	Name string `arg:""`
}

// Run takes a user of the bus away.
func (c brokerUserRevoke) Run(a *app) error {
	return a.connected(func(hub caller) error {
		u, err := callOne[broker.User](a, hub, "broker.user.revoke", userRequest{Name: c.Name})
		if err != nil {
			return err
		}
		if a.cli.JSON {
			return a.printJSON(map[string]string{"revoked": u.Name})
		}
		fmt.Fprintf(a.out, "revoked %s\n", u.Name)
		return nil
	})
}
