package agreement

import (
	"strings"
	"testing"
)

func TestAMemberThatCannotJoinSaysWhyInOneSentence(t *testing.T) {
	s := start(t, options{args: append([]string{"--zookeeper-auth=understudy:secret"}, swift...)})
	hosts := strings.Join(s.ensemble.Hosts(), ",")
	node := s.cluster.Nodes[0].Addr
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
		"a session too short": {[]string{"--zookeeper=" + hosts + "/short", "--zookeeper-session-timeout=500ms", "--zookeeper-heartbeat=100ms"}, 1,
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
