package topology

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrStale is returned by Update when the State was replaced by somebody else since the version given was read.
	ErrStale = errors.New("topology: the state has changed since it was read")
	// ErrNotLeader is returned by Update when this member does not lead.
	ErrNotLeader = errors.New("topology: this member is not the leader")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("topology: the coordinator is closed")
	// ErrUncertain is returned by Submit when the answer was lost: the request may have been left, and may be carried out.
	ErrUncertain = errors.New("topology: it is not known whether the request was made, and it may be carried out")
	// ErrNoRequest is returned by Answer for a request that does not exist or is answered already.
	ErrNoRequest = errors.New("topology: there is no such request to answer")
)

// Snapshot is a State together with the version of it that the coordinator holds. State is nil while none is known.
type Snapshot struct {
	State   *State
	Version int64
}

// Grant is the permission to send writes to the master: it holds for one epoch and until a moment. The zero Grant permits
// nothing.
type Grant struct {
	Epoch uint64
	Until time.Time // zero with a non-zero Epoch: without end (a coordinator that is alone)
}

// Permits reports whether a write may be sent, or a reply to one believed, at now under a State of that epoch. The grant
// ends by the monotonic clock and by the wall clock, whichever is first: the monotonic one stands still while a machine is
// suspended, and a grant may be kept, for the replies to what was sent under it, beyond the State that gave it.
func (g Grant) Permits(epoch uint64, now time.Time) bool {
	return g.Epoch != 0 && g.Epoch == epoch && (g.Until.IsZero() || now.Before(g.Until) && now.Round(0).Before(g.Until.Round(0)))
}

// NodeView is what one member thinks of one node.
type NodeView struct {
	Addr   string    `json:"addr"`
	Down   bool      `json:"down"`
	Reason string    `json:"reason,omitempty"` // why it is held down: "connection refused", "no answer for 6s", ...
	Since  time.Time `json:"since"`
}

// Member is one Understudy process as the others see it.
type Member struct {
	ID      string     `json:"id"`
	Addr    string     `json:"addr"`              // where its admin commands are answered
	Applied uint64     `json:"applied"`           // the epoch it routes under
	Version int64      `json:"version,omitempty"` // of the State that it knows
	Fenced  uint64     `json:"fenced"`            // the newest epoch whose fence it has acknowledged: nothing is in flight to the old master
	View    []NodeView `json:"view"`
	Leads   bool       `json:"-"`                 // filled in by Members
	Process string     `json:"process,omitempty"` // where it runs, for people: "process 4711 on web-1"

	// Lease is how long its grants last at most after they were confirmed; 0: as long as it is listed.
	Lease time.Duration `json:"lease_ns,omitempty"`
	// Limit is how long after its last contact with the coordinator it promises not to lead, when it is asked at Addr;
	// 0: it cannot be asked, so it must not be an elector, and there must be none while it is present.
	Limit time.Duration `json:"failsafe_ns,omitempty"`
	// WriteAcks is how many replicas it wants to have a write before it answers it; 0: none, or an older version.
	WriteAcks int `json:"write_acks,omitempty"`
	// NodeMap is where it reaches nodes that announce another address; nil: it does not tell, an older version.
	NodeMap map[string]string `json:"node_map"`
}

// Coordinator is the agreement as one member holds it. All methods may be called from any goroutine. Consumers
// declare the part that they use; this is the whole, for those who provide one.
type Coordinator interface {
	// Snapshot returns the newest State that this member knows of, without I/O.
	Snapshot() Snapshot
	// Watch calls f with the current Snapshot (when there is one) and then after every change, in order, never two
	// at once, until stop is called. f must not block.
	Watch(f func(Snapshot)) (stop func())
	// Grant returns this member's permission to write, without I/O. It is looked at by the clock of this moment: what was
	// granted and has ended is not returned.
	Grant() Grant
	// Acknowledge says that this member has nothing in flight to the master that the fence of epoch deposes, and
	// will send nothing more to it.
	Acknowledge(ctx context.Context, epoch uint64) error
	// Publish replaces this member's view of the nodes.
	Publish(ctx context.Context, view []NodeView) error
	// Members lists all members, this one included.
	Members(ctx context.Context) ([]Member, error)
	// Leading reports whether this member may call Update.
	Leading() bool
	// Update replaces the State if it still has that version (0: there must be none yet).
	// It returns ErrStale, ErrNotLeader, or an error of the store; after an error of the store the outcome is unknown.
	Update(ctx context.Context, version int64, next *State) error
	// Shared reports whether other members may take part in the agreement. A coordinator that is not shared must be
	// the only one that looks after its nodes.
	Shared() bool
	// MembersChanged receives after something in Members changed; changes that follow one another quickly are one.
	// It has one reader: the monitor of this member.
	MembersChanged() <-chan struct{}
	// Submit leaves a request for the leader and returns its id. ID, At and what belongs to the answer are filled in. After
	// any error but ErrUncertain nothing was left.
	Submit(ctx context.Context, r Request) (id string, err error)
	// Requests returns the requests that this member knows of, by ascending id, without I/O: all that are not answered
	// and the latest of those that are. Nobody may change them.
	Requests() []Request
	// WatchRequests calls f with Requests, as soon as they are known, and then after every change, in order, never two at
	// once, until stop is called. f must not block.
	WatchRequests(f func([]Request)) (stop func())
	// Answer answers a request, for the leader. It returns ErrNotLeader, ErrNoRequest, or an error of the store.
	Answer(ctx context.Context, id string, answer Answer, text string) error
	// Suspect says that a connection to the node at addr (as State spells it) died, or that an unexpected server
	// answered there. It never blocks. The monitor of this member probes the node at once.
	Suspect(addr string)
	// Suspicions receives when there is something to take. It has one reader: the monitor of this member.
	Suspicions() <-chan struct{}
	// TakeSuspicions returns the nodes suspected since the last call, each once, sorted.
	TakeSuspicions() []string
	// Lease returns how long a grant of this member lasts at most after it was confirmed; 0: without end.
	Lease() time.Duration
	// Authority returns what this member's grant rests on, without I/O.
	Authority() Authority
	// WatchAuthority calls f with the Authority and then after every change of its source, in order, never two at once,
	// until stop is called. f must not block.
	WatchAuthority(f func(Authority)) (stop func())
	// Raise has all members tell people of these alarms, in place of those raised before, for the leader. It returns
	// ErrNotLeader or an error of the store.
	Raise(ctx context.Context, texts []string) error
	// Raised returns what the leading member has raised, as far as it is known here, without I/O. What comes to nothing with the
	// leader stays until another one leads.
	Raised() Alarms
	// Promise answers another member that wants this one's promise not to lead, without I/O. It returns nil when it is
	// promised, ErrStranger to those who do not know the cluster's identity, and otherwise why it is not promised.
	Promise(r PromiseRequest) error
	// Close gives up leadership and grant. It returns once nothing of the coordinator runs any more.
	Close() error
}
