package upstream

// maxVerifying bounds how many connections of a loop ask the master about credentials at a time. Whoever tries
// passwords at random would otherwise open one for every attempt, and keep the master from accepting others.
const maxVerifying = 16

// Verify reports whether w may ask the master about credentials now, on a pin of a group without any. If not, w is
// resumed when it may try again. Verified must follow.
func (p *Pool) Verify(w Waiter) bool {
	if p.verifying >= maxVerifying {
		p.verifiers = append(p.verifiers, w)
		return false
	}
	p.verifying++
	return true
}

// Verified says that credentials were accepted, or refused, or that there was no answer.
func (p *Pool) Verified() {
	p.verifying--
	next := min(1, len(p.verifiers))
	if p.verifying == 0 { // some of those that were called may have gone
		next = len(p.verifiers)
	}
	for _, w := range p.verifiers[:next] {
		p.loop.Post(w.Resume)
	}
	if p.verifiers = p.verifiers[next:]; len(p.verifiers) == 0 {
		p.verifiers = nil
	}
}

// Rejected reports whether the master has refused the credentials of the connection's group: they are no longer valid.
func (c *Conn) Rejected() bool { return c.rejected }
