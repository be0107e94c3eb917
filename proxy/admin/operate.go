package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/understudy/understudy/resp"
	"github.com/understudy/understudy/topology"
)

// answerTimeout is how long a client waits for the answer to its request. The request is answered all the same.
const answerTimeout = time.Minute

// Changes implements session.Admin.
func (a *Admin) Changes(args [][]byte) bool {
	if isFailover(args) {
		return true
	}
	if len(args) < 2 {
		return false
	}
	switch strings.ToUpper(string(args[1])) {
	case "FAILOVER", "PAUSE", "RESUME", "FORGET":
		return true
	}
	return false
}

func isFailover(args [][]byte) bool { return strings.EqualFold(string(args[0]), "FAILOVER") }

// proxyFailover reads PROXY FAILOVER [NODE] [FORCE].
func proxyFailover(args []string) (topology.Request, error) {
	r := topology.Request{Kind: topology.Switchover}
	if n := len(args); n > 0 && strings.EqualFold(args[n-1], "FORCE") {
		r.Force, args = true, args[:n-1]
	}
	switch len(args) {
	case 0:
		return r, nil
	case 1:
		r.Target = args[0]
		return r, checkNode(args[0])
	}
	return r, errSyntax
}

// checkNode says what is wrong with the address of a node that somebody names.
func checkNode(addr string) error {
	if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
		return fmt.Errorf("ERR the node is '%.128s': it must be host:port, as the list of nodes has it", addr)
	}
	return nil
}

var errSyntax = errors.New("ERR syntax error")

// serverFailover reads FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms], as a server does.
func serverFailover(args []string) (topology.Request, error) {
	r := topology.Request{Kind: topology.Switchover}
	abort := false
	for i := 0; i < len(args); i++ {
		left := len(args) - i - 1
		switch option := strings.ToUpper(args[i]); {
		case option == "TO" && left >= 2 && r.Target == "":
			if _, err := strconv.ParseUint(args[i+2], 10, 16); err != nil {
				return r, errors.New("ERR value is not an integer or out of range")
			}
			r.Target = net.JoinHostPort(args[i+1], args[i+2])
			i += 2
		case option == "TIMEOUT" && left >= 1 && r.Timeout == 0:
			ms, err := strconv.ParseInt(args[i+1], 10, 64)
			if err != nil {
				return r, errors.New("ERR value is not an integer or out of range")
			}
			if ms <= 0 || ms > time.Hour.Milliseconds() {
				return r, errors.New("ERR FAILOVER timeout must be greater than 0 and no more than an hour")
			}
			r.Timeout = time.Duration(ms) * time.Millisecond
			i++
		case option == "FORCE" && !r.Force:
			r.Force = true
		case option == "ABORT" && !abort:
			abort = true
		default:
			return r, errSyntax
		}
	}
	switch {
	case abort && len(args) > 1:
		return r, errSyntax
	case abort:
		r.Kind = topology.Abort
	case r.Force && r.Target == "":
		return r, errors.New("ERR FAILOVER with force option requires a target HOST and PORT")
	}
	return r, nil
}

// operate submits a request, waits for its answer and gives it to done.
func (a *Admin) operate(r topology.Request, done func(reply []byte)) {
	a.background(func(ctx context.Context) {
		text, err := a.carryOut(ctx, r)
		if err != nil {
			done(resp.AppendError(nil, "ERR "+oneLine(err.Error())))
			return
		}
		done(resp.AppendSimple(nil, oneLine(text)))
	})
}

// carryOut submits a request and waits for its answer. The error is the sentence of a request that was refused or failed.
func (a *Admin) carryOut(ctx context.Context, r topology.Request) (text string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, errors.New("nobody answered in time"))
	defer cancel()
	id, err := a.cluster.Submit(ctx, r)
	switch {
	case errors.Is(err, topology.ErrUncertain):
		return "", fmt.Errorf("%w; PROXY EVENTS tells whether it is: look there before you ask again", err)
	case err != nil:
		return "", fmt.Errorf("the request could not be made: %w", err)
	}
	changed := make(chan struct{}, 1)
	stop := a.cluster.WatchRequests(func([]topology.Request) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer stop()
	for {
		for _, r := range a.cluster.Requests() {
			switch {
			case r.ID != id || r.Answer == "":
			case r.Answer == topology.Done:
				return r.Text, nil
			default:
				return "", errors.New(r.Text)
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", fmt.Errorf("request %s was not answered yet: %w; PROXY EVENTS tells how it ends", id, context.Cause(ctx))
		}
	}
}

// background runs f beside the caller, who must not wait, until Close.
func (a *Admin) background(f func(ctx context.Context)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx.Err() != nil {
		return // the clients are gone
	}
	a.running.Go(func() { f(a.ctx) })
}

// Close ends what is waited for. It returns once nothing of the Admin runs any more.
func (a *Admin) Close() {
	a.mu.Lock()
	a.stop()
	a.mu.Unlock()
	a.unwatch()
	a.running.Wait()
}
