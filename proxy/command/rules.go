package command

import (
	"strings"
	"sync"
)

// This file holds what is known about commands and cannot be read from a server's flags, with the reasons.

// handRule overrides what the flags say. Class is meant for the command as it is named; rule may change it by arguments.
type handRule struct {
	names   []string
	class   Class
	rule    rule
	refusal string // for Refused
}

// Sentences for refusals; {name} stands for the command.
const (
	refuseRole     = "ERR {name} is not available through Understudy, which decides who is master. Use FAILOVER or PROXY FAILOVER for a switchover"
	refuseReplica  = "ERR {name} is not available through Understudy. A replica has to connect to the node itself"
	refuseShutdown = "ERR {name} is not available through Understudy. Send it to the node itself"
	refuseDebug    = "ERR {name} is not available through Understudy, because it can stop the master for every client. Send it to the node itself"
	refuseDebugger = "ERR {name} is not available through Understudy, because the debugger takes over a connection and can stop the master for every client. Connect to the node itself"
	refusePassword = "ERR CONFIG SET requirepass is not available through Understudy, which it would cut off from the master, and no other node would have the password. Give it to every node itself, and to Understudy (--password)"
	refuseCluster  = "ERR This instance has cluster support disabled"
	refuseRenamed  = "ERR {name} is not available through Understudy under another name, which redis.conf (rename-command) has given it, because Understudy has a part in what it does"
	refuseHTTP     = "ERR this is HTTP, not the Redis protocol"
)

// handRules are all rules. No name stands in two of them.
var handRules = []handRule{
	// Access times and frequencies are kept by each node for itself; TOUCH is meant to change the master's.
	{class: MasterRead, names: []string{"TOUCH", "OBJECT|FREQ", "OBJECT|IDLETIME"}},
	// When a consumer was last seen is not replicated if it found nothing, nor how many entries a group has read: a replica
	// does not know the group's lag, and a monitor that asks for it would find none.
	{class: MasterRead, names: []string{"XINFO|CONSUMERS", "XINFO|GROUPS"}},
	{class: Read, rule: ruleXInfoFull, names: []string{"XINFO|STREAM"}},

	// The state of the server itself. The proxy stands for the master.
	{class: MasterRead, names: []string{"TIME", "LASTSAVE", "ROLE", "PFSELFTEST", "CONFIG|GET",
		"MEMORY|DOCTOR", "MEMORY|MALLOC-STATS", "MEMORY|STATS",
		"LATENCY|DOCTOR", "LATENCY|GRAPH", "LATENCY|HISTOGRAM", "LATENCY|HISTORY", "LATENCY|LATEST",
		"SLOWLOG|GET", "SLOWLOG|LEN", "COMMANDLOG|GET", "COMMANDLOG|LEN", "MODULE|LIST",
		"ACL|CAT", "ACL|DRYRUN", "ACL|GENPASS", "ACL|GETUSER", "ACL|LIST", "ACL|USERS", "ACL|WHOAMI",
		"FUNCTION|DUMP", "FUNCTION|LIST", "SCRIPT|SHOW",
		// Nodes may run different versions, but one client should see one.
		"COMMAND", "COMMAND|COUNT", "COMMAND|DOCS", "COMMAND|GETKEYS", "COMMAND|GETKEYSANDFLAGS", "COMMAND|INFO", "COMMAND|LIST",
		// Who is subscribed is known where the proxy keeps its subscriptions, not on any replica.
		"PUBSUB|CHANNELS", "PUBSUB|NUMPAT", "PUBSUB|NUMSUB", "PUBSUB|SHARDCHANNELS", "PUBSUB|SHARDNUMSUB"}},
	{class: MasterRead, rule: ruleACLLog, names: []string{"ACL|LOG"}},
	{class: MasterRead, names: []string{"ACL|HELP", "CLUSTER|HELP", "COMMAND|HELP", "COMMANDLOG|HELP", "CONFIG|HELP", "FUNCTION|HELP",
		"LATENCY|HELP", "MEMORY|HELP", "MODULE|HELP", "OBJECT|HELP", "PUBSUB|HELP", "SCRIPT|HELP", "SLOWLOG|HELP", "XGROUP|HELP", "XINFO|HELP"}},

	// A replica that is sent EVALSHA_RO must have been sent the script before, which the session knows. EVAL_RO brings its
	// script along and functions are replicated, so those two may go to any.
	{class: MasterRead, names: []string{"EVALSHA_RO"}},
	{class: Read, names: []string{"EVAL_RO", "FCALL_RO"}},

	// Modules: a cursor lives on the node that opened it, and a dump in steps must come from one place.
	{class: MasterRead, names: []string{"FT.AGGREGATE", "FT.CURSOR|DEL", "BF.SCANDUMP", "CF.SCANDUMP"}},
	// What is read from this cursor is not there again: if the reply is lost, asking once more would leave a gap.
	{class: Write, names: []string{"FT.CURSOR", "FT.CURSOR|READ"}},

	// Writes unless the arguments say otherwise. A replica refuses them under these names even if nothing is stored, because it
	// goes by the flag of the command; what it takes is SORT_RO and the like.
	{class: Write, rule: ruleSort, names: []string{"SORT"}},
	{class: Write, rule: ruleGeoStore, names: []string{"GEORADIUS"}},
	{class: Write, rule: ruleGeoStore, names: []string{"GEORADIUSBYMEMBER"}},
	{class: Write, rule: ruleBitfield, names: []string{"BITFIELD"}},

	// Both block only if they say BLOCK.
	{class: Read, rule: ruleXRead, names: []string{"XREAD"}},
	{class: Write, rule: ruleXRead, names: []string{"XREADGROUP"}},
	// Every node keeps scripts for itself, and sent behind the very script they should end, the last three would wait for it.
	{class: Scripts, names: []string{"SCRIPT|LOAD", "SCRIPT|FLUSH", "SCRIPT|EXISTS", "SCRIPT|KILL", "FUNCTION|KILL", "FUNCTION|STATS"}},

	{class: Wait, names: []string{"WAIT", "WAITAOF"}},
	{class: Subscribe, names: []string{"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"}},
	{class: Transaction, names: []string{"MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH"}},
	{class: Scan, names: []string{"SCAN", "HSCAN", "SSCAN", "ZSCAN"}},
	{class: Info, names: []string{"INFO"}},
	{class: Failover, names: []string{"FAILOVER"}},
	{class: Proxy, names: []string{"PROXY"}},

	// CLIENT without a subcommand, or with one that nobody knows, is for the session to answer: on a shared connection
	// it could change the state of strangers. Every subcommand is about the client's own connection to the proxy (its
	// name, its id, the list of clients), except those below.
	{class: Session, names: []string{"PING", "ECHO", "SELECT", "AUTH", "HELLO", "QUIT", "RESET", "READONLY", "READWRITE", "ASKING",
		"CLIENT", "CLIENT|CAPA", "CLIENT|GETNAME", "CLIENT|HELP", "CLIENT|ID", "CLIENT|INFO", "CLIENT|KILL", "CLIENT|LIST",
		"CLIENT|NO-EVICT", "CLIENT|NO-TOUCH", "CLIENT|PAUSE", "CLIENT|SETINFO", "CLIENT|SETNAME", "CLIENT|UNBLOCK", "CLIENT|UNPAUSE"}},
	// Tracking invalidates what this very connection has read; the other two of its kind ask about it. REPLY silences
	// the connection.
	{class: Pinned, names: []string{"MONITOR", "CLIENT|TRACKING", "CLIENT|CACHING", "CLIENT|TRACKINGINFO", "CLIENT|GETREDIR",
		"CLIENT|REPLY", "CLIENT|IMPORT-SOURCE"}},

	{class: Refused, refusal: refuseRole, names: []string{"REPLICAOF", "SLAVEOF"}},
	{class: Refused, refusal: refuseReplica, names: []string{"PSYNC", "SYNC", "REPLCONF"}},
	{class: Refused, refusal: refuseShutdown, names: []string{"SHUTDOWN"}},
	{class: Refused, refusal: refuseDebug, names: []string{"DEBUG"}},
	{class: Refused, refusal: refuseDebugger, names: []string{"SCRIPT|DEBUG"}},
	{class: Write, rule: ruleConfigSet, refusal: refusePassword, names: []string{"CONFIG|SET"}},
	// A server hangs up on these two words, which would cost strangers their shared connection.
	{class: Refused, refusal: refuseHTTP, names: []string{"POST", "HOST:"}},
	// What asks about a cluster goes to the master, which answers that it is none. What changes one is answered here
	// in the same words, so that it can do no harm to a master that is one.
	{class: MasterRead, names: []string{"CLUSTER|COUNT-FAILURE-REPORTS", "CLUSTER|COUNTKEYSINSLOT", "CLUSTER|GETKEYSINSLOT", "CLUSTER|INFO",
		"CLUSTER|KEYSLOT", "CLUSTER|LINKS", "CLUSTER|MYID", "CLUSTER|MYSHARDID", "CLUSTER|NODES", "CLUSTER|REPLICAS", "CLUSTER|SHARDS",
		"CLUSTER|SLAVES", "CLUSTER|SLOTS", "CLUSTER|SLOT-STATS"}},
	{class: Refused, refusal: refuseCluster, names: []string{"CLUSTER|ADDSLOTS", "CLUSTER|ADDSLOTSRANGE", "CLUSTER|BUMPEPOCH",
		"CLUSTER|DELSLOTS", "CLUSTER|DELSLOTSRANGE", "CLUSTER|FAILOVER", "CLUSTER|FLUSHSLOTS", "CLUSTER|FORGET", "CLUSTER|MEET",
		"CLUSTER|REPLICATE", "CLUSTER|RESET", "CLUSTER|SAVECONFIG", "CLUSTER|SET-CONFIG-EPOCH", "CLUSTER|SETSLOT"}},
}

// ruleFor is the hand rule for a command, or nil.
func ruleFor(name string) *handRule { return rulesByName()[name] }

var rulesByName = sync.OnceValue(func() map[string]*handRule {
	m := make(map[string]*handRule)
	for i := range handRules {
		for _, name := range handRules[i].names {
			m[name] = &handRules[i]
		}
	}
	return m
})

// supplement lists, in the form of commands.txt, commands with a hand rule that the server of commands.txt does not
// list: our own, the two words of HTTP, and what newer servers have that must not reach a shared connection.
const supplement = `
CLIENT|CAPA          -3 connection -      noscript,loading,stale
CLIENT|IMPORT-SOURCE  3 connection -      noscript,loading,stale
CLIENT|NO-TOUCH       3 connection 7.2.0  noscript,loading,stale
CLIENT|SETINFO        4 connection 7.2.0  noscript,loading,stale
HOST:                -1 -          -      -
POST                 -1 -          -      -
PROXY                -2 -          -      -
WAITAOF               4 generic    7.2.0  blocking
`

// core are the commands of which this package was written.
var core = sync.OnceValue(func() map[string]bool {
	m := make(map[string]bool)
	for line := range strings.Lines(commandsText + supplement) {
		name, _, _ := strings.Cut(line, " ")
		m[name] = true
	}
	return m
})

// scripts run code of a user.
var scripts = map[string]bool{"EVAL": true, "EVALSHA": true, "EVAL_RO": true, "EVALSHA_RO": true, "FCALL": true, "FCALL_RO": true}

// byFlags is the class of a command that no rule names.
func byFlags(name string, f Flags) Class {
	switch {
	case strings.HasPrefix(name, "CLIENT|"):
		// A subcommand of a newer server, most likely about the connection's own state.
		return Pinned
	case f.Has(FlagPubSub | FlagNoScript):
		// A new kind of subscription: PUBLISH, which needs no connection of its own, is allowed in scripts.
		return Pinned
	case f.Has(FlagBlocking):
		return Blocking
	case !core()[name] && f&(FlagNoScript|FlagNoAuth|FlagPubSub) != 0:
		// Of a module, or a newer server: what no script may call blocks or is about the connection.
		return Blocking
	case f.Has(FlagWrite):
		return Write
	case f.Has(FlagReadOnly | FlagAdmin):
		return MasterRead
	case f.Has(FlagReadOnly):
		return Read
	default:
		return Write
	}
}

// boundedModules are prefixes of module commands known to touch only the keys they name. Others may not: an index
// reads what it has indexed, a time series writes its compactions.
var boundedModules = []string{"BF.", "CF.", "CMS.", "JSON.", "TDIGEST.", "TOPK."}

// keyless are commands without keys that neither read nor write any.
var keyless = map[string]bool{"PUBLISH": true, "SPUBLISH": true, "LOLWUT": true}
