package door

import "time"

// Effect is one thing the house wants done. Effects of one Step are carried out in order, so
// that what is recorded is durable before anyone is told.
type Effect interface{ effect() }

type (
	// Write appends a record to the journal.
	Write struct {
		Record Record
		Track  int // the face that it came of, 0: none; it means nothing later and is not journalled
	}

	// Unlock lets the door be opened. The house itself will say Lock; For is how long it means
	// to wait, so that a lock can make sure of it should the hub die.
	Unlock struct {
		Door string
		For  time.Duration
	}

	// Lock locks the door, at once.
	Lock struct{ Door string }

	// Prompt says what the person at the door should do next.
	Prompt struct {
		Door   string
		Side   Side
		Say    Saying
		Person string // whom it is for, when that is known
	}

	// Watch asks the cameras on a side of a door to watch how a face turns, and to answer with
	// Turned; without a Way, no more.
	Watch struct {
		Door   string
		Side   Side
		Track  int
		Way    Way
		Within time.Duration // after it no answer counts
	}

	// Show tells the present state of a door after a change.
	Show struct {
		Door  string
		State DoorState
	}

	// ShowSensor tells the present state of a sensor after a change.
	ShowSensor struct {
		Sensor string
		Open   bool
	}

	// Keep stores what remains of a lockout, so that a restart does not clear it.
	Keep struct {
		Key     string // "reader:front/keypad", "person:p1", "user:homeassistant"; a zero Lockout: forget it
		Lockout Lockout
	}
)

// Saying is what a prompt says, one word for each thing a person can do or must know.
type Saying string

// What a door says.
const (
	SayReady     Saying = "ready"      // nobody is being served
	SayFace      Saying = "face"       // look at the camera
	SayMore      Saying = "more"       // one more factor: PIN or card
	SayLeft      Saying = "turn_left"  // turn the head and back: as a picture cannot
	SayRight     Saying = "turn_right" //
	SayUp        Saying = "look_up"    //
	SayDown      Saying = "look_down"  //
	SayWelcome   Saying = "welcome"    // the door is open to you
	SayDenied    Saying = "denied"     // no
	SayLockedOut Saying = "locked_out" // too many wrong tries: wait
)

// Sayings returns all that a prompt can say.
func Sayings() []Saying {
	return []Saying{SayReady, SayFace, SayMore, SayLeft, SayRight, SayUp, SayDown, SayWelcome, SayDenied, SayLockedOut}
}

// LockState is a lock's state in Home Assistant's words.
type LockState string

// The states of a lock.
const (
	Locked   LockState = "LOCKED"
	Unlocked LockState = "UNLOCKED"
	Jammed   LockState = "JAMMED"
)

// DoorState is what a door shows the world.
type DoorState struct {
	Lock LockState
	Open bool // by its contact; always false without one
}

func (Write) effect()      {}
func (Unlock) effect()     {}
func (Lock) effect()       {}
func (Prompt) effect()     {}
func (Watch) effect()      {}
func (Show) effect()       {}
func (ShowSensor) effect() {}
func (Keep) effect()       {}
