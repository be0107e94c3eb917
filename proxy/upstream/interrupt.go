package upstream

import (
	"time"

	"github.com/understudy/understudy/resp"
)

// interruptPause is the time between two attempts to unblock what blocks: a blocking command that is still on its way
// when its connection is to be unblocked does not block yet.
const interruptPause = 2 * time.Millisecond

// ownKey names the conversations that the pool has for itself.
func (p *Pool) ownKey() Key { return Key{Proto: 2, User: p.cfg.Username, Password: p.cfg.Password} }

// Own returns the group of the conversations that the pool has for itself, and counts the caller among its users until
// Release.
func (p *Pool) Own() *Group { return p.Group(p.ownKey()) }

// OwnPushing is Own for a conversation in RESP3, in which the server also says what it was not asked.
func (p *Pool) OwnPushing() *Group {
	key := p.ownKey()
	key.Proto = 3
	return p.Group(key)
}

// WaitsForWrites reports whether the master's WAIT waits for what its own connection has written, as since Redis 7.2, or
// perhaps does, because nothing is known of it. Before, it waits for everything up to the last command of the connection.
func (p *Pool) WaitsForWrites() bool {
	v := p.ServerVersion()
	return v == 0 || v >= 702
}

// ServerVersion returns the version of the master: 702 is 7.2; 0 while it is unknown.
func (p *Pool) ServerVersion() int {
	if p.master == nil {
		return 0
	}
	return p.master.version
}

// interrupt has a living master end the commands that block on pins, so that a fence need not wait for them. The
// server does it between two commands: either the blocked one was served, and its reply is as good as any, or it is
// answered -UNBLOCKED and was not applied, and the session sends it again when there is a master. (A connection that
// is closed instead would leave open whether an element was taken.)
func (p *Pool) interrupt() {
	if p.interrupting || !p.tenure.Fencing || p.state.Failover != nil && p.state.Failover.MasterDown {
		return
	}
	var blocked []*Conn
	for c := range p.conns {
		if c.node.master && c.Blocking && c.id != "" && c.queue.n > 0 {
			blocked = append(blocked, c)
		}
	}
	if len(blocked) == 0 {
		return
	}
	lane := p.ownLane()
	attempt := &interruption{pool: p, left: len(blocked)}
	p.interrupting = true
	for _, c := range blocked {
		c.interrupted = true
		request := resp.AppendRequestStrings(nil, "CLIENT", "UNBLOCK", c.id, "ERROR")
		lane.Send(attempt, Repeatable, 0, request, 1)
	}
}

// interruption owns what is said in one attempt to unblock what blocks. A moment after all of it has been answered comes the next:
// a master that does not answer is not told the same five hundred times in a second.
type interruption struct {
	discard
	pool *Pool
	left int // not answered yet
}

// Reply implements Owner.
func (i *interruption) Reply(*Conn, *Entry, []byte) { i.over() }

// Lost implements Owner.
func (i *interruption) Lost(*Conn, *Entry, []byte, bool, bool) { i.over() }

func (i *interruption) over() {
	if i.left--; i.left > 0 {
		return
	}
	i.pool.loop.After(interruptPause, func() {
		i.pool.interrupting = false
		i.pool.interrupt()
	})
}

// Unblockable reports whether Unblock can end what blocks on the connection, now or when it is ready: a server may refuse to tell
// the connection's number, by which it is named.
func (c *Conn) Unblockable() bool { return !c.ready || c.id != "" }

// Unblock asks the server to end the command that blocks on a pin, as if its time were over or with an error, and calls
// done with whether it has: not when the command is still on its way there.
func (p *Pool) Unblock(c *Conn, withError bool, done func(unblocked bool)) {
	if c.ended || c.id == "" || !c.ready || c.node != p.master {
		done(false)
		return
	}
	request := []string{"CLIENT", "UNBLOCK", c.id, "TIMEOUT"}
	if withError {
		request[3] = "ERROR"
	}
	p.ownLane().Send(&unblocking{done: done}, Repeatable, 0, resp.AppendRequestStrings(nil, request...), 1)
}

// unblocking owns a CLIENT UNBLOCK.
type unblocking struct {
	discard
	done func(unblocked bool)
}

func (u *unblocking) Reply(_ *Conn, _ *Entry, frame []byte)       { u.done(string(frame) == ":1\r\n") }
func (u *unblocking) Lost(_ *Conn, _ *Entry, _ []byte, _, _ bool) { u.done(false) }

// ownLane returns a lane to the master that is being deposed, for the pool's own commands.
func (p *Pool) ownLane() *Conn {
	g := p.Group(p.ownKey())
	g.Release()
	if g.master == nil || !g.master.Usable() || g.master.node != p.master {
		g.master = p.open(g, p.master, false)
	}
	return g.master
}
