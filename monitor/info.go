package monitor

import (
	"net"
	"strconv"
	"strings"
	"time"
)

// role is what a node says it is.
type role string

const (
	roleMaster  role = "master"
	roleReplica role = "replica"
)

// never stands for a time span that has no end: a link that was never up.
const never = time.Duration(1<<63 - 1)

// info is what a node says of itself in INFO server, replication and persistence. Fields that a server does not send
// stay zero.
type info struct {
	RunID   string
	Mode    string // standalone, cluster or sentinel
	Version string

	Role     role
	ReplID   string // master_replid
	ReplID2  string // master_replid2: the history before the last promotion; "" if there is none
	SecondAt int64  // second_repl_offset: where that history ended
	Offset   int64  // of a master what it has written, of a replica what it has processed
	Loading  bool

	// Of a replica.
	Master   string        // host:port of its master, as it is configured to reach it
	LinkUp   bool          // master_link_status
	LinkDown time.Duration // since when the link is down; never if it was never up in this run
	Syncing  bool          // a full synchronisation is under way
	Priority int           // replica-priority; 100 where the server does not say

	// Of a master.
	Failover string   // master_failover_state: how far its own FAILOVER has come; "" before Redis 6.2
	Replicas []string // host:port of the connected replicas, as announced
}

// noReplID is what Redis writes for a second history that does not exist.
const noReplID = "0000000000000000000000000000000000000000"

// parseInfo reads the text of one or more INFO sections. Lines it does not know are skipped.
func parseInfo(text string) info {
	n := info{Priority: 100}
	var masterHost, masterPort string
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		switch key {
		case "run_id":
			n.RunID = value
		case "redis_mode":
			n.Mode = value
		case "redis_version":
			n.Version = value
		case "role":
			switch value {
			case "master":
				n.Role = roleMaster
			case "slave", "replica":
				n.Role = roleReplica
			}
		case "master_replid":
			n.ReplID = value
		case "master_replid2":
			if value != noReplID {
				n.ReplID2 = value
			}
		case "second_repl_offset":
			n.SecondAt = number(value)
		case "master_repl_offset":
			n.Offset = max(n.Offset, number(value))
		case "slave_repl_offset":
			n.Offset = max(n.Offset, number(value))
		case "loading", "async_loading":
			n.Loading = n.Loading || value == "1"
		case "master_host":
			masterHost = value
		case "master_port":
			masterPort = value
		case "master_link_status":
			n.LinkUp = value == "up"
		case "master_link_down_since_seconds":
			n.LinkDown = never
			if s := number(value); s >= 0 {
				n.LinkDown = time.Duration(s) * time.Second
			}
		case "master_sync_in_progress":
			n.Syncing = value == "1"
		case "master_failover_state":
			n.Failover = value
		case "slave_priority":
			n.Priority = int(number(value))
		default:
			if addr, ok := replicaLine(key, value); ok {
				n.Replicas = append(n.Replicas, addr)
			}
		}
	}
	if n.Role == roleReplica && masterHost != "" {
		n.Master = net.JoinHostPort(masterHost, masterPort)
	}
	return n
}

// replicaLine reads "slave0:ip=10.0.0.2,port=6379,state=online,offset=...,lag=...": the address is the announced one
// where the replica announces one.
func replicaLine(key, value string) (addr string, ok bool) {
	rest, ok := strings.CutPrefix(key, "slave")
	if !ok {
		return "", false
	}
	if _, err := strconv.Atoi(rest); err != nil {
		return "", false
	}
	var host, port string
	for field := range strings.SplitSeq(value, ",") {
		switch k, v, _ := strings.Cut(field, "="); k {
		case "ip":
			host = v
		case "port":
			port = v
		}
	}
	// A replica that has not said its port yet is listed with port 0.
	if host == "" || port == "" || port == "0" {
		return "", false
	}
	return net.JoinHostPort(host, port), true
}

// number reads a decimal number; what is none counts as 0, which no rule takes for good news.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
