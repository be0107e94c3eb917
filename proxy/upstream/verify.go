package upstream

// maxVerifying bounds how many connections of a loop ask the master about credentials at a time. Whoever tries
// passwords at random would otherwise open one for every attempt, and keep the master from accepting others.
const maxVerifying = 16

// Verify reports whether w may ask the master about credentials now, on a pin of a group without any. If not, w is
// resumed when it may try again, and waits at at. Verified must follow.
func (p *Pool) Verify(at *Place, w Waiter) bool {
	if p.verifying >= maxVerifying {
		p.verifiers.add(at, w)
		return false
	}
	p.verifying++
	return true
}

// Verified says that credentials were accepted, or refused, or that there was no answer.
func (p *Pool) Verified() {
	p.verifying--
	for w := p.verifiers.take(); w != nil; w = p.verifiers.take() {
		p.loop.Post(w.Resume)
		if p.verifying > 0 { // or else some of those that are called may go before they come to it
			return
		}
	}
}

// Rejected reports whether the master has refused the credentials of the connection's group: they are no longer valid.
func (c *Conn) Rejected() bool { return c.rejected }
