package upstream

import (
	"time"

	"github.com/understudy/understudy/topology"
)

// everywherePatience is how long a node may take to answer what is asked of all: a server that is busy with a script
// answers nothing at all before its busy-reply-threshold, which is 5 s.
const everywherePatience = 8 * time.Second

// Everywhere asks every node, the master first, each over a connection of its own, so that the question does not wait
// behind what keeps a node busy. done gets the reply that counts, once: the first for which enough is true, or, when all
// nodes have answered or could not, that of the master, and without one that of any other. It is nil if no node has
// answered. The group's connections must be in database 0: a busy server does not even SELECT.
func (g *Group) Everywhere(request []byte, enough func(reply []byte) bool, done func(reply []byte)) {
	p := g.pool
	q := &question{enough: enough, done: done}
	if p.master != nil {
		q.ask(g, p.master, request, everywherePatience)
	}
	for _, n := range p.replicas {
		q.ask(g, n, request, everywherePatience)
	}
	if q.pending == 0 {
		p.loop.Post(q.conclude)
	}
}

// Anyone asks every node of the State about the client's rights, whatever part the node has now and whichever run of it
// answers: a master that was restarted and is not trusted with data yet, a node that is not a replica again. Credentials that are
// not taken are an answer as well. done gets a denial if there is one, otherwise any other answer, once; nil if no node has answered.
func (g *Group) Anyone(request []byte, denial func(reply []byte) bool, done func(reply []byte)) {
	p := g.pool
	q := &question{enough: denial, done: done}
	ask := func(n topology.Node) {
		q.ask(g, &node{addr: n.Addr, latency: startLatency, serves: true}, request, dialTimeout).frank = true
	}
	if s := p.coord.Snapshot().State; s != nil {
		ask(s.Master)
		for _, r := range s.Replicas {
			ask(r.Node)
		}
		for _, n := range s.Unavailable {
			ask(n)
		}
	}
	if q.pending == 0 {
		p.loop.Post(q.conclude)
	}
}

// question is what all nodes are asked. It owns the request on each connection.
type question struct {
	discard
	enough   func([]byte) bool
	done     func([]byte)
	pending  int
	best     []byte
	answered bool
}

func (q *question) ask(g *Group, n *node, request []byte, patience time.Duration) *Conn {
	q.pending++
	c := g.pool.open(g, n, true)
	c.patient = patience
	c.Send(q, Repeatable, 0, request, 1)
	c.Retire() // it ends with its answer
	g.pool.loop.After(patience, c.Close)
	return c
}

// Reply implements Owner.
func (q *question) Reply(c *Conn, _ *Entry, frame []byte) {
	if c.Master() || q.best == nil || q.enough(frame) {
		q.best = append(q.best[:0], frame...)
	}
	q.pending--
	if q.enough(frame) || q.pending == 0 {
		q.conclude()
	}
}

// Lost implements Owner.
func (q *question) Lost(*Conn, *Entry, []byte, bool, bool) {
	if q.pending--; q.pending == 0 {
		q.conclude()
	}
}

func (q *question) conclude() {
	if q.answered {
		return
	}
	q.answered = true
	q.done(q.best)
}
