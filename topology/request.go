package topology

import "time"

// RequestKind is what somebody asks the leader for.
type RequestKind string

const (
	// Switchover asks for a planned change of master.
	Switchover RequestKind = "switchover"
	// Abort asks to give up the switchover that is under way.
	Abort RequestKind = "abort"
	// Pause asks the leader to observe and act on nothing.
	Pause RequestKind = "pause"
	// Resume ends a pause.
	Resume RequestKind = "resume"
	// Forget takes a node that is gone for good out of the State.
	Forget RequestKind = "forget"
)

// Answer says how a request ended.
type Answer string

const (
	Done    Answer = "done"    // what was asked for is so
	Refused Answer = "refused" // it was not begun
	Failed  Answer = "failed"  // it was begun and given up; everything is as before
)

// Request is something that an operator or a client wants of the leader, whoever that is. Any member submits it; the
// leader answers it in place, once. Requests are taken up in the order of their ids, while the State is stable.
type Request struct {
	ID      string        `json:"id"` // given by the coordinator; later requests have greater ids
	Kind    RequestKind   `json:"kind"`
	Target  string        `json:"target,omitempty"`  // host:port: of a switchover, the node to become master, "" for the best one; of Forget, the node
	Force   bool          `json:"force,omitempty"`   // of a switchover: also to a node that is not to be promoted, also while paused
	Timeout time.Duration `json:"timeout,omitempty"` // of a switchover: when to give up, in ns; 0: as the leader is configured
	Reason  string        `json:"reason,omitempty"`  // of a pause
	By      string        `json:"by"`                // who asks: the member, and its client where there is one
	At      time.Time     `json:"at"`                // when it was submitted

	Answer   Answer    `json:"answer,omitempty"` // "" until it is answered
	Text     string    `json:"text,omitempty"`   // one sentence that goes with the answer
	Answered time.Time `json:"answered,omitzero"`
}

// Paused says that the leader only observes: nobody is promoted and no node is moved until somebody resumes.
type Paused struct {
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
}

// Outcome is how the last request was met. It is written together with the State that meets it, so that a leader
// who finds it there and the request unanswered has only to pass it on.
type Outcome struct {
	Request string `json:"request"`
	Answer  Answer `json:"answer"`
	Text    string `json:"text"`
}

// keptRequests is how many answered requests a coordinator keeps for those who ask how they ended.
const keptRequests = 64
