package monitor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

// commanding returns a commander of a real server; wanted says whether its actions are.
func commanding(t *testing.T, r *testcluster.Redis, cfg Config, wanted func() bool) *commander {
	t.Helper()
	c := newControl(context.Background(), newDialer(&cfg), r.Addr)
	t.Cleanup(c.close)
	return &commander{control: c, limit: time.Second, wanted: wanted}
}

func always() bool { return true }

func TestPromotionIsVerifiedAndSaved(t *testing.T) {
	c := testcluster.New(t, 1)
	replica := c.Nodes[1]
	res, err := commanding(t, replica, testConfig(replica.Addr), always).promote(context.Background(), "")
	must(t, err)
	if res.rewrite != nil || res.info.Role != roleMaster || res.info.RunID == "" || res.at.IsZero() {
		t.Errorf("result %+v", res)
	}
	must(t, replica.Restart(context.Background()))
	if got := roleOf(replica); got != "master" {
		t.Errorf("after a restart it is a %s", got)
	}
}

func TestAnotherProcessThanTheOneThatWasChosenIsNotPromoted(t *testing.T) {
	c := testcluster.New(t, 1)
	replica := c.Nodes[1]
	cmd := commanding(t, replica, testConfig(replica.Addr), always)
	chosen, err := cmd.look(context.Background())
	must(t, err)
	must(t, replica.Restart(context.Background()))
	var res result
	for wait := time.Now().Add(5 * time.Second); ; { // the connection to the last process may have to break first
		if res, err = cmd.promote(context.Background(), chosen.RunID); errors.Is(err, errOtherProcess) || time.Now().After(wait) {
			break
		}
	}
	if !errors.Is(err, errOtherProcess) {
		t.Fatalf("error %v", err)
	}
	if res.info.RunID == "" || res.info.RunID == chosen.RunID || res.at.IsZero() {
		t.Errorf("it does not say what runs now: %+v", res)
	}
	if got := roleOf(replica); got != "slave" {
		t.Errorf("it is a %s", got)
	}
	res, err = cmd.promote(context.Background(), res.info.RunID)
	must(t, err)
	if res.info.Role != roleMaster {
		t.Errorf("the process that was meant is a %s", res.info.Role)
	}
}

func TestADemotedMasterCutsItsClients(t *testing.T) {
	a, b := testcluster.NewRedis(t), testcluster.NewRedis(t)
	client, err := a.Dial()
	must(t, err)
	defer client.Close()
	_, err = client.Do("PING")
	must(t, err)
	res, err := commanding(t, a, testConfig(a.Addr), always).replicate(context.Background(), b.Addr, true)
	must(t, err)
	if res.rewrite != nil || res.info.Role != roleReplica || res.info.Master != b.Addr {
		t.Errorf("result %+v", res)
	}
	if _, err := client.Do("PING"); err == nil {
		t.Error("a client of the old master still talks to it")
	}
}

func TestAReplicaThatIsRepointedKeepsItsClients(t *testing.T) {
	a, b := testcluster.NewRedis(t), testcluster.NewRedis(t)
	client, err := a.Dial()
	must(t, err)
	defer client.Close()
	_, err = commanding(t, a, testConfig(a.Addr), always).replicate(context.Background(), b.Addr, false)
	must(t, err)
	_, err = client.Do("PING")
	must(t, err)
}

func TestWithoutConfigTheRoleIsTakenAllTheSame(t *testing.T) {
	a, b := testcluster.NewRedis(t), testcluster.NewRedis(t)
	mustDo(t, a, "ACL", "SETUSER", "limited", "on", ">pw", "+@all", "-config", "-client|kill", "~*", "&*")
	cfg := testConfig(a.Addr)
	cfg.Username, cfg.Password = "limited", "pw"
	c := commanding(t, a, cfg, always)
	res, err := c.replicate(context.Background(), b.Addr, true)
	must(t, err)
	if res.info.Role != roleReplica || res.rewrite == nil || !strings.Contains(res.rewrite.Error(), "EXECABORT") {
		t.Errorf("result %+v", res)
	}
	res, err = c.promote(context.Background(), "")
	must(t, err)
	if res.info.Role != roleMaster || res.rewrite == nil || !strings.Contains(res.rewrite.Error(), "NOPERM") {
		t.Errorf("result %+v", res)
	}
}

func TestNothingIsCommandedWithoutLeadership(t *testing.T) {
	c := testcluster.New(t, 1)
	never := func() bool { return false }
	for _, r := range c.Nodes {
		cmd := commanding(t, r, testConfig(r.Addr), never)
		if _, err := cmd.promote(context.Background(), ""); !errors.Is(err, errDeposed) {
			t.Errorf("promote: %v", err)
		}
		if _, err := cmd.replicate(context.Background(), "127.0.0.1:1", true); !errors.Is(err, errDeposed) {
			t.Errorf("replicate: %v", err)
		}
	}
	if a, b := roleOf(c.Nodes[0]), roleOf(c.Nodes[1]); a != "master" || b != "slave" {
		t.Errorf("roles %s and %s", a, b)
	}
}

func TestLeadershipIsCheckedAgainBeforeEveryCommand(t *testing.T) {
	f := &fakeNode{info: loneMaster}
	cfg := testConfig("node:1")
	cfg.Dial = f.dial
	ctl := newControl(context.Background(), newDialer(&cfg), "node:1")
	checks := 0
	once := func() bool { checks++; return checks == 1 }
	_, err := (&commander{control: ctl, limit: time.Second, wanted: once}).promote(context.Background(), "")
	if !errors.Is(err, errDeposed) {
		t.Errorf("error %v", err)
	}
	ctl.close()
	f.cut()
	f.waiting.Wait()
	if got := strings.Join(f.seen, "; "); got != "REPLICAOF NO ONE" {
		t.Errorf("commands %q", got)
	}
}

func TestANodeThatDoesNotTakeItsRoleIsAnError(t *testing.T) {
	f := &fakeNode{info: strings.Replace(loneMaster, "role:master", "role:slave", 1)}
	cfg := testConfig("node:1")
	cfg.Dial = f.dial
	ctl := newControl(context.Background(), newDialer(&cfg), "node:1")
	_, err := (&commander{control: ctl, limit: time.Second, wanted: always}).promote(context.Background(), "")
	if !errors.Is(err, errWrongRole) || !strings.Contains(err.Error(), "replica") {
		t.Errorf("error %v", err)
	}
	ctl.close()
	f.cut()
	f.waiting.Wait()
}

// A server that hands over to a target which has died takes no REPLICAOF, and no writes, until it is told to stop that.
func TestANodeWhoseFailoverHangsTakesTheRoleThatItIsGiven(t *testing.T) {
	for _, want := range []role{roleMaster, roleReplica} {
		t.Run(string(want), func(t *testing.T) {
			a, b, other := testcluster.NewRedis(t), testcluster.NewRedis(t), testcluster.NewRedis(t)
			mustDo(t, b, "REPLICAOF", "127.0.0.1", a.Port)
			testcluster.WaitFor(t, "a replica", func() bool {
				n, err := redis.Int(a.Do("WAIT", 1, 100))
				must(t, err)
				return n == 1
			})
			must(t, b.Pause())
			mustDo(t, a, "SET", "key", "value") // which the target does not have
			mustDo(t, a, "FAILOVER", "TO", "127.0.0.1", b.Port)
			c := commanding(t, a, testConfig(a.Addr), always)
			var res result
			var err error
			if want == roleMaster {
				res, err = c.promote(context.Background(), "")
			} else {
				res, err = c.replicate(context.Background(), other.Addr, true)
			}
			must(t, err)
			if res.info.Role != want || res.info.Failover != "no-failover" || res.rewrite != nil {
				t.Errorf("result %+v", res)
			}
			if want == roleMaster {
				mustDo(t, a, "SET", "key", "another")
			}
		})
	}
}

// A switchover that has almost no time left may be what opens the connection over which it is made undone.
func TestAConnectionThatWasOpenedInAHurryIsAsPatientAsItsNextUse(t *testing.T) {
	r := testcluster.NewRedis(t, "--enable-debug-command", "yes")
	cfg := testConfig(r.Addr)
	c := newControl(t.Context(), newDialer(&cfg), r.Addr)
	defer c.close()
	const hurry = 50 * time.Millisecond
	testcluster.WaitFor(t, "a connection", func() bool {
		return c.do(t.Context(), hurry, func(*link) error { return nil }) == nil
	})
	slow, err := r.Dial()
	must(t, err)
	defer slow.Close()
	slept := make(chan error, 1)
	go func() {
		_, err := slow.Do("DEBUG", "SLEEP", (4 * hurry).Seconds())
		slept <- err
	}()
	for {
		_, _, err := c.info(t.Context(), 10*time.Second)
		must(t, err)
		select {
		case err := <-slept:
			must(t, err)
			return
		default:
		}
	}
}
