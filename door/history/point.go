package history

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/influxdata/influxdb-client-go/v2/api/write"

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
	FieldDistance = "distance"           // float: how far the face was; where there was one
	FieldDetails  = "details"            // string: all details as JSON
	FieldSynced   = "synced"             // boolean: the clock was known to be right
	FieldOffset   = "clock_offset"       // integer, ns: to be added to the time; where that is known
	FieldSince    = "since_boot_seconds" // float: the order of records made before the clock was right
)

// point is a record as InfluxDB keeps it. Its time is the record's own, of which there is one
// for each record: sent again, it overwrites itself.
func point(r door.Record, name string) *write.Point {
	p := series(r).
		AddField(FieldSeq, int64(r.Seq)).
		AddField(FieldName, name).
		AddField(FieldFactors, r.Factors.String()).
		AddField(FieldReason, r.Reason).
		AddField(FieldSynced, r.Clock.Synced).
		AddField(FieldSince, r.Clock.Mono.Seconds())
	if sensor := r.Details[door.DetailSensor]; sensor != "" {
		p.AddField(FieldSensor, sensor)
	}
	if d, err := strconv.ParseFloat(r.Details[door.DetailDistance], 64); err == nil {
		p.AddField(FieldDistance, d)
	}
	if len(r.Details) > 0 {
		text, _ := json.Marshal(r.Details) // of strings: cannot fail
		p.AddField(FieldDetails, string(text))
	}
	return p
}

// series is the identity of a record's point: what else is written under it is added to it.
func series(r door.Record) *write.Point {
	p := write.NewPointWithMeasurement(Measurement).SetTime(r.Time)
	for _, tag := range [][2]string{{TagDoor, r.Door}, {TagKind, string(r.Kind)}, {TagPerson, r.Person}, {TagSide, string(r.Side)}} {
		if tag[1] != "" {
			p.AddTag(tag[0], tag[1])
		}
	}
	return p
}

// nameless takes the name out of a record's point.
func nameless(r door.Record) *write.Point { return series(r).AddField(FieldName, "") }

// corrected says by how much the clock was wrong when the record was made.
func corrected(r door.Record, offset time.Duration) *write.Point {
	return series(r).AddField(FieldOffset, int64(offset))
}
