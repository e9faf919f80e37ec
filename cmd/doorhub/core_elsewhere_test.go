package main

import (
	"net"
	"path/filepath"
	"testing"
)

// The same house with the broker that its owner has already: the hub goes there by TLS, with a
// password from a file, and Home Assistant as it always did.
func TestHomeAssistantCoreElsewhere(t *testing.T) {
	c := startCore(t)
	secure := freeAddr(t)
	_, port, err := net.SplitHostPort(secure)
	must(t, err)
	dir := t.TempDir()
	makeClusterCert(t, dir)
	m := startMosquitto(t, "listener "+port+" 127.0.0.1", "certfile "+dir+"/server.crt", "keyfile "+dir+"/server.key")
	day := &coreDay{core: c, whole: t, said: &saying{}, at: m.login, house: newTestHouse(t, withBroker(m), func(cfg *Config) {
		cfg.HomeAssistant.Broker, cfg.HomeAssistant.CA = "mqtts://"+secure, filepath.Join(dir, "ca.crt")
		cfg.HomeAssistant.People = true
	})}
	day.begin(t)
	c.join(day.at())
	day.live(t, []part{
		{"entities appear", day.entitiesAppear},
		{"a code opens", day.codeOpens},
		{"an entry shows once", day.entryShowsOnce},
		{"the broker restarts", func(t *testing.T) { day.brokerRestarts(t, m) }},
		{"the hub restarts", day.hubRestarts},
		{"Home Assistant restarts", day.coreRestarts},
		{"what is gone is removed", day.goneIsRemoved},
		{"no complaints", day.noComplaints},
	})
}

// brokerRestarts: it has lost all, and everything comes back by itself.
func (d *coreDay) brokerRestarts(t *testing.T, m *mosquitto) {
	m.stop()
	d.shows("lock.front", "unavailable")
	missed := d.comesIn(t) // the door waits for no broker
	changes := d.changes()
	m.start()
	d.all(t, 19)
	d.shownOnce(t, changes, append(missed, d.comesIn(t)...))
}
