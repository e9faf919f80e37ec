package broker

// Backlog returns how many bytes wait for the slowest connected client of a user, and whether
// one is connected. Who sends much to a user waits while there are many, since all else for that
// client stands behind them.
func (s *Server) Backlog(user string) (bytes int, connected bool) {
	for _, x := range s.sessionsOf(user) {
		n, is := x.backlog()
		bytes, connected = max(bytes, n), connected || is
	}
	return bytes, connected
}

func (x *session) backlog() (bytes int, connected bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.conn == nil {
		return 0, false
	}
	return max(x.bytes, x.conn.out.pending()), true
}
