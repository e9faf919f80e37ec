package history

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/doorhub/doorhub/door"
)

// Measurement is the one that all points are of: one for each record of the journal.
const Measurement = "doorhub"

// The tags of a point, which stand in its series: few values each. One that is empty is left out.
const (
	TagDoor   = "door"   // door id
	TagKind   = "kind"   // what happened, as "entry"
	TagSide   = "side"   // "entry" or "exit"
	TagPerson = "person" // person id, never the name
)

// The fields of a point. Each is always of the same type.
const (
	FieldSeq      = "seq"                // integer: number of the record, gapless
	FieldName     = "name"               // string: what the person is called; "" once erased
	FieldFactors  = "factors"            // string: as "pin+face"
	FieldReason   = "reason"             // string: one word
	FieldSensor   = "sensor"             // string: sensor id; of sensors alone
	FieldPart     = "part"               // string: what has the problem; of problem, problem_gone
	FieldText     = "text"               // string: the problem, for people
	FieldDistance = "distance"           // float: how far the face was; where there was one
	FieldDetails  = "details"            // string: all details as JSON
	FieldSynced   = "synced"             // boolean: the clock was known to be right
	FieldOffset   = "clock_offset"       // integer, ns: to be added to the time; where that is known
	FieldSince    = "since_boot_seconds" // float: the order of records made before the clock was right
	FieldHour     = "hour"               // float: time of day at the house, 13.5 is half past one
	FieldInside   = "inside_seconds"     // float: of an exit, how long that person had been inside; where that is known
)

// telling is what a point tells beside its record.
type telling struct {
	name   string         // what the person is called
	inside *time.Duration // for FieldInside; nil: nobody knows
	zone   *time.Location
}

// point is a record as InfluxDB keeps it, a line of its protocol. Its time is the record's own,
// of which there is one for each record: sent again, it overwrites itself.
func (l line) point(r door.Record, t telling) ([]byte, error) {
	l.series(r)
	if len(r.Details) > 0 {
		text, _ := json.Marshal(r.Details) // of strings: cannot fail
		l.text(FieldDetails, string(text))
	}
	if d, err := strconv.ParseFloat(r.Details[door.DetailDistance], 64); err == nil {
		l.number(FieldDistance, d)
	}
	l.text(FieldFactors, r.Factors.String())
	l.number(FieldHour, hour(r.Time.In(t.zone)))
	if t.inside != nil {
		l.number(FieldInside, t.inside.Seconds())
	}
	l.text(FieldName, t.name)
	l.text(FieldReason, r.Reason)
	l.AddField(FieldSeq, lineprotocol.IntValue(int64(r.Seq)))
	l.number(FieldSince, r.Clock.Mono.Seconds())
	for _, d := range [...][2]string{{FieldPart, door.DetailPart}, {FieldSensor, door.DetailSensor}, {FieldText, door.DetailText}} {
		if value := r.Details[d[1]]; value != "" {
			l.text(d[0], value)
		}
	}
	l.AddField(FieldSynced, lineprotocol.BoolValue(r.Clock.Synced))
	return l.end(r.Time)
}

func hour(t time.Time) float64 {
	return float64(t.Hour()) + float64(t.Minute())/60 + float64(t.Second())/3600
}

// nameless takes the name out of a record's point.
func (l line) nameless(r door.Record) ([]byte, error) {
	l.series(r)
	l.text(FieldName, "")
	return l.end(r.Time)
}

// corrected says by how much the clock was wrong when the record was made.
func (l line) corrected(r door.Record, offset time.Duration) ([]byte, error) {
	l.series(r)
	l.AddField(FieldOffset, lineprotocol.IntValue(int64(offset)))
	return l.end(r.Time)
}

// line writes one line after the other.
type line struct{ *lineprotocol.Encoder }

func newLine() line { return line{&lineprotocol.Encoder{}} }

// series begins a line with the identity of a record's point: what else is written under it
// is added to it.
func (l line) series(r door.Record) {
	l.Reset()
	l.StartLine(Measurement)
	for _, tag := range [...][2]string{{TagDoor, r.Door}, {TagKind, string(r.Kind)}, {TagPerson, r.Person}, {TagSide, string(r.Side)}} {
		if tag[1] != "" {
			l.AddTag(tag[0], tag[1])
		}
	}
}

// text writes a line feed and the like as a space: InfluxDB has no form of them that reads back.
func (l line) text(field, value string) {
	if !printable(value) {
		value = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r // what is no UTF-8 comes as U+FFFD
		}, value)
	}
	v, _ := lineprotocol.StringValue(value) // refuses only what is no UTF-8
	l.AddField(field, v)
}

// number leaves out what is no number, since a database has none of it.
func (l line) number(field string, value float64) {
	if v, ok := lineprotocol.FloatValue(value); ok {
		l.AddField(field, v)
	}
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

func (l line) end(at time.Time) ([]byte, error) {
	l.EndLine(at)
	return bytes.Clone(l.Bytes()), l.Err()
}
