package door

import "time"

// Input is one thing that happened outside the house and that it must know of.
type Input interface{ input() }

type (
	// Started comes first, once, when the hub is up.
	Started struct{ Version string }

	// Stopping comes last. All that is unlocked is locked again, but for a bolt whose door
	// stands open.
	Stopping struct{}

	// Claim is a credential read at a door that names a person. Secrets are resolved before
	// they come here: only the answer enters the house.
	Claim struct {
		Door   string
		Side   Side
		Reader string // which reader, as "keypad"; lockouts count per reader
		Factor Factor
		Person string // "" when the credential is nobody's
	}

	// Face is one look at one face before a door's camera.
	Face struct {
		Door     string
		Side     Side
		Track    int     // the same face from look to look has the same number; never reused while the hub runs
		Near     []Match // those enrolled, nearest first: all within the 1:1 threshold, and at least the nearest two
		Liveness Liveness
	}

	// Turned is what a camera saw of a turn of the head that a Watch asked for.
	Turned struct {
		Door  string
		Side  Side
		Track int
		Way   Way    // which was asked for
		Why   string // "" when the head turned that way and like a head, in time; else what was wrong, in one word
	}

	// Gone tells that a track has left the camera's view.
	Gone struct {
		Door  string
		Track int
	}

	// Contact is what a door's contact reports.
	Contact struct {
		Door string
		Open bool
	}

	// REX is a press of the inside button.
	REX struct{ Door string }

	// Command is what somebody asks for over the bus.
	Command struct {
		Door     string
		Action   Action
		User     string    // the bus user who sent it; wrong codes count to a lockout of that user
		Code     Code      // what became of the remote code
		Person   string    // whose code it is, with CodeRight
		At       time.Time // when it was issued, by the sender's clock; zero when it does not say
		Retained bool      // it came from the broker's memory
		Bad      string    // the payload could not be read: why; nothing else above but Door and User counts
	}

	// Jam tells whether a door's lock does as it was told.
	Jam struct {
		Door   string
		Jammed bool
	}

	// Sensor is what an intrusion sensor reports.
	Sensor struct {
		Sensor string
		Open   bool
	}

	// Vision tells whether one camera can see faces; Reason is "" when all is well.
	Vision struct {
		Door   string
		Side   Side
		Camera int    // which of the cameras on that side, from 0
		Reason string // one word, as "camera_lost", "camera_black", "camera_frozen", "camera_noise", "no_models"
		Detail string // for people
	}

	// Fault tells of a problem of any other part; Reason is "" when it is gone.
	Fault struct {
		Part   string // what has it, as "journal", "bus", "lock/front"
		Reason string
		Detail string
	}

	// ClockSet tells that the wall clock was set; Offset is new minus old.
	ClockSet struct{ Offset time.Duration }

	// People replaces all that the house knows of people. Who is no longer there opens nothing.
	People struct{ People []Person }

	// Note is a record of something done elsewhere, as an enrolment, that belongs in the journal.
	Note struct{ Record Record }
)

// Match is the distance from a face to the nearest descriptor of one enrolled person:
// Euclidean between two 128-vectors, 0 the same picture, above 0.6 somebody else.
type Match struct {
	Person   string
	Distance float64
}

// Liveness says whether a face is a head and not a picture.
type Liveness string

// How a face was judged. One that nobody has judged yet may still be: nobody is asked to turn
// before it is unsure.
const (
	Unjudged Liveness = "unjudged"
	Unsure   Liveness = "unsure" // it did not move enough to say
	Live     Liveness = "live"
	Spoof    Liveness = "spoof"
)

// Action is what a command asks for.
type Action string

// Locking tightens and needs no code; unlocking loosens and does.
const (
	ActionLock   Action = "lock"
	ActionUnlock Action = "unlock"
)

// Code is what became of the remote code in a command.
type Code string

// A command with NoCode may only tighten.
const (
	NoCode    Code = "none"
	CodeWrong Code = "wrong"
	CodeRight Code = "right"
)

func (Started) input()  {}
func (Stopping) input() {}
func (Claim) input()    {}
func (Face) input()     {}
func (Turned) input()   {}
func (Gone) input()     {}
func (Contact) input()  {}
func (REX) input()      {}
func (Command) input()  {}
func (Jam) input()      {}
func (Sensor) input()   {}
func (Vision) input()   {}
func (Fault) input()    {}
func (ClockSet) input() {}
func (People) input()   {}
func (Note) input()     {}
