package topology

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/understudy/understudy/internal/testcluster"
)

func TestServersThatCannotBeReachedAreNamed(t *testing.T) {
	cfg := memberConfig(t, "127.0.0.1:1,127.0.0.1:2/x", "a")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := OpenZooKeeper(ctx, cfg)
	for _, part := range []string{ErrUnreachable.Error(), "127.0.0.1:1, 127.0.0.1:2", "connection refused", "majority"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v does not say %q", err, part)
		}
	}
	t.Log(err)
}

func TestAServerThatIsNoZooKeeperIsRecognised(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			c.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = OpenZooKeeper(ctx, memberConfig(t, l.Addr().String(), "a"))
	if err == nil || !strings.Contains(err.Error(), "not as a ZooKeeper server does") {
		t.Errorf("error %v", err)
	}
}

func TestAServerThatAcceptsAndSaysNothingIsGivenUpForAnother(t *testing.T) {
	t.Parallel()
	through, ways := wire(t, sharedZooKeeper(t))
	ways.freeze()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := OpenZooKeeper(ctx, memberConfig(t, through, "a"))
	if err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("error %v", err)
	}
	// With a second server that works, the first one costs half a second at most, however long sessions are.
	addr, root, _ := strings.Cut(sharedZooKeeper(t), "/")
	cfg := memberConfig(t, strings.TrimSuffix(through, "/"+root)+","+addr+"/"+root, "a")
	cfg.SessionTimeout = 4 * time.Second
	began := time.Now()
	open(t, cfg)
	if took := time.Since(began); took > handshakeLimit+2*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestZnodesMadeWithAPasswordAreForItsUserOnly(t *testing.T) {
	servers := sharedZooKeeper(t)
	right := memberConfig(t, servers, "a")
	right.Auth = "understudy:secret"
	a := open(t, right)
	update(t, a, stable(1))
	awaitGrant(t, a, 1)
	wrong, without := memberConfig(t, servers, "b"), memberConfig(t, servers, "b")
	wrong.Auth = "understudy:guess"
	refusedWith(t, wrong, ErrDenied, "/shop", "check user and password")
	refusedWith(t, without, ErrDenied, "/shop")

	right.ID = "b"
	b := open(t, right)
	awaitGrant(t, b, 1)
	// Everything is closed to strangers, by its ACL.
	c, root := operator(t, servers)
	for _, path := range []string{root, root + "/shop", root + "/shop/state", root + "/shop/members", root + "/shop/members/a", root + "/shop/election", root + "/shop/registry/a"} {
		if _, _, err := c.Get(path); err != zk.ErrNoAuth {
			t.Errorf("%s can be read by a stranger: %v", path, err)
		}
	}
}

func TestAPasswordOutlivesReconnectionAndExpiry(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	through, ways := wire(t, servers)
	cfg := memberConfig(t, through, "a")
	cfg.Auth = "understudy:secret"
	a := open(t, cfg)
	update(t, a, stable(1))
	awaitGrant(t, a, 1)
	session := a.Status().Session
	confirmed := func(since time.Time) func() bool {
		return func() bool { l := a.lease.Load(); return l != nil && l.Sent.After(since) }
	}
	for range 5 {
		ways.each((*testcluster.Relay).Reset)
		testcluster.WaitFor(t, "a heartbeat", confirmed(time.Now()))
	}
	if a.Status().Session != session {
		t.Error("a lost connection ended the session")
	}
	ways.cut()
	testcluster.WaitFor(t, "the end of the lease", func() bool { return !permitted(a) })
	c, root := operator(t, servers)
	testcluster.WaitFor(t, "ZooKeeper to expire the session", func() bool {
		there, _, err := c.Exists(root + "/shop/members/a") // which nobody needs a password for
		return err == nil && !there
	})
	ways.heal()
	awaitGrant(t, a, 1)
	if a.Status().Session == session {
		t.Fatal("the session did not expire")
	}
}

func TestAnACLThatAllowsReadingOnlyIsRefused(t *testing.T) {
	servers := sharedZooKeeper(t)
	c, root := operator(t, servers)
	if _, err := c.Create(root, nil, 0, zk.WorldACL(zk.PermRead)); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, memberConfig(t, servers, "a"), ErrDenied, root+"/shop")
}

func TestAChrootIsCreatedAtAnyDepthAndMayBePrepared(t *testing.T) {
	servers := sharedZooKeeper(t) + "/apps/redis"
	a := open(t, memberConfig(t, servers, "a"))
	c, root := operator(t, servers)
	if there, _, err := c.Exists(root + "/shop/state"); err != nil || !there {
		t.Fatal(there, err)
	}
	update(t, a, stable(1))

	// An administrator makes the folder, empty, and lets members fill it.
	if _, err := c.Create(root+"/bank", nil, 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	cfg := memberConfig(t, servers, "a")
	cfg.Cluster = "bank"
	b := open(t, cfg)
	if b.Snapshot().State != nil || b.Identity() == a.Identity() {
		t.Error("two clusters under one root are not apart")
	}
}

func TestWithoutAChrootClustersLieUnderTheirOwnRoot(t *testing.T) {
	addr, _, _ := strings.Cut(sharedZooKeeper(t), "/")
	open(t, memberConfig(t, addr, "a"))
	c, _ := operator(t, addr)
	if there, _, err := c.Exists("/understudy/shop/state"); err != nil || !there {
		t.Fatal(there, err)
	}
}

func TestWhatBelongsToOthersIsRefusedAndLeftAsItIs(t *testing.T) {
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	update(t, a, stable(1))
	c, root := operator(t, servers)
	set := func(path, data string) {
		t.Helper()
		if _, err := c.Set(path, []byte(data), -1); err != nil {
			t.Fatal(err)
		}
	}
	make := func(path, data string) {
		t.Helper()
		if _, err := c.Create(path, []byte(data), 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	in := func(change func(*ZooKeeperConfig)) ZooKeeperConfig {
		cfg := memberConfig(t, servers, "b")
		change(&cfg)
		return cfg
	}
	refusedWith(t, in(func(c *ZooKeeperConfig) { c.Servers += "/shop" }), ErrOtherCluster, root+"/shop", `"shop"`, "chroot")
	refusedWith(t, in(func(c *ZooKeeperConfig) { c.Identity = "01234567" }), ErrOtherCluster, "01234567", Fingerprint(a.Identity()))
	refusedWith(t, in(func(c *ZooKeeperConfig) { c.Servers, c.Identity = c.Servers+"/typo/deep", Fingerprint(a.Identity()) }), ErrOtherCluster, "there is none at "+root+"/typo/deep/shop")
	if there, _, err := c.Exists(root + "/typo"); err != nil || there {
		t.Errorf("who looked for a cluster with a mistyped chroot left it behind: %v (%v)", there, err)
	}
	refusedWith(t, in(func(c *ZooKeeperConfig) { c.Cluster, c.Identity = "new", "01234567" }), ErrOtherCluster, "01234567", "there is none at")
	open(t, in(func(c *ZooKeeperConfig) { c.Identity = Fingerprint(a.Identity()) }))

	make(root+"/copy", `{"format":1,"cluster":"bank","id":"ab"}`)
	refusedWith(t, in(func(c *ZooKeeperConfig) { c.Cluster = "copy" }), ErrOtherCluster, `"bank"`, `"copy"`)
	make(root+"/kafka", "brokers")
	refusedWith(t, in(func(c *ZooKeeperConfig) { c.Cluster = "kafka" }), ErrOtherCluster, "not a cluster of Understudy")
	make(root+"/later", `{"format":2,"cluster":"later","id":"ab"}`)
	refusedWith(t, in(func(c *ZooKeeperConfig) { c.Cluster = "later" }), ErrNewerFormat, "format 2", root+"/later")
	make(root+"/half", `{"format":1,"cluster":"half","id":"ab"}`)
	refusedWith(t, in(func(c *ZooKeeperConfig) { c.Cluster = "half" }), ErrCorrupt, root+"/half/state", "missing")

	make(root+"/half/state", `{"format": 99, "cluster": 7}`)
	refusedWith(t, in(func(c *ZooKeeperConfig) { c.Cluster = "half" }), ErrNewerFormat, "format 99", root+"/half/state")
	set(root+"/half/state", `{"form`)
	refusedWith(t, in(func(c *ZooKeeperConfig) { c.Cluster = "half" }), ErrCorrupt, root+"/half/state")
	set(root+"/half/state", `{"format":1,"cluster":"bank","epoch":9,"phase":"stable","master":{"addr":"x:1"}}`)
	refusedWith(t, in(func(c *ZooKeeperConfig) { c.Cluster = "half" }), ErrOtherCluster, `"bank"`)
	if data, stat, err := c.Get(root + "/half/state"); err != nil || stat.Version != 2 {
		t.Errorf("it was changed: %s (%v)", data, err)
	}
	for _, folder := range []string{"members", "election"} {
		if names, _, err := c.Children(root + "/half/" + folder); err != nil || len(names) > 0 {
			t.Errorf("who was refused left %v in %s (%v)", names, folder, err)
		}
	}
}

func TestWhoMayNotFoundAClusterLeavesNothingBehindAndSaysWhy(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	c, root := operator(t, servers)
	cfg := memberConfig(t, servers+"/typo", "a")
	cfg.MayFound = func(context.Context) error { return errors.New("somebody is there already") }
	refusedWith(t, cfg, ErrOtherCluster, "there is none at "+root+"/typo/shop, and somebody is there already")
	if there, _, err := c.Exists(root + "/typo"); err != nil || there {
		t.Errorf("it left its folder behind: %v (%v)", there, err)
	}
}

func TestAClusterThatWasFoundedInVainIsTakenBackUnlessOthersUseIt(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	c, root := operator(t, servers)
	withdraw := func(z *ZooKeeper) {
		t.Helper()
		if err := z.Withdraw(); err != nil {
			t.Fatal(err)
		}
	}
	there := func(path string) bool {
		t.Helper()
		if _, err := c.Sync(path); err != nil {
			t.Fatal(err)
		}
		there, _, err := c.Exists(path)
		if err != nil {
			t.Fatal(err)
		}
		return there
	}
	withdraw(open(t, memberConfig(t, servers+"/first/time", "a")))
	if there(root + "/first") {
		t.Error("what was made for it is still there")
	}

	a := open(t, memberConfig(t, servers, "a"))
	b := open(t, memberConfig(t, servers, "b"))
	withdraw(a)
	leaderOf(t, b)
	update(t, b, stable(1))
	awaitGrant(t, b, 1)
	a = open(t, memberConfig(t, servers, "a"))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	withdraw(a) // it has not founded it
	if !there(root + "/shop/state") {
		t.Fatal("who had only joined has taken the cluster away")
	}

	a = open(t, memberConfig(t, servers+"/used", "a"))
	leaderOf(t, a)
	update(t, a, stable(1))
	withdraw(a)
	if !there(root + "/used/shop/state") {
		t.Error("it took back a State")
	}
}

func TestAMemberThatMeetsThoseWhoWereFasterToFoundJoinsThem(t *testing.T) {
	t.Parallel()
	cfg := memberConfig(t, sharedZooKeeper(t), "b")
	var faster *ZooKeeper
	cfg.MayFound = func(context.Context) error {
		faster = open(t, memberConfig(t, cfg.Servers, "a"))
		return errors.New("somebody is there already")
	}
	if b := open(t, cfg); b.Identity() != faster.Identity() {
		t.Errorf("its cluster is %s, and theirs %s", b.Identity(), faster.Identity())
	}
}

func TestAClusterThatIsReplacedUnderARunningMemberIsNotJoined(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	a := open(t, memberConfig(t, servers, "a"))
	update(t, a, stable(7))
	awaitGrant(t, a, 7)
	c, root := operator(t, servers)
	wipe(t, c, root+"/shop")
	testcluster.WaitFor(t, "the end of its authority", func() bool { return a.Grant() == (Grant{}) && !a.Leading() })
	b := open(t, memberConfig(t, servers, "b"))
	update(t, b, stable(1))
	testcluster.WaitFor(t, "its refusal to join", func() bool {
		p := a.Status().Problem
		return p != nil && strings.Contains(p.Error(), "was replaced")
	})
	if a.Snapshot().State.Epoch != 7 || permitted(a) {
		t.Error("it took over the State of another cluster")
	}
}

func TestASessionThatIsTooShortForALeaseIsRefused(t *testing.T) {
	cfg := memberConfig(t, sharedZooKeeper(t), "a")
	cfg.Tick = 4 * time.Second
	refusedWith(t, cfg, ErrSessionTooShort, "2s", "-250ms")
	// The server grants 20 ticks of 200 ms at most.
	cfg = memberConfig(t, sharedZooKeeper(t), "a")
	cfg.SessionTimeout, cfg.Lease = time.Minute, 30*time.Second
	refusedWith(t, cfg, ErrSessionTooShort, "grants 4s", "1m0s were asked for")
}

func TestAddressesOfZooKeeperAreRead(t *testing.T) {
	for s, want := range map[string]string{
		"a:1":                  "a:1 ",
		"a":                    "a:2181 ",
		"a:1,b,c:3/x/y":        "a:1,b:2181,c:3 /x/y",
		" a:1, b:2 ":           "a:1,b:2 ",
		"[::1]:2181/x/":        "[::1]:2181 /x",
		"[::1]":                "[::1]:2181 ",
		"zk.example.com:2181/": "zk.example.com:2181 ",
	} {
		servers, chroot, err := ParseZooKeeper(s)
		if got := strings.Join(servers, ",") + " " + chroot; err != nil || got != want {
			t.Errorf("%q is read as %q (%v), want %q", s, got, err, want)
		}
	}
	for s, says := range map[string]string{
		"":              "names no server",
		"a:1,":          "comma too many",
		"/x":            "names no server",
		"a:0":           "bad port",
		"a:70000":       "bad port",
		"a:b":           "bad port",
		":2181":         "proper host",
		"a b:1":         "proper host",
		"::1":           "brackets",
		"zk://a:1":      "URL",
		"a:1//x":        "bad chroot",
		"a:1/x,b:1/x":   "written once, at the end",
		"a:1/x/../y":    "bad chroot",
		"a:1/zookeeper": "keeps for itself",
		"a:1/\x01":      "bad chroot",
		"a:1/x,b:2/y":   "",
		"a:1;b:1":       "cannot be read",
		"redis://a:1/0": "URL",
	} {
		_, _, err := ParseZooKeeper(s)
		if says == "" {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "host:port[,host:port...][/chroot]") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %q", s, err, says)
		}
	}
}

func TestSettingsThatCannotBeAreNamedWithTheirRange(t *testing.T) {
	for says, change := range map[string]func(*ZooKeeperConfig){
		"the cluster":              func(c *ZooKeeperConfig) { c.Cluster = "" },
		`contains '/'`:             func(c *ZooKeeperConfig) { c.ID = "a/b" },
		"between 100ms and 10m":    func(c *ZooKeeperConfig) { c.SessionTimeout = time.Hour },
		"a fifth of the session":   func(c *ZooKeeperConfig) { c.Heartbeat = time.Second },
		"tickTime":                 func(c *ZooKeeperConfig) { c.Tick = -1 },
		"must not be negative":     func(c *ZooKeeperConfig) { c.Lease = -1 },
		"user:password":            func(c *ZooKeeperConfig) { c.Auth = "me" },
		"hexadecimal digits":       func(c *ZooKeeperConfig) { c.Identity = "0123ABCD" },
		"at least the session":     func(c *ZooKeeperConfig) { c.ForgetAfter = 1 },
		"the address of ZooKeeper": func(c *ZooKeeperConfig) { c.Servers = "" },
	} {
		cfg := memberConfig(t, "a:1", "a")
		change(&cfg)
		if _, err := OpenZooKeeper(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	cfg := ZooKeeperConfig{Servers: "a", Cluster: "shop", ID: "a"}
	if err := cfg.Validate(); err != nil || cfg.SessionTimeout != 10*time.Second || cfg.Heartbeat != time.Second || cfg.Tick != 2*time.Second {
		t.Errorf("defaults: %+v (%v)", cfg, err)
	}
}
