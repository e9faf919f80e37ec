package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/doorhub/doorhub/broker"
)

type brokerACL struct {
	For  string                 `help:"mosquitto or nats." required:"" placeholder:"BROKER"`
	User map[string]broker.Role `help:"These users in place of those that doorhub has; once for each." placeholder:"NAME=ROLE"`
}

// Run prints the rules of the users as a broker elsewhere reads them.
func (c brokerACL) Run(a *app) error {
	users, err := c.users(a)
	if err != nil {
		return err
	}
	text, err := broker.ExportRules(c.For, users)
	if err != nil {
		return exit{exitUsage, err}
	}
	if a.cli.JSON {
		return a.printJSON(map[string]any{"for": c.For, "users": users, "rules": text})
	}
	fmt.Fprint(a.out, text)
	return nil
}

// users are the named ones, or else those that doorhub has and the hub itself.
func (c brokerACL) users(a *app) ([]broker.User, error) {
	var users []broker.User
	if len(c.User) > 0 {
		for _, name := range slices.Sorted(maps.Keys(c.User)) {
			users = append(users, broker.User{Name: name, Role: c.User[name]})
		}
		return users, nil
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	hub := broker.User{Name: cmp.Or(cfg.Broker.User, hubUser), Role: broker.RoleHub}
	err = a.connected(func(c caller) error {
		return c.call(a.ctx, "broker.user.list", struct{}{}, collect(&users), nothing)
	})
	return slices.Insert(users, 0, hub), err
}
