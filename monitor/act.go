package monitor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

var (
	// errDeposed ends an action that this member may no longer carry out.
	errDeposed = errors.New("this member no longer leads, or the State has moved on")
	// errWrongRole is the error of a promotion or demotion after which the node does not have the role.
	errWrongRole = errors.New("the node has not taken the role")
	// errOtherProcess is the error of a promotion of a node that was started again since it was judged fit: it may have
	// lost everything.
	errOtherProcess = errors.New("the node was started again since it was chosen")
)

// commander carries out actions on one node. Before every command it makes sure that the action is still wanted; it
// never repeats one.
type commander struct {
	control *control
	limit   time.Duration // for each reply
	wanted  func() bool   // this member leads, and the State is in the epoch and phase of the action
}

// result is what a node said after it was commanded.
type result struct {
	info    info
	at      time.Time
	rewrite error // why the node could not save its role in its configuration file; nil if it could
}

// promote makes the node a master, if it is the process runID ("": whichever it is), and sees that it is one. It looks at
// the run on the connection that carries the command, which ends with the process: what a node was when it was last heard
// says nothing of who answers now. If it is another one, the result says what that one is. One that was a master already, and
// takes longer to save that than a reply may take, is promoted: it does nothing else meanwhile, and will take as long again.
func (c *commander) promote(ctx context.Context, runID string) (result, error) {
	var before result // what was there
	r, err := c.command(ctx, roleMaster, func(l *link) (rewrite error, err error) {
		if runID != "" {
			n, err := readInfo(l, true)
			if err != nil {
				return nil, err
			}
			before = result{info: n, at: time.Now()}
			switch {
			case n.RunID != runID:
				return nil, errOtherProcess
			case !c.wanted():
				return nil, errDeposed
			}
		}
		if err := c.replicaOf(l, "NO", "ONE"); err != nil {
			return nil, fmt.Errorf("REPLICAOF NO ONE: %w", err)
		}
		if !c.wanted() {
			return nil, errDeposed
		}
		_, rewrite = redis.DoWithTimeout(l.Conn, c.limit, "CONFIG", "REWRITE")
		return rewrite, nil
	})
	switch {
	case errors.Is(err, errOtherProcess):
		return before, err
	case err != nil && c.broken(r.rewrite) != nil && before.info.Role == roleMaster:
		before.rewrite = r.rewrite
		return before, nil
	}
	return r, err
}

// replicate makes the node a replica of the one that nodes reach at host. With cut, its clients are disconnected in
// the same moment, so that they notice that it is no master any more.
func (c *commander) replicate(ctx context.Context, host string, cut bool) (result, error) {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return result{}, fmt.Errorf("the address of the master: %w", err)
	}
	bundle := [][]any{{"REPLICAOF", name, port}, {"CONFIG", "REWRITE"}}
	if cut {
		bundle = append(bundle, []any{"CLIENT", "KILL", "TYPE", "normal"}, []any{"CLIENT", "KILL", "TYPE", "pubsub"})
	}
	return c.command(ctx, roleReplica, func(l *link) (rewrite error, err error) {
		replies, err := c.transaction(l, bundle)
		if err == nil && handsOver(replies[0]) {
			if !c.wanted() {
				return nil, errDeposed
			}
			// In one transaction, so that the clients which its FAILOVER holds up find a replica.
			if replies, err = c.transaction(l, append([][]any{{"FAILOVER", "ABORT"}}, bundle...)); err == nil {
				replies = replies[1:]
			}
		}
		if err != nil && strings.HasPrefix(err.Error(), "EXECABORT") {
			// A part of the bundle is not allowed here, so none of it was done. The role alone must do.
			rewrite = err
			bundle, replies = bundle[:1], nil
			if !c.wanted() {
				return nil, errDeposed
			}
			err = c.replicaOf(l, name, port)
		}
		if err != nil {
			return nil, fmt.Errorf("REPLICAOF %s %s: %w", name, port, err)
		}
		for i, reply := range replies {
			failure, failed := reply.(redis.Error)
			switch {
			case !failed:
			case i == 0:
				return nil, fmt.Errorf("REPLICAOF %s %s: %w", name, port, failure)
			case i == 1:
				rewrite = failure
			}
		}
		return rewrite, nil
	})
}

// replicaOf is REPLICAOF. A node whose own FAILOVER has not come to its end, because its target died, takes no such
// command, and no writes either, until it is told to give that up.
func (c *commander) replicaOf(l *link, host, port string) error {
	_, err := redis.DoWithTimeout(l.Conn, c.limit, "REPLICAOF", host, port)
	if !handsOver(err) {
		return err
	}
	if !c.wanted() {
		return errDeposed
	}
	if _, err := redis.DoWithTimeout(l.Conn, c.limit, "FAILOVER", "ABORT"); err != nil {
		return fmt.Errorf("FAILOVER ABORT: %w", err)
	}
	_, err = redis.DoWithTimeout(l.Conn, c.limit, "REPLICAOF", host, port)
	return err
}

// handsOver recognises the refusal of REPLICAOF by a node in a FAILOVER of its own.
func handsOver(reply any) bool {
	refusal, ok := reply.(redis.Error)
	return ok && strings.Contains(refusal.Error(), "not allowed while failing over")
}

// transaction sends the commands as one MULTI ... EXEC and returns their replies.
func (c *commander) transaction(l *link, commands [][]any) ([]any, error) {
	if err := l.Send("MULTI"); err != nil {
		return nil, err
	}
	for _, cmd := range commands {
		if err := l.Send(cmd[0].(string), cmd[1:]...); err != nil {
			return nil, err
		}
	}
	if err := l.Send("EXEC"); err != nil {
		return nil, err
	}
	if err := l.Flush(); err != nil {
		return nil, err
	}
	for range len(commands) + 1 {
		// What a command was refused for is told again by EXEC.
		if _, err := l.receive(c.limit); diagnose(err) != answered {
			return nil, err
		}
	}
	return redis.Values(l.receive(c.limit))
}

// command runs f with the control connection and then asks the node for its role. Over another connection, if the node has
// not said in time that it has saved its role: it may be what takes long, and the role it has.
func (c *commander) command(ctx context.Context, want role, f func(*link) (rewrite error, err error)) (result, error) {
	var r result
	look := func(l *link) error {
		n, err := readInfo(l, true)
		if err != nil {
			return err // nothing is learned of a node that died meanwhile
		}
		r.info, r.at = n, time.Now()
		return nil
	}
	err := c.control.do(ctx, c.limit, func(l *link) error {
		if !c.wanted() {
			return errDeposed
		}
		rewrite, err := f(l)
		if err != nil {
			return err
		}
		if r.rewrite = rewrite; c.broken(rewrite) != nil {
			return rewrite
		}
		return look(l)
	})
	if c.broken(r.rewrite) != nil {
		err = c.control.do(ctx, c.limit, look)
	}
	switch {
	case err != nil:
		return r, err
	case r.info.Role != want:
		return r, fmt.Errorf("%w: it is a %s", errWrongRole, r.info.Role)
	}
	return r, nil
}

// broken returns err if it broke the connection, and nil if the node answered with it.
func (c *commander) broken(err error) error {
	if diagnose(err) == answered {
		return nil
	}
	return err
}
