package admin

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/understudy/understudy/resp"
	"github.com/understudy/understudy/topology"
)

var help = []string{
	"PROXY <subcommand>. Subcommands are:",
	"HELP",
	"    Print this help.",
	"INFO",
	"    Return what INFO understudy returns.",
	"NODES",
	"    Return everything that is known of each node, the master first.",
	"MEMBERS",
	"    Return the Understudy processes of this cluster and who leads.",
	"EVENTS [count]",
	"    Return what happened lately, the latest last (100 unless told).",
	"READ [split|causal|bounded|eventual|strong]",
	"    Say what the reads of this connection see, or return it: replica is eventual, master is strong, and split",
	"    is what the configuration says.",
	"FAILOVER [host:port] [FORCE]",
	"    Make that replica, or the best one, the master without losing a write; reply when it is done.",
	"    FORCE: also one that is not to be promoted, also while paused.",
	"PAUSE [reason]",
	"    Only observe: promote nobody and move no node until RESUME.",
	"RESUME",
	"    Act again.",
	"FORGET host:port",
	"    Take a node that is gone for good out of the cluster; shut it down first.",
}

// eventsShown is how many events PROXY EVENTS returns unless told.
const eventsShown = 100

// most is how many further arguments a subcommand of PROXY takes.
var most = map[string]int{"HELP": 0, "INFO": 0, "NODES": 0, "MEMBERS": 0, "EVENTS": 1, "FAILOVER": 2, "PAUSE": 1 << 10, "RESUME": 0, "FORGET": 1}

// Proxy implements session.Admin. args begins with PROXY or FAILOVER itself.
func (a *Admin) Proxy(args [][]byte, proto int, by string, done func(reply []byte)) {
	var rest []string
	for _, arg := range args[1:] {
		rest = append(rest, string(arg))
	}
	by = a.who.ID + " for " + by
	if isFailover(args) {
		a.failover(rest, by, done)
		return
	}
	refuse := func(text string) { done(resp.AppendError(nil, text)) }
	if len(rest) < 1 {
		refuse("ERR wrong number of arguments for 'proxy' command")
		return
	}
	sub := strings.ToUpper(rest[0])
	limit, known := most[sub]
	switch rest = rest[1:]; {
	case !known:
		refuse(fmt.Sprintf("ERR unknown subcommand '%.128s'. Try PROXY HELP.", args[1]))
		return
	case len(rest) > limit, sub == "FORGET" && len(rest) == 0:
		refuse(fmt.Sprintf("ERR wrong number of arguments for 'proxy|%s' command", strings.ToLower(sub)))
		return
	}
	request := topology.Request{By: by}
	switch sub {
	case "EVENTS":
		count := eventsShown
		if len(rest) == 1 {
			var err error
			if count, err = strconv.Atoi(rest[0]); err != nil || count < 0 {
				refuse("ERR value is not an integer or out of range")
				return
			}
		}
		done(a.events(proto, count))
	case "MEMBERS":
		a.background(func(ctx context.Context) {
			list, asked, reason, err := a.listMembers(ctx)
			if err != nil {
				refuse("ERR " + told(err))
				return
			}
			done(a.members(proto, list, asked, reason, a.answers(ctx, list)))
		})
	case "FAILOVER":
		r, err := proxyFailover(rest)
		if err != nil {
			refuse(err.Error())
			return
		}
		r.By = by
		a.operate(r, done)
	case "PAUSE":
		request.Kind, request.Reason = topology.Pause, oneLine(strings.Join(rest, " "))
		a.operate(request, done)
	case "RESUME":
		request.Kind = topology.Resume
		a.operate(request, done)
	case "FORGET":
		if err := checkNode(rest[0]); err != nil {
			refuse(err.Error())
			return
		}
		request.Kind, request.Target = topology.Forget, rest[0]
		a.operate(request, done)
	default:
		done(a.tell(sub, proto))
	}
}

// failover carries out FAILOVER with these arguments, as a server does.
func (a *Admin) failover(args []string, by string, done func(reply []byte)) {
	r, err := serverFailover(args)
	if err != nil {
		done(resp.AppendError(nil, err.Error()))
		return
	}
	r.By = by
	a.operate(r, func(reply []byte) {
		if reply[0] == '+' {
			reply = resp.AppendSimple(nil, "OK") // what a client of a server expects
		}
		done(reply)
	})
}

// tell returns the reply to a subcommand that only needs what is known here.
func (a *Admin) tell(sub string, proto int) []byte {
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

func (r *Row) append(reply []byte, proto int, now time.Time) []byte {
	fields := []field{
		{"addr", r.Addr},
		{"aliases", r.Aliases},
		{"role", r.Role},
		{"health", r.Health},
		{"reason", r.Problem()},
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
		{"requests", int64(r.Traffic.Requests)},
		{"connections", int64(r.Traffic.Conns)},
		{"latency_us", r.Traffic.Latency.Microseconds()},
		{"probe_us", r.Latency.Microseconds()},
	}
	return appendFields(reply, proto, fields)
}

// field is an entry of a map in a reply.
type field struct {
	name  string
	value any // string, int64 or []string
}

func appendFields(reply []byte, proto int, fields []field) []byte {
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
