package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/doorhub/doorhub/broker"
)

// retained is all that the broker keeps for whoever comes.
func (d *coreDay) retained(t *testing.T) map[string]string {
	t.Helper()
	name := fmt.Sprintf("reader%d", time.Now().UnixNano())
	token, err := d.hub.users.Lend(name, broker.RoleHub)
	must(t, err)
	client, err := broker.Dial(t.Context(), broker.ClientConfig{Conn: d.hub.server.Dial, User: name, Token: token, ClientID: name})
	must(t, err)
	defer client.Close()
	must(t, client.Ready(soon(t)))
	var mu sync.Mutex
	all, last := map[string]string{}, make(chan struct{})
	const end = "doorhub/instance/hub/end"
	for _, filter := range []string{"doorhub/#", "homeassistant/#"} {
		must(t, client.Subscribe(soon(t), filter, 1, func(m broker.Message) {
			mu.Lock()
			defer mu.Unlock()
			if m.Topic == end {
				close(last)
			} else if m.Retain {
				all[m.Topic] = string(m.Payload)
			}
		}))
	}
	must(t, client.Publish(soon(t), broker.Message{Topic: end, QoS: 1}))
	select {
	case <-last:
	case <-soon(t).Done():
		t.Fatal("the broker does not tell what it keeps")
	}
	mu.Lock()
	defer mu.Unlock()
	if len(all) < 10 {
		t.Fatalf("the broker keeps %d messages only", len(all))
	}
	return maps.Clone(all)
}

// nothingLeaks: what was typed, sent or enrolled in this day is in nothing that others read.
func (d *coreDay) nothingLeaks(t *testing.T) {
	var told strings.Builder
	for topic, payload := range d.retained(t) {
		fmt.Fprintln(&told, topic, payload)
	}
	for _, path := range []string{"/api/states", "/api/history/period?filter_entity_id=" + strings.Join(slices.Collect(maps.Keys(d.entities())), ","), "/api/logbook"} {
		var answer any
		must(t, d.call("GET", path, nil, &answer))
		told.Write(mustJSON(t, answer))
	}
	if !strings.Contains(told.String(), "granted") {
		t.Fatal("nothing to be searched")
	}
	for where, text := range map[string]string{"on the bus, in states or history": told.String(), "in Home Assistant's log": d.log(), "in the hub's log": d.said.text()} {
		secrets := map[string]string{"Ann's PIN": annPIN, "a wrong PIN": noPIN, "Ann's remote code": annRemote, "a wrong code": noRemote,
			"a descriptor": fmt.Sprint(annsFace)[:7]}
		for user, token := range d.house.tokens {
			secrets["the password of "+user] = token
		}
		for what, secret := range secrets {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s is %s: …%.200s", what, where, text[max(0, i-100):])
			}
		}
	}
}
