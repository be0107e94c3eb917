package upstream

import (
	"time"

	"github.com/understudy/understudy/resp"
)

// SHA is the digest by which EVALSHA names a script.
type SHA [20]byte

const (
	// maxScripts bounds what is remembered of one node.
	maxScripts = 10_000
	// loadPause is how long a node that has not taken a script is left alone with it.
	loadPause = 5 * time.Second
)

// Which scripts a node has is known to the node alone: SCRIPT LOAD is not replicated since Redis 7, and a restart
// forgets them. So each loop notes what it has loaded itself, for as long as the node is the same run in the same role.
// The note may be wrong, when somebody flushes the node's scripts by another way; then the node answers -NOSCRIPT, and
// the note is dropped.

// Lacking returns a lane, of the proxy's own user, to a node that is not known to have a script: to the master, or with
// everywhere to any node that serves reads. It returns nil when all have it or when those that have not are not to be
// reached now.
func (p *Pool) Lacking(sha SHA, everywhere bool) *Conn {
	now := p.loop.Now()
	g := p.Group(p.ownKey())
	g.Release()
	if p.writable() && p.master.lacks(sha, now) {
		return g.Master()
	}
	if everywhere {
		for i, n := range p.replicas {
			if n.lacks(sha, now) {
				if c := g.replica(i, now); c != nil {
					return c
				}
			}
		}
	}
	return nil
}

// Know reports whether the master is known to have a script, and with everywhere every node that serves reads.
func (p *Pool) Know(sha SHA, everywhere bool) bool {
	if p.state == nil || !p.master.has(sha) {
		return false
	}
	if everywhere {
		for _, n := range p.replicas {
			if n.serves && !n.has(sha) {
				return false
			}
		}
	}
	return true
}

// Loaded notes that the node has taken a script, or with ok unset that it has not.
func (c *Conn) Loaded(sha SHA, ok bool) {
	n := c.node
	if n.scripts == nil || len(n.scripts) >= maxScripts {
		n.scripts = map[SHA]time.Time{}
	}
	if n.scripts[sha] = (time.Time{}); !ok {
		n.scripts[sha] = c.group.pool.loop.Now().Add(loadPause)
	}
}

// NoScript notes that the node has said that it does not have a script, and reports whether it has had it, as the same
// process.
func (c *Conn) NoScript(sha SHA) (flushed bool) {
	flushed = c.node.has(sha) && c.node.runID != ""
	delete(c.node.scripts, sha)
	return flushed
}

// ForgetScripts drops all notes.
func (p *Pool) ForgetScripts() {
	for _, n := range p.nodes {
		n.scripts = nil
	}
}

func (n *node) has(sha SHA) bool {
	until, noted := n.scripts[sha]
	return noted && until.IsZero()
}

func (n *node) lacks(sha SHA, now time.Time) bool {
	until, noted := n.scripts[sha]
	return !noted || !until.IsZero() && !now.Before(until)
}

// LoadOnReplicas sends a script to all replicas that serve reads, so that it is there when one of them is promoted.
func (p *Pool) LoadOnReplicas(sha SHA, body []byte) {
	request := resp.AppendRequest(nil, []byte("SCRIPT"), []byte("LOAD"), body)
	p.tellReplicas(request, &loading{sha: sha})
}

// FlushReplicas sends SCRIPT FLUSH, as a client has written it, to all replicas that serve reads.
func (p *Pool) FlushReplicas(request []byte) { p.tellReplicas(request, discard{}) }

func (p *Pool) tellReplicas(request []byte, owner Owner) {
	g := p.Group(p.ownKey())
	g.Release()
	for i := range p.replicas {
		if c := g.replica(i, p.loop.Now()); c != nil {
			c.Send(owner, Repeatable, 0, request, 1)
		}
	}
}

// loading owns a SCRIPT LOAD that nobody waits for.
type loading struct {
	discard
	sha SHA
}

// Reply implements Owner.
func (l *loading) Reply(c *Conn, _ *Entry, frame []byte) { c.Loaded(l.sha, frame[0] != '-') }
