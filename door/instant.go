package door

import "time"

// Instant is a moment as the hub knows it when an input arrives.
//
// Deadlines and lockouts are reckoned in Mono, which never jumps. Wall is for people and
// for schedules, and may be wrong until Synced: a Raspberry Pi has no clock at boot.
type Instant struct {
	Wall   time.Time     // UTC as known now
	Mono   time.Duration // since the boot of the machine; never goes back
	Synced bool          // the wall clock has been set by a time source since boot
}
