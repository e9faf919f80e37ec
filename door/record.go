package door

import "time"

// Side says which side of a door something serves or happened on.
type Side string

// The two sides of a door; a record without a side has "".
const (
	Entry Side = "entry" // outside
	Exit  Side = "exit"  // inside
)

// Kind says what a record tells.
type Kind string

// The kinds of journal records. What each carries in Details stands in details.go.
const (
	KindGranted        Kind = "granted"         // a person may pass; not yet an entry
	KindDenied         Kind = "denied"          // somebody was refused; Reason says why
	KindEntry          Kind = "entry"           // somebody came in
	KindExit           Kind = "exit"            // somebody went out
	KindNotEntered     Kind = "not_entered"     // granted, and the door never opened
	KindSeen           Kind = "seen"            // a face, identified or not
	KindREX            Kind = "rex"             // the inside button
	KindIntrusion      Kind = "intrusion"       // an armed sensor tripped
	KindLockout        Kind = "lockout"         // too many wrong secrets: no more are taken for a while
	KindForced         Kind = "forced"          // opened with no grant, no REX and no allowed egress
	KindHeldOpen       Kind = "held_open"       // open past the limit
	KindClosed         Kind = "closed"          // closed after forced or held_open
	KindLocked         Kind = "locked"          // the lock was told to lock
	KindUnlocked       Kind = "unlocked"        // unlocked without a grant
	KindJammed         Kind = "jammed"          // the lock does not do as told
	KindSensorOpen     Kind = "sensor_open"     // a window or the like opened
	KindSensorClosed   Kind = "sensor_closed"   // and closed
	KindEnrolled       Kind = "enrolled"        // a credential was given to a person
	KindChanged        Kind = "changed"         // a person or credential was changed or taken away
	KindErased         Kind = "erased"          // a person was erased; records keep the id
	KindCommandRefused Kind = "command_refused" // a command from the bus was not carried out
	KindStarted        Kind = "started"         // the hub started
	KindStopped        Kind = "stopped"         // the hub stopped in order
	KindClockSet       Kind = "clock_set"       // the wall clock was set; Details has the offset
	KindProblem        Kind = "problem"         // something needs a hand; Reason names it
	KindProblemGone    Kind = "problem_gone"    // and is well again
)

// Clock is what the hub knew of time when a record was made.
type Clock struct {
	Synced bool          `json:"synced"` // the wall clock had been set since boot
	Boot   string        `json:"boot"`   // the kernel's boot id
	Mono   time.Duration `json:"mono"`   // ns since that boot
}

// Record is one entry of the journal: the durable, ordered, tamper-evident account of all
// that happened. The house fills in what happened; the store, when it makes the record
// durable, sets Seq, Prev and Hash, and moves Time on by single nanoseconds where needed to
// keep it unique.
type Record struct {
	Seq     uint64            `json:"seq"`              // gapless from 1
	Time    time.Time         `json:"time"`             // UTC as known then, unique to the nanosecond
	Clock   Clock             `json:"clock"`            //
	Door    string            `json:"door,omitempty"`   // door id; "" for the house
	Kind    Kind              `json:"kind"`             //
	Side    Side              `json:"side,omitempty"`   //
	Person  string            `json:"person,omitempty"` // person id, never the name
	Factors Set               `json:"factors,omitzero"` //
	Reason  string            `json:"reason,omitempty"` // one word of the field, as "wrong_pin"
	Details map[string]string `json:"details,omitempty"`
	Sealed  []byte            `json:"sealed,omitempty"` // fixed length in granted, denied and disarmed; empty elsewhere
	Prev    []byte            `json:"prev"`             // hash of the record before; 32 zero bytes for the first
	Hash    []byte            `json:"hash"`             // HMAC-SHA-256 over the canonical record and Prev
}
