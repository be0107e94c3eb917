package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestAnOperatorSwitchesPausesAndLooksFromTheCommandLine(t *testing.T) {
	t.Parallel()
	cluster := testcluster.New(t, 2)
	p := start(t, nil, "run", "--nodes", cluster.Nodes[0].Addr, "--listen", "127.0.0.1:0", "--state", filepath.Join(t.TempDir(), "state.json"), "--id", "web-1")
	_, addr := connect(t, p.logged("msg=ready"))
	target := cluster.Nodes[2].Addr
	steps := []struct {
		args   []string
		status int
		says   []string // on standard output, or on standard error with another status than 0
	}{
		{[]string{"failover", target}, 0, []string{target + " is master and was " + cluster.Nodes[0].Addr + ", epoch 2"}},
		{[]string{"failover", target}, 1, []string{"understudy: " + target + " is the master already\n"}},
		{[]string{"failover", "nowhere"}, 1, []string{"it must be host:port"}},
		{[]string{"failover", "127.0.0.1:1"}, 1, []string{"127.0.0.1:1 is not a node of this cluster"}},
		{[]string{"pause", "new", "kernel"}, 0, []string{"paused: no failover will take place"}},
		{[]string{"status"}, 0, []string{"PAUSED", "by web-1 for 127.0.0.1:", "(new kernel)", "understudy resume"}},
		{[]string{"failover"}, 1, []string{"(new kernel): resume first, or use --force"}},
		{[]string{"failover", cluster.Nodes[0].Addr, "--force"}, 0, []string{cluster.Nodes[0].Addr + " is master"}},
		{[]string{"resume"}, 0, []string{"resumed\n"}},
		{[]string{"forget", target}, 1, []string{"understudy: " + target + " replicates from the master and would be found again at once: shut it down first\n"}},
		{[]string{"members"}, 0, []string{"MEMBER", "web-1", "leader  yes", "there is no agreement to be a member of"}},
		{[]string{"events"}, 0, []string{"switchover", "over: master " + target + ", was " + cluster.Nodes[0].Addr, "fencing: switchover to " + target,
			"pause (new kernel) asked for by web-1", "forget " + target + " asked for by web-1", "refused: "}},
		{[]string{"events", "--count", "1"}, 0, []string{"KIND"}},
		{[]string{"events", "1"}, 0, []string{"KIND"}},
		{[]string{"events", "one"}, 2, []string{"one"}},
	}
	for _, step := range steps {
		status, stdout, stderr := once(t, nil, append(step.args, "--addr", addr)...)
		told, silent := stdout, stderr
		if step.status != 0 {
			told, silent = stderr, stdout
		}
		for _, w := range step.says {
			if status != step.status || silent != "" || !strings.Contains(told, w) {
				t.Errorf("understudy %s: status %d, without %q:\n%s%s", strings.Join(step.args, " "), status, w, stdout, stderr)
			}
		}
	}
}
