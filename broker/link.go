package broker

import "time"

// Link is what a client knows of its connection; no secret is in it.
type Link struct {
	URL        string    `json:"url,omitempty"` // in use, or last tried; "" within the process
	Up         bool      `json:"up"`
	Since      time.Time `json:"since"`             // when it was made, or lost
	Reconnects uint64    `json:"reconnects"`        // since the client was started
	Problem    string    `json:"problem,omitempty"` // what is wrong
	Unhandled  int       `json:"unhandled"`         // messages received and still to be handled
}

// Link looks at the connection.
func (c *Client) Link() Link {
	up := c.Up()
	c.mu.Lock()
	defer c.mu.Unlock()
	l := Link{URL: c.url, Up: up, Since: c.since.UTC(), Reconnects: max(c.connects, 1) - 1, Unhandled: len(c.queue)}
	if c.wrong != nil {
		l.Problem = c.wrong.Error()
	}
	return l
}
