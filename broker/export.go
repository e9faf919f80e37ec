package broker

import (
	"fmt"
	"slices"
	"strings"
)

// The brokers elsewhere for which ExportRules words the rules of users.
const (
	Mosquitto = "mosquitto" // an acl_file, as mosquitto.conf(5) describes it
	NATS      = "nats"      // users and permissions of nats-server, to be included in an account
)

// ExportRules returns the rules of users as the named broker reads them from a file, which
// begins with what that broker cannot be told. Users must be valid, each there once.
func ExportRules(target string, users []User) (string, error) {
	word := map[string]func([]User) string{Mosquitto: forMosquitto, NATS: forNATS}[target]
	if word == nil {
		return "", fmt.Errorf("rules for %.40q: use %s or %s", target, Mosquitto, NATS)
	}
	known := map[string]bool{}
	for _, u := range users {
		if err := validUser(u.Name, u.Role); err != nil {
			return "", err
		}
		if known[u.Name] {
			return "", fmt.Errorf("user %s stands there twice: name it once", u.Name)
		}
		known[u.Name] = true
		if err := exportable(u); err != nil {
			return "", err
		}
	}
	return word(users), nil
}

// exportable keeps a rule that denies from being lost: here the first rule that fits decides,
// there denying comes first, whatever the order.
func exportable(u User) error {
	for _, r := range Rules(u.Name, u.Role) {
		if !r.Allow {
			return fmt.Errorf("user %s: the rule against %s cannot be told to another broker", u.Name, r.Filter)
		}
	}
	return nil
}

// allowed returns the filters of a user's rules for an action, sorted, without those that
// others of them cover.
func allowed(u User, action Action) []string {
	var filters []string
	for _, r := range Rules(u.Name, u.Role) {
		if r.Action == action {
			filters = append(filters, r.Filter)
		}
	}
	slices.Sort(filters)
	filters = slices.Compact(filters)
	return slices.DeleteFunc(slices.Clone(filters), func(f string) bool {
		return slices.ContainsFunc(filters, func(wide string) bool { return wide != f && covers(wide, f) })
	})
}

const mosquittoHead = `# Who may do what on the house's bus, for Mosquitto 2: its acl_file. Made by
#     doorhub broker acl --for mosquitto
# Make it again after each change of users, then have Mosquitto read it: kill -HUP.
#
# Passwords are not here. Each user of this file needs one in Mosquitto's password_file:
#     doorhub broker user add kitchen --role sensor        prints a token, once
#     mosquitto_passwd -b PASSWORD_FILE kitchen TOKEN      (-c makes the file)
# The hub's own (its name is broker.user in doorhub's config) goes into the file that
# broker.password_file names, too.
#
# What Mosquitto cannot be told, and what comes of it:
# - That a message must not be retained. The hub ignores raw input and commands that were.
# - Whose a client id is: who connects with another's cuts that one off and takes its queue,
#   of which it gets only what its own rules let it read. Nobody can guess the hub's. A
#   listener for devices alone may have use_username_as_clientid true against it.
# - That a subscription is refused: any is taken, and gets nothing that is not listed here.
#   $share, too: users who may read the same may take messages from each other.
# - A will that is not allowed is not refused at login; it is just never told.
`

func forMosquitto(users []User) string {
	var b strings.Builder
	b.WriteString(mosquittoHead)
	for _, u := range users {
		fmt.Fprintf(&b, "\n# %s\nuser %s\n", u.Role, u.Name)
		write, read := allowed(u, Publish), allowed(u, Subscribe)
		for _, f := range write {
			access := "write"
			if slices.Contains(read, f) {
				access = "readwrite"
			}
			fmt.Fprintf(&b, "topic %s %s\n", access, f)
		}
		for _, f := range read {
			if !slices.Contains(write, f) {
				fmt.Fprintf(&b, "topic read %s\n", f)
			}
		}
	}
	return b.String()
}

const natsHead = `# Who may do what on the house's bus, for nats-server (tested: 2.15.2). Made by
#     doorhub broker acl --for nats
# Make it again after each change of users, then: nats-server --signal reload. An account
# of nats.conf includes it (deploy/brokers/nats.conf).
#
# Passwords are not here but in doorhub-passwords.conf beside it, which only nats-server may
# read. One line for each user of this file, and none for anybody else:
#     password_kitchen: "TOKEN"
# with the token that doorhub broker user add prints, once, or what nats server passwd makes
# of it. The hub's own (its name is broker.user in doorhub's config) goes into the file that
# broker.password_file names, too.
#
# What NATS cannot be told, and what comes of it:
# - That a message must not be retained. The hub ignores raw input and commands that were.
# - Whose a client id is: who connects with another's cuts that one off and takes its
#   session, of which it gets only what its own rules let it read. Nobody can guess the hub's.
# - A message that is not allowed is acknowledged all the same, and told to nobody. So is a
#   will: login is not refused.
# - Its own $MQTT subjects carry everybody's messages. Users get at them by MQTT only as far
#   as their rules go; allowed_connection_types keeps them from NATS's own protocol.
`

func forNATS(users []User) string {
	var b strings.Builder
	b.WriteString(natsHead)
	b.WriteString("\ninclude \"doorhub-passwords.conf\"\n\nusers: [\n")
	for _, u := range users {
		fmt.Fprintf(&b, "  # %s\n  {\n    user: %q\n    password: $password_%s\n    allowed_connection_types: [\"MQTT\", \"MQTT_WS\"]\n", u.Role, u.Name, u.Name)
		read := append(subjects(allowed(u, Subscribe)), "$MQTT.sub.>", "$MQTT.deliver.pubrel.>")
		fmt.Fprintf(&b, "    permissions: {\n%s%s    }\n  }\n",
			natsAllow("publish", subjects(allowed(u, Publish))), natsAllow("subscribe", read))
	}
	b.WriteString("]\n")
	return b.String()
}

// natsAllow denies everything when nothing is allowed: to NATS an empty list allows all.
func natsAllow(action string, list []string) string {
	if len(list) == 0 {
		return fmt.Sprintf("      %s: { deny: \">\" }\n", action)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "      %s: { allow: [\n", action)
	for _, s := range list {
		fmt.Fprintf(&b, "        %q\n", s)
	}
	b.WriteString("      ] }\n")
	return b.String()
}

// subjects are filters as NATS has them. Its > stands for one level or more, so a filter that
// ends in # becomes two. $SYS is another account's there.
func subjects(filters []string) []string {
	var list []string
	for _, f := range filters {
		if strings.HasPrefix(f, "$") {
			continue
		}
		s := subject(f)
		if parent, ok := strings.CutSuffix(s, ".>"); ok {
			list = append(list, parent)
		}
		list = append(list, s)
	}
	return list
}

// subject maps a filter without empty levels (docs.nats.io, MQTT, topic names).
func subject(filter string) string {
	return strings.NewReplacer("/", ".", ".", "//", "+", "*", "#", ">").Replace(filter)
}
