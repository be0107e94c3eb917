package topology

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"
)

func TestWhoLooksAtZooKeeperIsToldWhatAMemberWouldBeAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	servers := sharedZooKeeper(t)
	cfg := memberConfig(t, servers, "a")
	look := func(change func(*ZooKeeperConfig)) (string, error) {
		t.Helper()
		cfg := cfg
		change(&cfg)
		return LookAtZooKeeper(t.Context(), cfg)
	}
	as := func(*ZooKeeperConfig) {}
	c, root := operator(t, servers)
	if identity, err := look(as); identity != "" || err != nil {
		t.Errorf("before there is a cluster it finds %q: %v", identity, err)
	}
	if there, _, err := c.Exists(root); there || err != nil {
		t.Errorf("looking has made %s: %v", root, err)
	}
	wrong := func(cfg *ZooKeeperConfig) { cfg.Identity = "00000000" }
	if _, err := look(wrong); !errors.Is(err, ErrOtherCluster) || !strings.Contains(err.Error(), "there is none at "+root+"/shop") {
		t.Errorf("without the cluster that is wanted: %v", err)
	}
	cfg.Auth = "u:p"
	a := open(t, cfg)
	if identity, err := look(as); identity != Fingerprint(a.Identity()) || err != nil {
		t.Errorf("of the cluster %s it finds %q: %v", Fingerprint(a.Identity()), identity, err)
	}
	if _, err := look(wrong); !errors.Is(err, ErrOtherCluster) || !strings.Contains(err.Error(), "00000000 is wanted") {
		t.Errorf("with another cluster there: %v", err)
	}
	if _, err := look(func(cfg *ZooKeeperConfig) { cfg.Auth = "u:other" }); !errors.Is(err, ErrDenied) {
		t.Errorf("with a wrong password: %v", err)
	}
	if got := ids(t, a); got != "a" {
		t.Errorf("the members are %q after looking", got)
	}
	// A folder of an administrator in which nobody else may make one.
	if _, err := c.Create("/closed-to-all", nil, 0, zk.WorldACL(zk.PermRead)); err != nil {
		t.Fatal(err)
	}
	hosts, _, _ := strings.Cut(servers, "/")
	if _, err := look(func(cfg *ZooKeeperConfig) { cfg.Servers = hosts + "/closed-to-all" }); !errors.Is(err, ErrDenied) {
		t.Errorf("where no cluster may be founded: %v", err)
	}
}
