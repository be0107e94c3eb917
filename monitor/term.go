package monitor

import (
	"context"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/topology"
)

const (
	// LeaderSuffix ends the client names of connections that carry commands of a leader.
	LeaderSuffix = ":leader"
	// restedAfter is after how long without use such a connection is tried before it is used: the server may have
	// closed it, and a command that fails for that costs a whole attempt.
	restedAfter = time.Second
)

// leaderPrefix begins the client names of all members' connections.
func leaderPrefix(cluster string) string { return "understudy:" + cluster + ":" }

// term is one time of leading, from the moment this member comes to lead to the moment it does not, or was stopped for
// a while. It holds the connections over which nodes are commanded. They have a client name of their own, and are the
// only ones: whoever leads next finds them by it.
//
// Leadership is checked before every command, but a process may be stopped between the check and the sending, and a
// command that was sent may lie in a buffer. So whoever opens such a connection first ends those of all others at that
// node. One that passed the check had its connection open then, before the lease of its leadership ended, and
// therefore before anybody else came to lead. What it sends afterwards arrives nowhere.
type term struct {
	*loop
	ctx    context.Context
	cancel context.CancelFunc
	links  map[string]*control  // by node; used by the loop's goroutine only
	opened map[string]time.Time // by node, when its connection was last asked to be opened ahead of its use
}

// lead begins or ends a term, and has the connections of earlier leaders ended at every node that answers.
func (l *loop) lead(now time.Time) {
	if !l.coord.Leading() {
		l.endTerm()
		return
	}
	if l.term == nil {
		ctx, cancel := context.WithCancel(l.ctx)
		l.term = &term{loop: l, ctx: ctx, cancel: cancel, links: make(map[string]*control), opened: make(map[string]time.Time)}
	}
	if l.cfg.Follow || !l.coord.Shared() {
		return
	}
	for addr, r := range l.records {
		if !l.ours(addr) || r.node.heard.IsZero() || r.vitality.down || !l.term.opened[addr].IsZero() {
			continue
		}
		l.term.opened[addr] = now
		orders := l.term.orders(addr)
		l.task("open "+addr, func(ctx context.Context) func() {
			err := orders.do(ctx, l.cfg.CommandTimeout, func(*link) error { return nil })
			return func() {
				if err != nil {
					l.log.Debug("the connection for commands could not be opened; it is when it is needed", "node", addr, "error", err)
				}
			}
		})
	}
}

// endTerm ends the term, if there is one, and closes its connections. What is known of the others, and since when, is forgotten, as is
// what they were expected to see to: by the next term it may be of long ago.
func (l *loop) endTerm() {
	if l.term != nil {
		l.term.cancel()
		l.term = nil
	}
	l.members, l.listed, l.absent, l.disputed = nil, time.Time{}, nil, time.Time{}
	l.expected = nil
}

// lasts reports whether this member leads and has all the time. Any goroutine may call it.
func (t *term) lasts() bool { return t.ctx.Err() == nil && t.coord.Leading() }

// orders returns the connection for commands to a node.
func (t *term) orders(addr string) *control {
	c := t.links[addr]
	if c == nil {
		c = newControl(t.ctx, t.dialer, addr)
		c.name, c.rested = t.cfg.leaderName(), restedAfter
		c.greet = func(l *link) error { return t.endEarlier(l, addr) }
		t.links[addr] = c
	}
	return c
}

// forget closes the connection to a node that is watched no more.
func (t *term) forget(addr string) {
	if t == nil || t.links[addr] == nil {
		return
	}
	t.tasks.Go(t.links[addr].close)
	delete(t.links, addr)
	delete(t.opened, addr)
}

// endEarlier ends the connections for commands of everybody else of this cluster at a node. A node that does not allow it is told of
// in the log; what it was sent before can be undone, and is.
func (t *term) endEarlier(l *link, addr string) error {
	if !t.coord.Shared() {
		return nil
	}
	if !t.lasts() {
		return errDeposed
	}
	list, err := redis.String(l.Do("CLIENT", "LIST"))
	if err != nil {
		return t.cannotEnd(addr, err)
	}
	for id, name := range leaderLinks(list, leaderPrefix(t.cfg.Cluster), t.cfg.Identity) {
		if !t.lasts() {
			return errDeposed
		}
		ended, err := redis.Int(l.Do("CLIENT", "KILL", "ID", id)) // this connection itself is skipped
		if err != nil {
			return t.cannotEnd(addr, err)
		}
		if ended > 0 {
			t.log.Info("connection for commands of an earlier leader ended", "node", addr, "client", name)
		}
	}
	return nil
}

// cannotEnd passes on an error of the connection, and logs one that the node answered with.
func (t *term) cannotEnd(addr string, err error) error {
	if diagnose(err) != answered {
		return err
	}
	t.log.Error("commands of an earlier leader cannot be kept from this node: allow the user CLIENT LIST and CLIENT KILL", "node", addr, "error", err)
	return nil
}

// leaderLinks yields the ids and names of the connections for commands in the reply to CLIENT LIST, without those of
// leaders of another cluster that has the same name: its commands are not ours to stop.
func leaderLinks(list, prefix, identity string) func(yield func(id, name string) bool) {
	return func(yield func(id, name string) bool) {
		for line := range strings.Lines(list) {
			var id, name string
			for field := range strings.FieldsSeq(line) {
				if value, ok := strings.CutPrefix(field, "id="); ok {
					id = value
				} else if value, ok := strings.CutPrefix(field, "name="); ok {
					name = value
				}
			}
			if !strings.HasPrefix(name, prefix) || !strings.HasSuffix(name, LeaderSuffix) {
				continue
			}
			if _, theirs := ofMember(name); theirs != "" && theirs != identity {
				continue
			}
			if !yield(id, name) {
				return
			}
		}
	}
}

// MemberName returns the client name of a member's other connections for any of them, such as a leader's.
func MemberName(client string) string {
	member, _ := ofMember(client)
	return member
}

// ofMember takes the client name of a connection for commands apart. Versions before this one left the identity out, as
// those do that have none; whose id ends like one is taken for what it is not.
func ofMember(client string) (member, identity string) {
	member, isLeader := strings.CutSuffix(client, LeaderSuffix)
	if !isLeader {
		return client, ""
	}
	if i := strings.LastIndexByte(member, ':'); topology.IsFingerprint(member[i+1:]) {
		return member[:i], member[i+1:]
	}
	return member, ""
}
