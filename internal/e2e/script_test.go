package e2e

import (
	"crypto/sha1"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

func digestOf(script string) string { return fmt.Sprintf("%x", sha1.Sum([]byte(script))) }

func TestScriptsSurviveFailovers(t *testing.T) {
	s := start(t, options{replicas: 2})
	const loaded, evaluated = "return redis.call('INCR', KEYS[1])", "return {ARGV[1], 'evaluated'}"
	s.do("SCRIPT", "LOAD", loaded)
	s.do("EVAL", evaluated, 0, "x")
	for round := 1; round <= 2; round++ { // the second time nobody is left to whom a client has sent them
		epoch := s.epoch()
		old := s.master()
		must(t, old.Kill())
		s.waitMasterAfter(epoch)
		if n, err := redis.Int(s.do("EVALSHA", digestOf(loaded), 1, "n"), nil); n != round || err != nil {
			t.Fatalf("after failover %d the script says %d (%v)", round, n, err)
		}
		if got, err := redis.Strings(s.do("EVALSHA", strings.ToUpper(digestOf(evaluated)), 0, "y"), nil); err != nil || got[0] != "y" {
			t.Fatalf("after failover %d the other one says %v (%v)", round, got, err)
		}
		if got, err := redis.Ints(s.do("SCRIPT", "EXISTS", digestOf(loaded), digestOf("nobody's")), nil); err != nil || got[0] != 1 || got[1] != 0 {
			t.Fatalf("SCRIPT EXISTS says %v (%v)", got, err)
		}
		must(t, old.Restart(t.Context()))
		s.waitReplicas(2)
	}
	if _, err := s.dial().Do("EVALSHA", digestOf("nobody's"), 0); err == nil || !strings.HasPrefix(err.Error(), "NOSCRIPT") {
		t.Errorf("an unknown script gives %v", err)
	}
}

func TestReadOnlyScriptsByDigestAreServedByReplicas(t *testing.T) {
	s := start(t, options{replicas: 2})
	const script = "return redis.call('GET', KEYS[1])"
	s.do("SET", "a", "1")
	s.do("SCRIPT", "LOAD", script)
	must(t, s.cluster.WaitInSync(t.Context()))
	reader := s.dial()
	_, err := reader.Do("PROXY", "READ", "eventual")
	must(t, err)
	for range 50 {
		if got, err := redis.String(reader.Do("EVALSHA_RO", digestOf(script), 1, "a")); got != "1" || err != nil {
			t.Fatalf("it says %q (%v)", got, err)
		}
	}
	if n := calls(t, s.master(), "evalsha_ro"); n != 0 {
		t.Errorf("%d of 50 were sent to the master", n)
	}
	s.do("SCRIPT", "FLUSH")
	testcluster.WaitFor(t, "no node to have a script", func() bool {
		for _, node := range s.cluster.Nodes {
			if got, err := redis.Ints(node.Do("SCRIPT", "EXISTS", digestOf(script))); err != nil || got[0] != 0 {
				return false
			}
		}
		return true
	})
	if _, err := reader.Do("EVALSHA_RO", digestOf(script), 1, "a"); err == nil || !strings.HasPrefix(err.Error(), "NOSCRIPT") {
		t.Errorf("a script that was flushed gives %v", err)
	}
}

func TestARunningScriptIsKilledOnWhateverNodeItRuns(t *testing.T) {
	s := start(t, options{replicas: 2, args: []string{"--busy-reply-threshold", "100"}})
	const endless = "while true do end"
	killer := s.dial()
	if _, err := killer.Do("SCRIPT", "KILL"); err == nil || !strings.HasPrefix(err.Error(), "NOTBUSY") {
		t.Fatalf("with nothing to kill: %v", err)
	}
	s.do("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('endless', function() while true do end end)")
	must(t, s.cluster.WaitInSync(t.Context()))
	for _, c := range []struct {
		what string
		args []any
		kill string
	}{
		{"EVAL", []any{endless, 0}, "SCRIPT"},
		{"EVAL_RO", []any{endless, 0}, "SCRIPT"},
		{"FCALL", []any{"endless", 0}, "FUNCTION"},
	} {
		victim := s.dial()
		began := time.Now()
		must(t, victim.Send(c.what, c.args...))
		must(t, victim.Flush())
		// It may not have begun when the first attempt is made.
		for {
			reply, err := redis.String(killer.Do(c.kill, "KILL"))
			if err == nil && reply == "OK" {
				break
			}
			if time.Since(began) > 20*time.Second {
				t.Fatalf("%s is not killed: %q, %v", c.what, reply, err)
			}
		}
		if _, err := victim.Receive(); err == nil || !strings.Contains(err.Error(), "killed by user") {
			t.Errorf("the client of %s was told %v", c.what, err)
		}
	}
}

func TestFUNCTIONSTATSIsAnsweredWhileAFunctionRuns(t *testing.T) {
	s := start(t, options{replicas: 1, args: []string{"--busy-reply-threshold", "100"}})
	victim, asker := s.dial(), s.dial()
	s.do("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('endless', function() while true do end end)")
	must(t, victim.Send("FCALL", "endless", 0))
	must(t, victim.Flush())
	testcluster.WaitFor(t, "FUNCTION STATS to show the function", func() bool {
		reply, err := redis.Values(asker.Do("FUNCTION", "STATS"))
		must(t, err)
		return reply[1] != nil
	})
	s.do("FUNCTION", "KILL")
	if _, err := victim.Receive(); err == nil {
		t.Error("the function has ended by itself")
	}
}
