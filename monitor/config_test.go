package monitor

import (
	"strings"
	"testing"
	"time"
)

func TestTheDefaultsAreValid(t *testing.T) {
	cfg := testConfig("127.0.0.1:1")
	must(t, cfg.Validate())
	if cfg.clientName() != "understudy:test:a" {
		t.Errorf("client name %q", cfg.clientName())
	}
}

func TestASettingOutOfRangeIsNamedWithItsValueAndRange(t *testing.T) {
	for says, change := range map[string]func(*Config){
		`cluster is "": it must be`:                          func(c *Config) { c.Cluster = "" },
		`id is "a b"`:                                        func(c *Config) { c.ID = "a b" },
		`client-name is "ä"`:                                 func(c *Config) { c.ClientName = "ä" },
		`nodes is empty`:                                     func(c *Config) { c.Nodes = nil },
		`nodes is "host": it must be host:port`:              func(c *Config) { c.Nodes = []string{"host"} },
		`no-failover is "host"`:                              func(c *Config) { c.NoFailover = []string{"host"} },
		`node-map is "x"`:                                    func(c *Config) { c.NodeMap = map[string]string{"x": "y:1"} },
		`node-strategy is "vote"`:                            func(c *Config) { c.NodeStrategy = "vote" },
		`required-monitors is 0: it must be at least 1`:      func(c *Config) { c.RequiredMonitors = 0 },
		`max-failures is 101: it must be from 1 to 100`:      func(c *Config) { c.MaxFailures = 101 },
		`max-lag is 0 bytes: it must be at least 1`:          func(c *Config) { c.MaxLagBytes = 0 },
		`down-after is 1ms: it must be from 10ms to 1h0m0s`:  func(c *Config) { c.DownAfter = time.Millisecond },
		`stall-after is 500ms: it must be from 1s to 1h0m0s`: func(c *Config) { c.StallAfter = 500 * time.Millisecond },
		`probe-interval is 0s`:                               func(c *Config) { c.ProbeInterval = 0 },
		`max-lag-time is 0s`:                                 func(c *Config) { c.MaxLagTime = 0 },
		`max-link-down is -1s`:                               func(c *Config) { c.MaxLinkDown = -time.Second },
		`fence-timeout is 0s`:                                func(c *Config) { c.FenceTimeout = 0 },
		`command-timeout is 2m0s`:                            func(c *Config) { c.CommandTimeout = 2 * time.Minute },
		`forget-after is -1s`:                                func(c *Config) { c.ForgetAfter = -time.Second },
		`retry-interval is 0s`:                               func(c *Config) { c.RetryInterval = 0 },
	} {
		cfg := testConfig("127.0.0.1:1")
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v does not say %q", err, says)
		}
		if _, err := New(cfg, nil, quiet()); err == nil {
			t.Errorf("New accepts it: %s", says)
		}
	}
}
