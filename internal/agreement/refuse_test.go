package agreement

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcert"
	"github.com/understudy/understudy/internal/testcluster"
)

func TestAMemberThatCannotJoinSaysWhyInOneSentence(t *testing.T) {
	s := start(t, options{args: append([]string{"--zookeeper-auth=understudy:secret"}, swift...)})
	hosts := strings.Join(s.ensemble.Hosts(), ",")
	node := s.cluster.Nodes[0].Addr
	info, err := s.members[0].info()
	must(t, err)
	if len(info["cluster_identity"]) != 8 {
		t.Fatalf("the identity is %q", info["cluster_identity"])
	}
	missing := filepath.Join(t.TempDir(), "ca.pem")
	authority, other := testcert.NewAuthority(t), testcert.NewAuthority(t)
	secure := secureEnsemble(t, authority.Sign("server", time.Now().Add(time.Hour), "127.0.0.1"))
	expired := secureEnsemble(t, authority.Sign("late", time.Now().Add(-time.Hour), "127.0.0.1"))
	one, two := authority.Sign("one", time.Now().Add(time.Hour)), authority.Sign("two", time.Now().Add(time.Hour))
	for name, c := range map[string]struct {
		args   []string
		status int
		words  []string
	}{
		"nobody there": {[]string{"--zookeeper=" + reserve(t)}, 1,
			[]string{"ZooKeeper cannot be reached", "connection refused", "check the addresses"}},
		"no ZooKeeper":            {[]string{"--zookeeper=" + node}, 1, []string{"ZooKeeper cannot be reached", node, "check the addresses"}},
		"no port":                 {[]string{"--zookeeper=127.0.0.1:zookeeper"}, 2, []string{`127.0.0.1:zookeeper`, "port"}},
		"no host":                 {[]string{"--zookeeper=,/x"}, 2, []string{"ZooKeeper"}},
		"a chroot that points up": {[]string{"--zookeeper=" + hosts + s.chroot + "/../x"}, 2, []string{s.chroot + "/../x"}},
		"a chroot with a gap":     {[]string{"--zookeeper=" + hosts + "//x"}, 2, []string{"chroot", "//x"}},
		"a chroot that is the cluster": {[]string{"--zookeeper=" + hosts + s.chroot + "/" + cluster, "--zookeeper-auth=understudy:secret"}, 1,
			[]string{"another cluster", s.chroot + "/" + cluster, "leave the last name out of the chroot"}},
		"denied":           {[]string{"--zookeeper=" + hosts + s.chroot}, 1, []string{"ZooKeeper denies access", s.chroot, "check user and password"}},
		"a wrong password": {[]string{"--zookeeper=" + hosts + s.chroot, "--zookeeper-auth=understudy:guess"}, 1, []string{"ZooKeeper denies access", s.chroot, "check user and password"}},
		"nodes of another cluster": {[]string{"--zookeeper=" + hosts + s.chroot, "--zookeeper-auth=understudy:secret", "--nodes=" + reserve(t)}, 1,
			[]string{"is about the master " + node, "--cluster", "another chroot"}},
		"another identity": {[]string{"--zookeeper=" + hosts + s.chroot, "--zookeeper-auth=understudy:secret", "--cluster-identity=01234567"}, 1,
			[]string{"another cluster", s.chroot + "/" + cluster, "identity " + info["cluster_identity"], "01234567 is wanted", "cluster-identity"}},
		"a wrong chroot": {[]string{"--zookeeper=" + hosts + s.chroot + "-typo", "--cluster-identity=" + info["cluster_identity"]}, 1,
			[]string{"another cluster", "there is none at " + s.chroot + "-typo/" + cluster, "check chroot"}},
		"a wrong chroot, and no identity": {[]string{"--zookeeper=" + hosts + s.chroot + "-typo"}, 1,
			[]string{"another cluster", "there is none at " + s.chroot + "-typo/" + cluster, "the Understudy " + cluster + ":a (identity " + info["cluster_identity"] + ")",
				"the Understudy " + cluster + ":c", "check the chroot of --zookeeper and --cluster"}},
		"a wrong name": {[]string{"--zookeeper=" + hosts + s.chroot, "--zookeeper-auth=understudy:secret", "--cluster=shoq"}, 1,
			[]string{"another cluster", "there is none at " + s.chroot + "/shoq", "the Understudy " + cluster + ":b (identity " + info["cluster_identity"] + ")"}},
		"a chroot of ZooKeeper's":      {[]string{"--zookeeper=" + hosts + "/zookeeper/quota"}, 2, []string{"/zookeeper/quota", "ZooKeeper keeps for itself"}},
		"no identity":                  {[]string{"--zookeeper=" + hosts, "--cluster-identity=shop"}, 2, []string{`cluster-identity is "shop"`, "8 hexadecimal digits"}},
		"a CA that is not there":       {[]string{"--zookeeper=" + hosts, "--zookeeper-tls", "--zookeeper-ca=" + missing}, 2, []string{"zookeeper-ca is " + missing, "no such file"}},
		"a key of another":             {[]string{"--zookeeper=" + hosts, "--zookeeper-tls", "--zookeeper-cert=" + one.Cert, "--zookeeper-key=" + two.Key}, 2, []string{two.Key, "do not fit together"}},
		"files for TLS without TLS":    {[]string{"--zookeeper=" + hosts, "--zookeeper-ca=" + authority.File}, 2, []string{"zookeeper-tls is not given"}},
		"a server of another CA":       {[]string{"--zookeeper=" + secure, "--zookeeper-tls", "--zookeeper-ca=" + other.File}, 1, []string{secure, "not signed by an authority", "check zookeeper-ca"}},
		"a server that is out of date": {[]string{"--zookeeper=" + expired, "--zookeeper-tls", "--zookeeper-ca=" + authority.File}, 1, []string{expired, "its certificate expired at", "renew it"}},
		"a server under another name": {[]string{"--zookeeper=" + secure, "--zookeeper-tls", "--zookeeper-ca=" + authority.File, "--zookeeper-server-name=zk"}, 1,
			[]string{secure, "its certificate is for 127.0.0.1 and not for zk"}},
		"TLS on a plain port": {[]string{"--zookeeper=" + hosts, "--zookeeper-tls", "--zookeeper-ca=" + authority.File}, 1, []string{"does not speak TLS", "secureClientPort"}},
		"a session too short": {[]string{"--zookeeper=" + hosts + "/short", "--zookeeper-session-timeout=400ms", "--zookeeper-heartbeat=80ms", "--zookeeper-tick=400ms"}, 1,
			[]string{"session of ZooKeeper is too short", "ask for a longer session"}},
		"a heartbeat too slow": {[]string{"--zookeeper=" + hosts, "--zookeeper-heartbeat=5s"}, 2, []string{"heartbeat is 5s", "a fifth of the session timeout"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"run", "--cluster=" + cluster, "--id=stranger", "--listen=" + reserve(t), "--zookeeper-tick=200ms", "--zookeeper-session-timeout=3s",
				"--zookeeper-heartbeat=200ms", "--nodes=" + node}, c.args...)
			p := launch(t, without(args)...)
			if status := p.exit(t); status != c.status {
				t.Errorf("the status is %d, want %d", status, c.status)
			}
			lines := strings.Split(strings.TrimSpace(p.output.String()), "\n")
			last, told := strings.CutPrefix(lines[len(lines)-1], "understudy: ")
			if !told {
				t.Fatalf("the last line is %q", lines[len(lines)-1])
			}
			for _, line := range lines[:len(lines)-1] {
				if !strings.HasPrefix(line, "time=") {
					t.Errorf("more than one sentence: %q", line)
				}
			}
			for _, w := range c.words {
				if !strings.Contains(last, w) {
					t.Errorf("%q does not say %q", last, w)
				}
			}
		})
	}
}

func TestMembersAgreeThroughTLS(t *testing.T) {
	t.Parallel()
	authority := testcert.NewAuthority(t)
	hosts := secureEnsemble(t, authority.Sign("server", time.Now().Add(time.Hour), "127.0.0.1"))
	s := start(t, options{args: append([]string{"--zookeeper=" + hosts + "/tls", "--zookeeper-tls", "--zookeeper-ca=" + authority.File}, swift...)})
	before := s.agree()
	must(t, before.master.Kill())
	s.do(s.members[0], "SET", "key", "value")
	after := s.agree()
	if after.epoch != before.epoch+1 {
		t.Errorf("epoch %d after %d", after.epoch, before.epoch)
	}
	info, err := s.members[0].info()
	must(t, err)
	for _, m := range s.members[1:] {
		if another, err := m.info(); err != nil || another["cluster_identity"] != info["cluster_identity"] {
			t.Errorf("the identity is %q, for %s %q (%v)", info["cluster_identity"], m.id, another["cluster_identity"], err)
		}
	}
}

// secureEnsemble starts a ZooKeeper server with this certificate and returns the address of its port for TLS.
func secureEnsemble(t *testing.T, pair testcert.Pair) string {
	t.Helper()
	e, err := testcluster.StartEnsemble(t.Context(), 1, testcluster.ZooKeeperOptions{TLS: &testcluster.ZooKeeperTLS{KeyStore: pair.Both}})
	must(t, err)
	t.Cleanup(func() { must(t, e.Stop()) })
	return e.Servers[0].SecureAddr
}

// without returns args without those that a later one replaces: a list would grow.
func without(args []string) []string {
	var list []string
	for i, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		replaced := false
		for _, later := range args[i+1:] {
			replaced = replaced || strings.HasPrefix(later, name+"=")
		}
		if !replaced {
			list = append(list, arg)
		}
	}
	return list
}
