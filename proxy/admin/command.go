package admin

import (
	"fmt"
	"strings"
	"time"

	"github.com/understudy/understudy/resp"
)

var help = []string{
	"PROXY <subcommand>. Subcommands are:",
	"HELP",
	"    Print this help.",
	"INFO",
	"    Return what INFO understudy returns.",
	"NODES",
	"    Return everything that is known of each node, the master first.",
}

// Proxy implements session.Admin. args begins with PROXY itself.
func (a *Admin) Proxy(args [][]byte, proto int) []byte {
	if len(args) < 2 {
		return resp.AppendError(nil, "ERR wrong number of arguments for 'proxy' command")
	}
	sub := strings.ToUpper(string(args[1]))
	switch sub {
	case "HELP", "INFO", "NODES":
	default:
		return resp.AppendError(nil, fmt.Sprintf("ERR unknown subcommand '%.128s'. Try PROXY HELP.", args[1]))
	}
	if len(args) > 2 {
		return resp.AppendError(nil, fmt.Sprintf("ERR wrong number of arguments for 'proxy|%s' command", strings.ToLower(sub)))
	}
	switch sub {
	case "INFO":
		return resp.AppendVerbatim(nil, proto, "txt", a.Info())
	case "NODES":
		return a.nodes(proto)
	}
	reply := resp.AppendArray(nil, len(help))
	for _, line := range help {
		reply = resp.AppendSimple(reply, line)
	}
	return reply
}

// nodes is the reply to PROXY NODES: an array of maps. Times are ages in seconds, -1 for never.
func (a *Admin) nodes(proto int) []byte {
	now := time.Now()
	list := rows(a.cluster.Snapshot().State, a.watcher.Report(), a.traffic())
	reply := resp.AppendArray(nil, len(list))
	for i := range list {
		reply = list[i].append(reply, proto, now)
	}
	return reply
}

func (r *row) append(reply []byte, proto int, now time.Time) []byte {
	type field struct {
		name  string
		value any // string, int64 or []string
	}
	fields := []field{
		{"addr", r.Addr},
		{"aliases", r.Aliases},
		{"role", r.role},
		{"health", r.health},
		{"reason", r.reason()},
		{"since", age(r.Since, now)},
		{"heard", age(r.Heard, now)},
		{"run_id", r.RunID},
		{"version", r.Version},
		{"priority", int64(r.Priority)},
		{"follows", r.Follows},
		{"link", r.Link},
		{"offset", r.Offset},
		{"lag_bytes", r.LagBytes},
		{"lag_ms", r.LagTime.Milliseconds()},
		{"requests", int64(r.traffic.Requests)},
		{"connections", int64(r.traffic.Conns)},
		{"latency_us", r.traffic.Latency.Microseconds()},
		{"probe_us", r.Latency.Microseconds()},
	}
	reply = resp.AppendMap(reply, proto, len(fields))
	for _, f := range fields {
		reply = resp.AppendBulkString(reply, f.name)
		switch v := f.value.(type) {
		case string:
			reply = resp.AppendBulkString(reply, v)
		case int64:
			reply = resp.AppendInt(reply, v)
		case []string:
			reply = resp.AppendArray(reply, len(v))
			for _, s := range v {
				reply = resp.AppendBulkString(reply, s)
			}
		}
	}
	return reply
}
