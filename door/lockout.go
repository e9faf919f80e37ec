package door

import "time"

// Lockout counts wrong secrets of one reader, person or bus user. Its times run only while
// the hub runs.
type Lockout struct {
	Wrong     int           `json:"wrong"`     // wrong tries that still count
	Remaining time.Duration `json:"remaining"` // no secret is taken until it has run out
	Quiet     time.Duration `json:"quiet"`     // since the last wrong try
}
