package checkup

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"
)

// sound is a cluster of which nothing is to be said.
func sound() (*Facts, Settings) {
	config := map[string]string{
		"save": "3600 1", "appendonly": "yes", "busy-reply-threshold": "5000", "databases": "16", "maxmemory": "0", "maxmemory-policy": "noeviction",
		"min-replicas-to-write": "1", "min-replicas-max-lag": "10", "requirepass": "secret", "masterauth": "secret", "replica-read-only": "yes",
	}
	node := func(addr string) Node {
		return Node{
			Addr: addr, InSync: true, Version: "7.0.15", File: "/etc/redis.conf", Priority: 100, Config: maps.Clone(config),
			Users: []string{"user default on"}, Clients: []string{"understudy:shop:web-1"},
		}
	}
	f := &Facts{Nodes: []Node{node("m:1"), node("r:1"), node("r:2")}}
	f.Nodes[0].Master, f.Nodes[0].InSync = true, false
	return f, Settings{StallAfter: 6 * time.Second, HoldTimeout: 10 * time.Second}
}

func TestNothingIsSaidOfASoundCluster(t *testing.T) {
	if found := Judge(sound()); len(found) > 0 {
		t.Errorf("found %v", found)
	}
}

func TestEachDefectIsFoundAloneAndNamed(t *testing.T) {
	set := func(node int, name, value string) func(*Facts, *Settings) {
		return func(f *Facts, _ *Settings) { f.Nodes[node].Config[name] = value }
	}
	for name, c := range map[string]struct {
		spoil func(*Facts, *Settings)
		note  bool
		words []string
	}{
		"a node that is not there": {
			spoil: func(f *Facts, _ *Settings) {
				f.Unreachable = map[string]error{"r:3": errors.New("connection refused")}
			},
			words: []string{"r:3", "connection refused"},
		},
		"CONFIG forbidden":      {spoil: func(f *Facts, _ *Settings) { f.Nodes[1].Config = nil }, note: true, words: []string{"r:1", "CONFIG GET"}},
		"a replica out of sync": {spoil: func(f *Facts, _ *Settings) { f.Nodes[2].InSync = false }, words: []string{"r:2 is not in sync"}},
		"two replicas out of sync": {
			spoil: func(f *Facts, _ *Settings) { f.Nodes[1].InSync, f.Nodes[2].InSync = false, false },
			words: []string{"r:1 and r:2 are not in sync"},
		},
		"nobody may be promoted": {
			spoil: func(f *Facts, s *Settings) { f.Nodes[1].Priority, s.NoFailover = 0, []string{"r:2"} },
			words: []string{"replica-priority", "no-failover"},
		},
		"no persistence": {
			spoil: func(f *Facts, s *Settings) { set(1, "save", "")(f, s); set(1, "appendonly", "no")(f, s) },
			words: []string{"r:1", "keeps nothing on disk"},
		},
		"no configuration file":        {spoil: func(f *Facts, _ *Settings) { f.Nodes[0].File = "" }, words: []string{"m:1", "CONFIG REWRITE"}},
		"scripts longer than patience": {spoil: set(2, "busy-reply-threshold", "6000"), words: []string{"stall-after", "r:2", "6s"}},
		"older servers' name of it": {
			spoil: func(f *Facts, s *Settings) {
				delete(f.Nodes[1].Config, "busy-reply-threshold")
				set(1, "lua-time-limit", "60000")(f, s)
			},
			words: []string{"stall-after", "r:1", "1m0s"},
		},
		"a hold shorter than a leader's session": {spoil: func(_ *Facts, s *Settings) { s.LeaderLoss = 12 * time.Second }, note: true,
			words: []string{"hold-timeout is 10s", "up to 12s"}},
		"a hold shorter than a stall":  {spoil: func(_ *Facts, s *Settings) { s.HoldTimeout = 6 * time.Second }, note: true, words: []string{"hold-timeout"}},
		"different memory":             {spoil: set(1, "maxmemory", "100"), words: []string{"maxmemory", `"0" on m:1`, `"100" on r:1`}},
		"different users":              {spoil: func(f *Facts, _ *Settings) { f.Nodes[2].Users = []string{"user default off"} }, words: []string{"ACL LIST", "m:1", "r:2"}},
		"different versions":           {spoil: func(f *Facts, _ *Settings) { f.Nodes[2].Version = "6.2.0" }, words: []string{"7.0.15", "6.2.0"}},
		"a replica that cannot log in": {spoil: set(1, "masterauth", ""), words: []string{"masterauth on r:1", "m:1, r:2"}},
		"too many replicas asked for":  {spoil: func(f *Facts, s *Settings) { min2(f) }, words: []string{"min-replicas-to-write is 2"}},
		"more acknowledgements than replicas": {spoil: func(_ *Facts, s *Settings) { s.WriteAcks = 3 },
			words: []string{"write-acks is 3", "only r:1 and r:2 are in sync", "UNREPLICATED"}},
		"as many acknowledgements as replicas": {spoil: func(_ *Facts, s *Settings) { s.WriteAcks = 2 }, note: true,
			words: []string{"write-acks is 2", "there are 2 replicas", "after a failover"}},
		"fewer acknowledgements than replicas, of which one is never promoted": {
			spoil: func(_ *Facts, s *Settings) { s.WriteAcks, s.NoFailover = 1, []string{"r:2"} }, note: true,
			words: []string{"r:2 has, which is never promoted", "above 1"}},
		"eviction by use":             {spoil: func(f *Facts, _ *Settings) { policy(f, "allkeys-lru") }, note: true, words: []string{"maxmemory-policy", "m:1, r:1, r:2"}},
		"a replica that takes writes": {spoil: set(2, "replica-read-only", "no"), words: []string{"replica-read-only", "r:2"}},
		"members that agree and a stranger": {spoil: func(f *Facts, s *Settings) {
			s.Coordinated = "shop"
			f.Nodes[1].Clients = []string{"understudy:shop:web-2", "understudy:other:web-3"}
		}, words: []string{"(understudy:other:web-3)", "--zookeeper"}},
		"a second Understudy": {spoil: func(f *Facts, _ *Settings) { f.Nodes[1].Clients = []string{"understudy:shop:web-2"} }, words: []string{"web-1, ", "web-2"}},
		"Sentinel":            {spoil: func(f *Facts, _ *Settings) { f.Nodes[1].Clients = []string{"sentinel-1234-cmd"} }, words: []string{"Sentinel"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := sound()
			c.spoil(f, &s)
			found := Judge(f, s)
			if name == "too many replicas asked for" && len(found) == 3 {
				found = found[:1] // it is said of each node
			}
			if len(found) != 1 {
				t.Fatalf("found %d things: %v", len(found), found)
			}
			if found[0].Problem == c.note {
				t.Errorf("problem is %v: %s", found[0].Problem, found[0].Text)
			}
			for _, w := range c.words {
				if !strings.Contains(found[0].Text, w) {
					t.Errorf("%q does not say %q", found[0].Text, w)
				}
			}
		})
	}
}

func TestReplicasOutOfSyncDoNotCountForAcknowledgements(t *testing.T) {
	f, s := sound()
	s.WriteAcks, f.Nodes[1].InSync, f.Nodes[2].InSync = 1, false, false
	found := Judge(f, s)
	if len(found) != 2 || !found[1].Problem || !strings.HasPrefix(found[1].Text, "write-acks is 1 and no replica is in sync: every write is answered -UNREPLICATED") {
		t.Errorf("found %v", found)
	}
}

func min2(f *Facts) {
	for i := range f.Nodes {
		f.Nodes[i].Config["min-replicas-to-write"] = "2"
	}
}

func policy(f *Facts, p string) {
	for i := range f.Nodes {
		f.Nodes[i].Config["maxmemory-policy"] = p
	}
}

func TestAMasterWithoutReplicasIsAProblem(t *testing.T) {
	f, s := sound()
	f.Nodes = f.Nodes[:1]
	found := Judge(f, s)
	if len(found) != 1 || !found[0].Problem || !strings.Contains(found[0].Text, "m:1 has no replica") {
		t.Errorf("found %v", found)
	}
}

func TestNoPasswordIsEverShown(t *testing.T) {
	f, s := sound()
	f.Nodes[1].Config["requirepass"] = "another secret"
	f.Nodes[2].Config["masterauth"] = "a third secret"
	found := Judge(f, s)
	if len(found) < 3 {
		t.Errorf("found only %v", found)
	}
	for _, one := range found {
		if strings.Contains(one.Text, "secret") {
			t.Errorf("a password is in %q", one.Text)
		}
	}
}
