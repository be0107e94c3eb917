package monitor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/topology"
)

// swapPause is the time between two looks at the nodes while they exchange their parts. Clients wait.
const swapPause = time.Millisecond

// swapResult is how a swap ended.
type swapResult struct {
	master, target result
	caughtUp       bool // the target has everything, and the roles are still to be exchanged, by commands of their own
}

// swap has the master hand its part to the target, whose control connection and address (as nodes reach it) are given,
// within a time. From Redis 6.2 on the master does it by itself (FAILOVER); of an older one, or where the user may not,
// it only waits until the target has everything, which it keeps because all members are fenced. It begins with looking,
// so it also finishes what another leader began.
// runID is the run that the master must be in: another one may have lost everything, and would hand that over.
func (c *commander) swap(ctx context.Context, runID string, target *control, host string, within time.Duration) (swapResult, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("it was not done within %v", within.Round(time.Millisecond)))
	defer cancel()
	t := &commander{control: target, limit: c.limit, wanted: c.wanted}
	now, err := t.look(ctx)
	if err != nil {
		return swapResult{}, fmt.Errorf("asking the target: %w", err)
	}
	if now.Role != roleMaster {
		master, err := c.look(ctx)
		if err != nil {
			return swapResult{}, fmt.Errorf("asking the master: %w", err)
		}
		if runID != "" && master.RunID != runID {
			return swapResult{}, errors.New("the master was restarted")
		}
		err = c.startFailover(ctx, host)
		switch {
		case errors.Is(err, errNoFailover):
			return swapResult{caughtUp: true}, c.awaitOffset(ctx, t)
		case err != nil:
			return swapResult{}, err
		}
		if err := c.awaitRoles(ctx, t); err != nil {
			return swapResult{}, err
		}
	}
	var r swapResult
	saved := make(chan error, 1)
	go func() { // ends with this function, which waits for it
		var err error
		r.target, err = t.save(ctx, roleMaster)
		saved <- err
	}()
	r.master, err = c.save(ctx, roleReplica)
	return r, errors.Join(err, <-saved)
}

// errNoFailover says that the server cannot, or may not, do FAILOVER for us.
var errNoFailover = errors.New("FAILOVER is not to be had")

// startFailover sends FAILOVER. One that is under way already is as good.
func (c *commander) startFailover(ctx context.Context, host string) error {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return fmt.Errorf("the address of the target: %w", err)
	}
	deadline, _ := ctx.Deadline()
	limit := max(time.Until(deadline).Milliseconds(), 1)
	err = c.control.do(ctx, c.bound(ctx), func(l *link) error {
		if !c.wanted() {
			return errDeposed
		}
		_, err := redis.DoWithTimeout(l.Conn, c.bound(ctx), "FAILOVER", "TO", name, port, "TIMEOUT", limit)
		return err
	})
	var refused redis.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &refused):
		return fmt.Errorf("FAILOVER: %w", cause(ctx, err))
	}
	switch text := refused.Error(); {
	case strings.Contains(text, "already in progress"), strings.Contains(text, "not valid when server is a replica"):
		return nil // looking at the roles tells the rest
	case strings.HasPrefix(text, "ERR unknown command"), strings.HasPrefix(text, "NOPERM"), strings.Contains(text, "is not a replica"):
		return errNoFailover
	}
	return fmt.Errorf("FAILOVER: %w", err)
}

// awaitRoles waits until the target is a master and the master a replica.
func (c *commander) awaitRoles(ctx context.Context, target *commander) error {
	for {
		if !c.wanted() {
			return errDeposed
		}
		master, err := c.look(ctx)
		if err != nil {
			return fmt.Errorf("asking the master: %w", err)
		}
		if master.Role == roleMaster && master.Failover == "no-failover" {
			return errors.New("the master has given up its FAILOVER: the target did not catch up in time")
		}
		if master.Role == roleMaster { // it waits to hear from the target that it has everything
			if err := target.urge(ctx); err != nil {
				return fmt.Errorf("asking the target: %w", err)
			}
		} else {
			now, err := target.look(ctx)
			if err != nil {
				return fmt.Errorf("asking the target: %w", err)
			}
			if now.Role == roleMaster {
				return nil
			}
		}
		if err := pauseFor(ctx, swapPause); err != nil {
			return err
		}
	}
}

var getAck = []byte("*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n")

// urge makes a replica tell its master now how far it is, which it otherwise does once a second. REPLCONF GETACK is
// meant to come from the master, is as good from anybody, and has no reply; the PING behind it has one. Where the user
// may not send it, the master has to wait.
func (c *commander) urge(ctx context.Context) error {
	err := c.control.do(ctx, c.bound(ctx), func(l *link) error {
		// Beside redigo, which would count on a reply. Nothing is in its buffers between two calls.
		if _, err := l.net.Write(getAck); err != nil {
			return err
		}
		_, err := redis.DoWithTimeout(l.Conn, c.bound(ctx), "PING")
		var refused redis.Error
		if errors.As(err, &refused) {
			_, err = l.receive(c.bound(ctx)) // that was the answer to the first
		}
		return err
	})
	return cause(ctx, err)
}

// awaitOffset waits until the target has everything that the master had at the same time or later.
func (c *commander) awaitOffset(ctx context.Context, target *commander) error {
	for {
		if !c.wanted() {
			return errDeposed
		}
		master, err := c.look(ctx)
		if err != nil {
			return fmt.Errorf("asking the master: %w", err)
		}
		now, err := target.look(ctx)
		if err != nil {
			return fmt.Errorf("asking the target: %w", err)
		}
		if now.ReplID == master.ReplID && now.Offset >= master.Offset {
			return nil
		}
		if err := pauseFor(ctx, swapPause); err != nil {
			return fmt.Errorf("%w: the target is %d bytes behind", err, master.Offset-now.Offset)
		}
	}
}

// save has the node write its role into its configuration file and sees that it has the role, over another connection if that
// takes longer than a reply may take.
func (c *commander) save(ctx context.Context, want role) (result, error) {
	var r result
	look := func(l *link) error {
		n, err := readInfo(l, true)
		if err == nil {
			r.info, r.at = n, time.Now()
		}
		return err
	}
	err := c.control.do(ctx, c.bound(ctx), func(l *link) error {
		if !c.wanted() {
			return errDeposed
		}
		_, r.rewrite = redis.DoWithTimeout(l.Conn, c.bound(ctx), "CONFIG", "REWRITE")
		if err := c.broken(r.rewrite); err != nil {
			return err
		}
		return look(l)
	})
	if c.broken(r.rewrite) != nil {
		err = c.control.do(ctx, c.bound(ctx), look)
	}
	if err == nil && r.info.Role != want {
		err = fmt.Errorf("%w: it is a %s", errWrongRole, r.info.Role)
	}
	return r, cause(ctx, err)
}

// abort ends a FAILOVER of the master, if one is under way, and tells what the node is then.
func (c *commander) abort(ctx context.Context) (result, error) {
	var r result
	err := c.control.do(ctx, c.limit, func(l *link) error {
		if !c.wanted() {
			return errDeposed
		}
		// What it answers with an error has no failover, knows none, or has let us begin none.
		if _, err := redis.DoWithTimeout(l.Conn, c.limit, "FAILOVER", "ABORT"); diagnose(err) != answered {
			return err
		}
		n, err := readInfo(l, true)
		if err == nil {
			r.info, r.at = n, time.Now()
		}
		return err
	})
	return r, err
}

// look asks the node what it is, in what is left of the time.
func (c *commander) look(ctx context.Context) (info, error) {
	n, _, err := c.control.info(ctx, c.bound(ctx))
	return n, cause(ctx, err)
}

// bound is how long one command may take: no longer than is left.
func (c *commander) bound(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return c.limit
	}
	return max(min(c.limit, time.Until(deadline)), time.Millisecond)
}

// cause returns why ctx ended if it has, and else err.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !errors.Is(err, errDeposed) {
		return context.Cause(ctx)
	}
	return err
}

// pauseFor waits, or returns why ctx ended.
func pauseFor(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// swap carries out a swap.
func (l *loop) swap(a action, c *commander) {
	if l.records[a.from] == nil {
		return
	}
	control, runID := l.term.orders(a.from), l.snapshot.State.Master.RunID
	l.task(a.key(), func(ctx context.Context) func() {
		began := time.Now()
		r, err := c.swap(ctx, runID, control, a.host, a.limit)
		took := time.Since(began)
		return func() { l.swapped(a, r, err, took, time.Now()) }
	})
}

// swapped takes in how a swap ended at now.
func (l *loop) swapped(a action, r swapResult, err error, took time.Duration, now time.Time) {
	if errors.Is(err, errDeposed) {
		l.log.Info("the swap was given up", "epoch", a.epoch, "node", a.addr, "reason", err)
		return
	}
	tried := attempt{epoch: a.epoch, at: now, failed: err != nil, caughtUp: err == nil && r.caughtUp}
	if err != nil {
		tried.why = fmt.Sprintf("%s did not take over from %s: %s", a.from, a.addr, brief(err))
	}
	l.tried[step{deedSwap, a.addr}] = tried
	log := l.log.With("epoch", a.epoch, "node", a.addr, "target", a.from, "took", took)
	for addr, got := range map[string]result{a.addr: r.master, a.from: r.target} {
		rec := l.records[addr]
		if rec == nil || got.at.IsZero() {
			continue
		}
		l.learn(addr, rec, got.info, got.at, 0)
		if got.rewrite != nil {
			l.tellRewrite(log.With("node", addr), rec, got.rewrite)
		}
		rec.watcher.ask()
	}
	switch {
	case err != nil && l.ctx.Err() == nil:
		log.Error("switchover: the swap failed", "error", err)
	case r.caughtUp:
		log.Info("switchover: the target has everything; the roles are exchanged by commands")
	default:
		log.Info("switchover: roles exchanged", "offset", r.target.info.Offset)
	}
}

// answer answers a request.
func (l *loop) answer(a action) {
	l.task(a.key(), func(ctx context.Context) func() {
		err := l.coord.Answer(ctx, a.request, a.answer, a.why)
		return func() { l.answeredRequest(a, err) }
	})
}

// answeredRequest takes in whether a request could be answered.
func (l *loop) answeredRequest(a action, err error) {
	switch {
	case err == nil:
		l.log.Info("request answered", "epoch", a.epoch, "request", a.request, "answer", string(a.answer), "text", a.why)
	case errors.Is(err, topology.ErrNoRequest), errors.Is(err, topology.ErrNotLeader), errors.Is(err, topology.ErrClosed):
		l.log.Debug("a request was not answered", "request", a.request, "reason", err)
	default:
		l.holdWrites = time.Now().Add(l.cfg.RetryInterval)
		l.warn("a request could not be answered", err)
	}
}
