package discovery

import "time"

// HistoryState is how far the journal is in the database.
type HistoryState struct {
	Backlog uint64    // records still to be sent
	Refused int       // records set aside, which the database does not take
	Last    time.Time // when it last took something; zero: not since the hub's start
	Problem string    // what is wrong, one word; "": nothing
}

// historyState is a HistoryState as the bus carries it.
type historyState struct {
	Backlog uint64  `json:"backlog"`
	Refused int     `json:"refused"`
	Last    *string `json:"last"`
	Problem *string `json:"problem"`
}

// History returns the retained state of the database at doorhub/instance/<name>/history.
func History(instance string, s HistoryState) Message {
	p := historyState{Backlog: s.Backlog, Refused: s.Refused}
	if !s.Last.IsZero() {
		at := stamp(s.Last)
		p.Last = &at
	}
	if s.Problem != "" {
		p.Problem = &s.Problem
	}
	return state(historyTopic(instance), encode(p))
}

// NoHistory takes back what History said, where there is no database any more.
func NoHistory(instance string) Message { return state(historyTopic(instance), []byte{}) }
