package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/topology"
)

// discover calls Discover with the cluster's test configuration.
func discover(cfg Config) (*Discovery, error) {
	return Discover(context.Background(), cfg.Nodes, cfg)
}

// wantError fails unless err is of a kind and says all of these.
func wantError(t *testing.T, err, kind error, says ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want %v", err, kind)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
}

func TestAllNodesAreDiscoveredFromAnyOne(t *testing.T) {
	c := testcluster.New(t, 2)
	for _, seed := range c.Addrs() {
		found, err := discover(testConfig(seed))
		must(t, err)
		if found.Master.Addr != c.Addrs()[0] || len(found.Replicas) != 2 || len(found.Unreachable) != 0 {
			t.Errorf("from %s: %+v", seed, found)
		}
		s := found.State(testConfig(seed))
		must(t, s.Validate())
		if !online(s, c.Addrs()[0], c.Addrs()[1:]...) || s.Epoch != 1 || s.Master.RunID == "" || s.Master.ReplID == "" {
			t.Errorf("state %+v", s)
		}
	}
}

func TestTheConfiguredNameOfANodeIsUsedAndTheAnnouncedOneKept(t *testing.T) {
	c := testcluster.New(t, 1)
	byName := fmt.Sprintf("localhost:%d", c.Nodes[0].Port)
	found, err := discover(testConfig(byName))
	must(t, err)
	if found.Master.Addr != byName || found.Master.Announced != c.Addrs()[0] || found.Aliases[c.Addrs()[0]] != byName {
		t.Errorf("found %+v", found)
	}
}

func TestWithoutAReachableNodeEachIsNamedWithItsReason(t *testing.T) {
	port, release, err := testcluster.ReservePort()
	must(t, err)
	defer release()
	nobody := fmt.Sprintf("127.0.0.1:%d", port)
	_, err = discover(testConfig(nobody))
	wantError(t, err, ErrUnreachable, nobody, "connection refused")
}

func TestReplicasOfADeadMasterAreNoCluster(t *testing.T) {
	c := testcluster.New(t, 2)
	must(t, c.Nodes[0].Kill())
	_, err := discover(testConfig(c.Addrs()[1:]...))
	wantError(t, err, ErrNoMaster, c.Addrs()[1]+" is a replica of "+c.Addrs()[0], "connection refused")
}

func TestTwoMastersAreRefusedAndNamed(t *testing.T) {
	a, b := testcluster.NewRedis(t), testcluster.NewRedis(t)
	_, err := discover(testConfig(a.Addr, b.Addr))
	wantError(t, err, ErrTwoMasters, a.Addr, b.Addr, "REPLICAOF")
}

func TestAMonitorWithTwoMastersAndNoStateRefusesToRun(t *testing.T) {
	a, b := testcluster.NewRedis(t), testcluster.NewRedis(t)
	cfg := testConfig(a.Addr, b.Addr)
	path := filepath.Join(t.TempDir(), "state.json")
	coord, err := topology.OpenLocal(topology.LocalConfig{Cluster: cfg.Cluster, ID: cfg.ID, Path: path})
	must(t, err)
	defer func() { must(t, coord.Close()) }()
	m, err := New(cfg, coord, quiet())
	must(t, err)
	wantError(t, m.Run(context.Background()), ErrTwoMasters)
	if coord.Snapshot().State != nil {
		t.Error("a state was recorded")
	}
	if err := m.Run(context.Background()); !errors.Is(err, ErrRunning) {
		t.Errorf("second run: %v", err)
	}
}

func TestANodeThatAsksForAPasswordIsNamed(t *testing.T) {
	r := testcluster.NewRedis(t, "--requirepass", "secret")
	cfg := testConfig(r.Addr)
	_, err := discover(cfg)
	wantError(t, err, ErrRefused, r.Addr, "requires a password")
	cfg.Password = "wrong"
	_, err = discover(cfg)
	wantError(t, err, ErrRefused, r.Addr, "refuses")
	cfg.Password = "secret"
	_, err = discover(cfg)
	must(t, err)
	cfg.Username = "default"
	_, err = discover(cfg)
	must(t, err)
}

func TestAPasswordForANodeThatAsksForNoneIsNotAnError(t *testing.T) {
	r := testcluster.NewRedis(t)
	cfg := testConfig(r.Addr)
	cfg.Password = "unneeded"
	_, err := discover(cfg)
	must(t, err)
}

func TestClusterModeAndSentinelsAreRefused(t *testing.T) {
	r := testcluster.NewRedis(t, "--cluster-enabled", "yes")
	_, err := discover(testConfig(r.Addr))
	wantError(t, err, ErrRefused, r.Addr, "cluster mode")
	sentinel := answering(t, "redis_mode:sentinel\r\nrun_id:s1\r\n")
	_, err = discover(testConfig(sentinel))
	wantError(t, err, ErrRefused, sentinel, "Sentinel")
}

func TestAnUnderstudyIsNoNode(t *testing.T) {
	understudy := answering(t, "# Understudy\r\nunderstudy_version:1\r\n")
	_, err := discover(testConfig(understudy))
	wantError(t, err, ErrRefused, understudy+" is an Understudy", "name the redis-servers behind it")
}

func TestAnAnnouncedAddressThatCannotBeReachedIsLeftOutAndAConfiguredOneIsUnavailable(t *testing.T) {
	master := testcluster.NewRedis(t)
	replica := testcluster.NewRedis(t, "--replica-announce-ip", "127.0.0.1", "--replica-announce-port", "1")
	mustDo(t, replica, "REPLICAOF", "127.0.0.1", master.Port)
	testcluster.WaitFor(t, "the replica to be connected", func() bool {
		info, err := master.Info("replication")
		return err == nil && info["connected_slaves"] == "1"
	})
	cfg := testConfig(master.Addr, "127.0.0.1:2", "127.0.0.1:2")
	found, err := discover(cfg)
	must(t, err)
	s := found.State(cfg)
	must(t, s.Validate())
	if len(s.Replicas) != 0 || len(s.Unavailable) != 1 || s.Unavailable[0].Addr != "127.0.0.1:2" {
		t.Errorf("state %+v", s)
	}
}

func TestDiscoveryEndsWithItsContext(t *testing.T) {
	silent := answering(t, "")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	cfg := testConfig(silent)
	cfg.CommandTimeout = time.Minute
	_, err := Discover(ctx, cfg.Nodes, cfg)
	wantError(t, err, context.DeadlineExceeded)
}

// answering starts a server that answers INFO with a text and everything else with OK; without a text it answers
// nothing at all.
func answering(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f := &fakeNode{info: text, mute: text == ""}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.serve(l)
	}()
	t.Cleanup(func() {
		must(t, l.Close())
		<-done
	})
	return l.Addr().String()
}

func TestServersThatAreTooOldAreRefusedWithTheirVersion(t *testing.T) {
	for version, old := range map[string]bool{"2.8.24": true, "4.0.14": true, "5.0.0": false, "6.2.7": false, "7.0.15": false, "255.255.255": false, "": false, "unstable": false} {
		d := discovery{answers: map[string]info{"10.0.0.1:6379": {Role: roleMaster, Version: version}}}
		err := d.refusals()
		if (err != nil) != old {
			t.Errorf("version %q: %v", version, err)
		}
		if old && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "10.0.0.1:6379 is redis-server "+version+"; Understudy needs 5.0 or later")) {
			t.Errorf("version %q: %v", version, err)
		}
	}
}

func TestANodeThatAnswersWhatNoServerSendsIsNamedAndCountsAsNotThere(t *testing.T) {
	for _, nonsense := range []string{"$9223372036854775807\r\n", "*9223372036854775807\r\n", "$100000000000\r\nx"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				// What comes of it, the one who asks sees.
				_, _ = c.Write([]byte(nonsense))
				_, _ = io.Copy(io.Discard, c)
				c.Close()
			}
		}()
		addr := l.Addr().String()
		_, err = discover(testConfig(addr))
		wantError(t, err, ErrUnreachable, addr, "what answers there is no redis-server")

		d := newDialer(&Config{CommandTimeout: time.Second})
		if _, err := d.openLink(context.Background(), addr, time.Second); diagnose(err) != refused {
			t.Errorf("%v is no failed probe", err)
		}
		l.Close()
		<-served
	}
}
