// Package discovery turns the house and its journal into what Home Assistant reads over MQTT,
// and what Home Assistant and sensors send back into the house's words. It handles bytes
// alone: who sends them, when and over which broker is its caller's business.
//
// The formats are those of Home Assistant's MQTT discovery
// (https://www.home-assistant.io/integrations/mqtt/), tried against 2026.11.
package discovery

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Config says where Home Assistant is met.
type Config struct {
	Enabled      bool   `yaml:"enabled"`       // publish discovery, and take commands
	Prefix       string `yaml:"prefix"`        // discovery prefix, as set in Home Assistant's MQTT options
	Birth        string `yaml:"birth"`         // topic where Home Assistant says online; there it does not follow the prefix
	Broker       string `yaml:"broker"`        // "": the hub's own bus; else Home Assistant's broker, as mqtt://host:1883 or mqtts://host:8883
	User         string `yaml:"user"`          // at that broker; "": nobody
	PasswordFile string `yaml:"password_file"` // holds that user's password; "": none
	CA           string `yaml:"ca"`            // PEM file that vouches for an mqtts broker; "": the system's

	Inside InsideMode `yaml:"inside"` // what is told of who is inside: names, count or off
	People bool       `yaml:"people"` // tell of each person whether they are inside

	PlaintextAnywhere bool `yaml:"plaintext_anywhere"` // allow an mqtt broker on another machine: password and remote codes can then be read on the way
}

// InsideMode is how much is told of who is inside.
type InsideMode string

// The modes.
const (
	InsideNames InsideMode = "names" // how many, and who
	InsideCount InsideMode = "count" // how many
	InsideOff   InsideMode = "off"   // nothing
)

func (m InsideMode) validate() error {
	if !slices.Contains([]InsideMode{InsideNames, InsideCount, InsideOff}, m) {
		return fmt.Errorf("inside: %q: use names, count or off", string(m))
	}
	return nil
}

// Defaults returns what suits a Home Assistant with untouched MQTT options on the hub's own bus.
func Defaults() Config {
	return Config{Enabled: true, Prefix: "homeassistant", Birth: "homeassistant/status", Inside: InsideNames}
}

// Validate reports all that is wrong, each with what would be right.
func (c Config) Validate() error {
	return errors.Join(
		validTopic("prefix", c.Prefix), validTopic("birth", c.Birth),
		c.validBroker(), c.validLogin(), c.Inside.validate())
}

func validTopic(key, topic string) error {
	switch {
	case topic == "" || strings.HasPrefix(topic, "/") || strings.HasSuffix(topic, "/"):
		return fmt.Errorf("%s: %q: use a topic that neither begins nor ends with /, as in homeassistant", key, topic)
	case strings.ContainsAny(topic, "+#\x00") || clean(topic, len(topic)) != topic:
		return fmt.Errorf("%s: %q: use a topic of plain characters, without + and #", key, topic)
	case strings.HasPrefix(topic, "$"):
		return fmt.Errorf("%s: %q: topics beginning with $ belong to the broker; use one as homeassistant", key, topic)
	case topic == "doorhub" || strings.HasPrefix(topic, "doorhub/"):
		return fmt.Errorf("%s: %q: doorhub/ is for the hub's own topics; use one as homeassistant", key, topic)
	}
	return nil
}

func (c Config) validBroker() error {
	if c.Broker == "" {
		return nil
	}
	u, err := url.Parse(c.Broker)
	if err != nil { // its text may hold a password
		return errors.New("broker: no address: use mqtt://host:1883 or mqtts://host:8883")
	}
	if u.User != nil {
		return errors.New("broker: holds a login: put the name into user and the password into password_file")
	}
	if (u.Scheme != "mqtt" && u.Scheme != "mqtts") || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("broker: %q: use mqtt://host:1883 or mqtts://host:8883", c.Broker)
	}
	if _, port, err := net.SplitHostPort(u.Host); err != nil || !validPort(port) {
		return fmt.Errorf("broker: %q: add a port from 1 to 65535; mqtt brokers use 1883, mqtts 8883", c.Broker)
	}
	return nil
}

func validPort(port string) bool {
	n, err := strconv.Atoi(port)
	return err == nil && n >= 1 && n <= 65535
}

func (c Config) validLogin() error {
	var errs []error
	if c.Broker == "" && (c.User != "" || c.PasswordFile != "" || c.CA != "") {
		errs = append(errs, errors.New("user, password_file and ca are for a broker of Home Assistant's: set broker too, or leave them empty"))
	}
	if c.PasswordFile != "" && c.User == "" {
		errs = append(errs, errors.New("password_file: MQTT knows no password without a user: set user too"))
	}
	if c.CA != "" && c.Broker != "" && !strings.HasPrefix(c.Broker, "mqtts://") {
		errs = append(errs, errors.New("ca: only an mqtts broker shows a certificate: use mqtts:// in broker, or leave ca empty"))
	}
	return errors.Join(errs...)
}
