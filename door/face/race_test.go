//go:build race

package face

// underRace says that the race detector is built in, with which everything takes its time.
const underRace = true
