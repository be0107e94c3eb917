package session

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/internal/bytelog"
	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/eventloop"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/pubsub"
	"github.com/understudy/understudy/proxy/upstream"
)

// Policy says which nodes may answer a session's reads. Writes go to the master.
type Policy uint8

const (
	// Default is the policy of the configuration.
	Default Policy = iota
	// Causal reads see every write that was answered through this process before, and all that their session can have
	// learnt of: by a replica that provably has it, else by the master.
	Causal
	// Bounded reads are answered by a replica that had all that the master had, no longer ago than a bound, else by the
	// master.
	Bounded
	// Eventual reads are answered by any healthy replica, and by the master if there is none.
	Eventual
	// Strong reads are answered by the master.
	Strong
)

var policyNames = map[string]Policy{
	"split": Default, "causal": Causal, "bounded": Bounded, "eventual": Eventual, "replica": Eventual, "strong": Strong, "master": Strong,
}

// ParsePolicy returns the policy of a name; ok is false if there is none.
func ParsePolicy(name string) (p Policy, ok bool) {
	p, ok = policyNames[strings.ToLower(name)]
	return p, ok
}

// PolicyNames returns the names that ParsePolicy knows, sorted.
func PolicyNames() []string { return slices.Sorted(maps.Keys(policyNames)) }

func (p Policy) String() string {
	return [...]string{"split", "causal", "bounded", "eventual", "strong"}[p]
}

// Config is what sessions need to know. It is not changed while sessions use it.
type Config struct {
	Policy         Policy        // of sessions whose listener names none; not Default
	MaxStaleness   time.Duration // the bound of Bounded
	MaxCatchUp     time.Duration // how long a read waits for a replica; 0: it does not
	HoldTimeout    time.Duration // how long a request waits for a master
	IdleTimeout    time.Duration // of a client without requests; 0: none
	CloseAmbiguous bool          // close the client instead of answering -UNKNOWNRESULT
	InputLimit     int           // bytes of a request that may have come before it is whole
	OutputLimit    int           // bytes a client may leave unread before it is disconnected
	Push           PushLimit     // the same of a client that has subscribed to something
	Users          Users         // of the proxy's own; nil: clients are users of the servers
	AllowDebug     bool          // let clients use what is harmless of DEBUG

	// WriteAcks is how many replicas must have a write before it is answered; 0: it is answered when the master has it.
	WriteAcks        int
	WriteAcksTimeout time.Duration // how long an answer waits for that
}

// PushLimit is how much a client with subscriptions may leave unread: never more than Hard bytes, and more than Soft for
// no longer than Time. A limit of 0 is none.
type PushLimit struct {
	Hard, Soft int
	Time       time.Duration
}

// Directory knows all clients of the process. Its answers come back on the asking session's loop, in the same turn or
// a later one.
type Directory interface {
	// Infos calls done with the description of every client, by ascending id.
	Infos(from *Session, done func([]Info))
	// Kill closes the clients for which match returns true and calls done with their number. The asking session
	// must not be among them.
	Kill(from *Session, match func(*Info) bool, done func(int))
	// Unblock ends the command that the client with that id blocks on, and calls done with whether there was one.
	Unblock(from *Session, id uint64, withError bool, done func(unblocked bool))
	// Unpause lets all clients go on that wait for the end of a pause, and calls done.
	Unpause(from *Session, done func())
	// Find calls done with the session of the client with that id, or nil. It may be on another loop, and end any time.
	Find(from *Session, id uint64, done func(*Session))
	// Listeners counts the clients that listen to each of names, and calls done with as many counts.
	Listeners(from *Session, kind pubsub.Kind, names []string, done func([]pubsub.Count))
}

// Peers are the other members of the cluster. Its methods do not block, and may be called from any goroutine.
type Peers interface {
	// Name returns the id of this member, if identity is that of the cluster, which its members alone know.
	Name(identity []byte) (id string, ok bool)
	// Listeners counts the clients of the others that listen to each of names. It calls done once, at once or later, on any
	// goroutine, with as many counts, and how many members are missing in them because they have not answered.
	Listeners(kind pubsub.Kind, names []string, done func(counts []pubsub.Count, missing int))
	// ForgetScripts has the others forget the scripts that they remember. It calls done as Listeners does.
	ForgetScripts(done func(missing int))
}

// Admin answers PROXY, FAILOVER and INFO understudy. Its methods do not block.
type Admin interface {
	// Info returns the section "# Understudy" of INFO, with CRLF line ends.
	Info() string
	// Changes reports whether PROXY or FAILOVER with these arguments asks for a change of the cluster. Only who may
	// send FAILOVER to the servers may ask for one.
	Changes(args [][]byte) bool
	// Proxy calls done once with the encoded reply to PROXY or FAILOVER with these arguments, at once or later, on any
	// goroutine. by names the client.
	Proxy(args [][]byte, proto int, by string, done func(reply []byte))
	// Promise returns the reply to PROXY with these arguments if it is PROXY PROMISE of another member of the cluster,
	// which proves that it is one by what it says; otherwise nil.
	Promise(args [][]byte) (reply []byte)
}

// Env is what the sessions of one loop share.
type Env struct {
	Loop      eventloop.Loop
	Pool      *upstream.Pool
	Freshness *freshness.Loop
	Bytes     *bytelog.Pool
	Config    *Config
	Commands  func() *command.Table // the newest table
	// Learn adds what the master has under a name to the table, going by its reply to COMMAND INFO name, and reports whether it
	// has anything. It may be called from any goroutine.
	Learn     func(name, reply []byte) (known bool, err error)
	Directory Directory
	Admin     Admin
	Peers     Peers                 // nil: there are none
	Sessions  map[*Session]struct{} // those that are open
	Hubs      *pubsub.Hubs
	Touches   *upstream.Touches // nil: what replicas are asked for does not concern the master
	Stats     Stats
	bounded   time.Time // when a sample was last asked for because of a session with a bound

	// Pause is shared by all loops of the process.
	Pause *Pause
	// Scripts is shared by all loops of the process.
	Scripts *Scripts
	flushes uint64 // of Scripts that this loop has heeded

	scratch []byte // for a reply that is made anew
	batch   batch  // that is being taken
	// Alone, unless nil, is called when a client changes settings or users, by what reaches the master alone.
	Alone func(*Session, *command.Command)
	// Closed is called when a session has ended.
	Closed func(*Session, CloseReason)
}

// Stats counts what the sessions of a loop did. It belongs to the loop.
type Stats struct {
	Requests       uint64 // taken from clients
	Reads          uint64 // of them sent to replicas, which are reads
	CaughtUp       uint64 // reads that waited for a replica to have what their session had seen
	Writes         uint64 // sent to the master
	Held           uint64 // requests, with all that follows them in their session, that had to wait for a master
	HoldTimeouts   uint64 // of them answered -MASTERDOWN
	Redone         uint64 // sent again, or for the first time after all, on another connection
	Unknown        uint64 // answered -UNKNOWNRESULT
	Durable        uint64 // writes answered when enough replicas had them
	Unreplicated   uint64 // answered -UNREPLICATED
	ProtocolErrors uint64
	Unheard        uint64                    // members that did not answer in time what was asked of all
	Closes         [closeReasons]uint64      // sessions ended, by reason
	MasterReadsBy  [freshness.Reasons]uint64 // reads sent to the master, by reason
}

// MasterReads returns how many reads were sent to the master. Each counts for one reason.
func (s Stats) MasterReads() (sum uint64) {
	for _, n := range s.MasterReadsBy {
		sum += n
	}
	return sum
}

// CloseReason says why a client's connection ended.
type CloseReason uint8

const (
	ByPeer          CloseReason = iota // the client closed it or it broke
	ByQuit                             // QUIT
	ByProtocolError                    // what came was not RESP
	ByIdleTimeout                      // no request for the configured time
	ByOutputLimit                      // the client does not read its replies
	ByKill                             // CLIENT KILL
	ByLostPin                          // the connection to the node that carried its state is gone
	ByBrokenReply                      // a node died in the middle of a reply that was already being delivered
	ByAmbiguity                        // the outcome of a write is unknown and the configuration wants a close
	ByCredentials                      // the master no longer accepts the credentials that the client came with
	ByShutdown
	ByPushLimit  // the client does not read the messages that it has subscribed to
	ByExpulsion  // the server does not let the client's user listen any more to what the client listened to
	ByInputLimit // a request is larger than may be kept until it is whole
	closeReasons
)

var reasonNames = [closeReasons]string{
	"peer", "quit", "protocol_error", "idle_timeout", "output_limit", "client_kill", "lost_pin", "broken_reply", "ambiguous_write", "credentials", "shutdown",
	"pubsub_limit", "subscription_refused", "input_limit",
}

func (r CloseReason) String() string { return reasonNames[r] }
