package upstream

import "time"

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
		q.pending++
		q.ask(g, p.master, request)
	}
	for _, n := range p.replicas {
		q.pending++
		q.ask(g, n, request)
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

func (q *question) ask(g *Group, n *node, request []byte) {
	c := g.pool.open(g, n, true)
	c.patient = everywherePatience
	c.Send(q, Repeatable, 0, request, 1)
	c.Retire() // it ends with its answer
	g.pool.loop.After(everywherePatience, c.Close)
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
