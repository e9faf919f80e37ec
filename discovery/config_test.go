package discovery

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfigKeys(t *testing.T) {
	file := `
enabled: false
prefix: ha
birth: ha/status
broker: mqtts://homeassistant.local:8883
user: doorhub
password_file: /etc/doorhub/ha-password
ca: /etc/doorhub/ha-ca.pem
inside: count
people: true
`
	want := Config{Prefix: "ha", Birth: "ha/status", Broker: "mqtts://homeassistant.local:8883",
		User: "doorhub", PasswordFile: "/etc/doorhub/ha-password", CA: "/etc/doorhub/ha-ca.pem", Inside: InsideCount, People: true}
	got := Defaults()
	decoder := yaml.NewDecoder(strings.NewReader(file))
	decoder.KnownFields(true)
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

// Each wrong setting, and what its error must say.
func TestConfigRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"no prefix":        {func(c *Config) { c.Prefix = "" }, "prefix: "},
		"wildcard":         {func(c *Config) { c.Prefix = "home/+" }, "without + and #"},
		"slash at end":     {func(c *Config) { c.Prefix = "homeassistant/" }, "nor ends with /"},
		"line break":       {func(c *Config) { c.Prefix = "home\nassistant" }, "plain characters"},
		"broker's topics":  {func(c *Config) { c.Birth = "$SYS/status" }, "belong to the broker"},
		"own topics":       {func(c *Config) { c.Prefix = "doorhub/ha" }, "the hub's own topics"},
		"no birth":         {func(c *Config) { c.Birth = "" }, "birth: "},
		"no scheme":        {func(c *Config) { c.Broker = "homeassistant.local:1883" }, "mqtt://host:1883"},
		"other scheme":     {func(c *Config) { c.Broker = "http://homeassistant.local:1883" }, "mqtt://host:1883"},
		"no host":          {func(c *Config) { c.Broker = "mqtt://:1883" }, "mqtt://host:1883"},
		"path":             {func(c *Config) { c.Broker = "mqtt://host:1883/x" }, "mqtt://host:1883"},
		"no port":          {func(c *Config) { c.Broker = "mqtt://host" }, "add a port"},
		"port too great":   {func(c *Config) { c.Broker = "mqtt://host:65536" }, "add a port"},
		"login in address": {func(c *Config) { c.Broker = "mqtt://ann:hunter2@host:1883" }, "password_file"},
		"unreadable":       {func(c *Config) { c.Broker = "mqtt://ann:hunter2%zz@host:1883" }, "mqtt://host:1883"},
		"password alone":   {func(c *Config) { c.Broker, c.PasswordFile = "mqtt://host:1883", "p" }, "set user too"},
		"user, no broker":  {func(c *Config) { c.User = "doorhub" }, "set broker too"},
		"inside unknown":   {func(c *Config) { c.Inside = "some" }, "names, count or off"},
		"ca without tls":   {func(c *Config) { c.Broker, c.CA = "mqtt://host:1883", "ca.pem" }, "mqtts://"},
	}
	for name, test := range tests {
		c := Defaults()
		test.change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v; want %q in it, and no password", name, err, test.want)
		}
	}
}
