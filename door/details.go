package door

// The keys of a record's Details. Values are text: ids, numbers with a point, or durations
// as time.Duration prints them.
const (
	DetailSensor   = "sensor"    // id: intrusion, sensor_open, sensor_closed
	DetailReader   = "reader"    // which reader of the door: denied, lockout
	DetailFor      = "for"       // duration: lockout (how long), closed (how long it was open)
	DetailMissing  = "missing"   // set: denied, what the nearest policy still wanted
	DetailDistance = "distance"  // granted, denied, seen: the face's distance to the person of the record; 1.00 is nowhere near
	DetailRunnerUp = "runner_up" // ... person id: the nearest of all others
	DetailMargin   = "margin"    // ... by how much farther they are; negative where a claim was verified and another was nearer
	DetailNearest  = "nearest"   // seen and nobody identified: id of the person who came nearest, for whom the face was not taken
	DetailNearness = "nearness"  // ... at what distance
	DetailLiveness = "liveness"  // granted, seen: how the face was judged: unjudged, unsure, live, challenge
	DetailWhy      = "why"       // denied for a challenge: what was wrong with it
	DetailTurns    = "turns"     // denied for a challenge: turns done, of turns asked for, as "1/3"
	DetailKnown    = "known"     // denied: ids of those known when a wrong secret was typed
	DetailGrantee  = "let_in_by" // person id: entry, not_entered of somebody let in from afar
	DetailInside   = "inside"    // entry, exit: "uncertain" when nobody can say who is inside any more
	DetailUser     = "user"      // bus user: command_refused, locked and granted by a command
	DetailAction   = "action"    // command_refused
	DetailPart     = "part"      // problem, problem_gone: what has it
	DetailText     = "text"      // for people: problem
	DetailLeftOut  = "left_out"  // problem_gone of too_many: how many were not written down
	DetailConsent  = "consent"   // enrolled with a face: the day on which the person agreed, as 2026-11-21, UTC
	DetailVersion  = "version"   // started
	DetailOffset   = "offset"    // duration: clock_set, new minus old
	DetailRecord   = "record"    // number: changed, the record whose face was not who it was taken for, or was after all
)

// Why somebody was denied, or a command refused.
const (
	ReasonWrongPIN     = "wrong_pin"     // nobody's PIN
	ReasonUnknownCard  = "unknown_card"  // nobody's card; other things that are held likewise
	ReasonLockedOut    = "locked_out"    // too many wrong tries before
	ReasonNoFace       = "no_face"       // a claim, and no face came
	ReasonFaceMismatch = "face_mismatch" // a claim, and the face is not that person's
	ReasonSpoof        = "spoof"         // a picture in place of a head
	ReasonUnsure       = "unsure_alive"  // nobody could say whether the face is a head
	ReasonChallenge    = "challenge"     // the head was not turned as asked
	ReasonNoVision     = "no_vision"     // faces could not be seen
	ReasonIncomplete   = "incomplete"    // another factor was wanted

	ReasonUnreadable = "unreadable"     // the payload is no command
	ReasonNoDoor     = "no_such_door"   //
	ReasonRetained   = "retained"       // it lay in the broker's memory
	ReasonNoCode     = "no_code"        // unlocking needs a remote code
	ReasonWrongCode  = "wrong_code"     //
	ReasonNoTime     = "no_time"        // it does not say when it was issued
	ReasonStale      = "stale"          // issued more than 10 s ago, or before the hub started
	ReasonAhead      = "ahead"          // issued more than 10 s from now
	ReasonReplayed   = "replayed"       // seen before
	ReasonUnsynced   = "clock_unsynced" // the hub does not know the time, so it cannot judge
)

// What can be wrong with a challenge; a camera knows more words.
const (
	WhyNoAnswer = "no_answer" // nobody turned at all
	WhyTooSlow  = "too_slow"  //
	WhyLost     = "lost"      // the face was lost
	WhySpoof    = "spoof"     // the face turned out to be a picture
)

// What else a Reason can say.
const (
	ReasonClosed   = "closed"   // locked: the door was closed again
	ReasonTimeout  = "timeout"  // locked: the grant ran out
	ReasonCommand  = "command"  // locked, granted: somebody asked over the bus
	ReasonStopping = "stopping" // locked: the hub stops
	ReasonLate     = "late"     // entry, exit: opened just after the grant ran out
	ReasonHandle   = "handle"   // exit: by the inside handle
	ReasonREX      = "rex"      // exit: after the inside button
	ReasonLetIn    = "let_in"   // entry: somebody opened from afar
	ReasonOpen     = "open"     // entry, exit: granted while the door stood open
	ReasonJammed   = "jammed"   // problem: the lock does not do as told
	ReasonTooMany  = "too_many" // problem: more happens than is written down
)

// ReasonForgotten says of a change that credentials of the person were taken away.
const ReasonForgotten = "forgotten"
