package monitor

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestInfoOfAMaster(t *testing.T) {
	got := parseInfo(strings.ReplaceAll(`# Replication
role:master
connected_slaves:4
slave0:ip=10.0.0.2,port=6379,state=online,offset=14,lag=0
slave1:ip=replica.example,port=6380,state=wait_bgsave,offset=0,lag=0
slave2:ip=10.0.0.9,port=0,state=wait_bgsave,offset=0,lag=0
slave3:ip=fe80::1,port=6379,state=online,offset=14,lag=0
slaveof:nothing
master_failover_state:no-failover
master_replid:aaaa
master_replid2:bbbb
master_repl_offset:14
second_repl_offset:9

# Persistence
loading:0
async_loading:0
# Server
redis_version:7.0.15
redis_mode:standalone
run_id:cccc
`, "\n", "\r\n"))
	want := info{
		RunID: "cccc", Mode: "standalone", Version: "7.0.15", Role: roleMaster, ReplID: "aaaa", ReplID2: "bbbb", SecondAt: 9,
		Offset: 14, Priority: 100, Failover: "no-failover", Replicas: []string{"10.0.0.2:6379", "replica.example:6380", "[fe80::1]:6379"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestInfoOfAReplica(t *testing.T) {
	got := parseInfo(`role:slave
master_host:10.0.0.1
master_port:6379
master_link_status:down
master_sync_in_progress:1
slave_read_repl_offset:120
slave_repl_offset:100
master_link_down_since_seconds:7
slave_priority:0
slave_read_only:1
master_replid:aaaa
master_replid2:0000000000000000000000000000000000000000
master_repl_offset:100
second_repl_offset:-1
loading:1
`)
	want := info{Role: roleReplica, ReplID: "aaaa", SecondAt: -1, Offset: 100, Loading: true, Master: "10.0.0.1:6379",
		LinkDown: 7 * time.Second, Syncing: true}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if got := parseInfo("role:slave\nmaster_link_status:down\nmaster_link_down_since_seconds:-1\n"); got.LinkDown != never {
		t.Errorf("a link that was never up: %v", got.LinkDown)
	}
}

func FuzzParseInfoNeverPanics(f *testing.F) {
	f.Add("role:master\r\nslave0:ip=1,port=2\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		n := parseInfo(s)
		if n.Role != "" && n.Role != roleMaster && n.Role != roleReplica {
			t.Errorf("role %q", n.Role)
		}
		for _, r := range n.Replicas {
			if !strings.Contains(r, ":") {
				t.Errorf("replica %q", r)
			}
		}
	})
}
