package session

import (
	"bytes"
	"net"
	"time"

	"github.com/understudy/understudy/internal/bytelog"
	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/eventloop"
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/resp"
)

const (
	// softOutput is how much unread output keeps a session from taking further requests.
	softOutput = 256 << 10
	// hardOutput is how much of it keeps the replies to requests under way from being read, if that hurts nobody else.
	hardOutput = 4 << 20
	// aloneOutput is the same on a connection for this session alone, where it never does.
	aloneOutput = 1 << 20
	// softInput is how much waiting input stops the reading from a client. A single request may be larger.
	softInput = 256 << 10
	// maxOutstanding, maxRequestBytes and maxReplyBytes bound what a session has under way: requests, their bytes, and the
	// replies expected to them. A single request may be larger.
	// A new session begins with startOutstanding, because nothing is known of its replies yet.
	startOutstanding = 64
	maxOutstanding   = 1024
	maxRequestBytes  = 1 << 20
	maxReplyBytes    = 16 << 20
	// roomForReading is what a loop reads at a time.
	roomForReading = 128 << 10
)

// Session is one client's conversation. It is the eventloop.Handler of the client's connection. All methods run on
// the loop's goroutine.
type Session struct {
	env    *Env
	conn   eventloop.Conn
	id     uint64
	policy Policy // not Default
	home   Policy // the listener's, to which RESET returns

	floor   uint64             // the sample that what the session has observed is part of
	seenAt  *freshness.Replica // where it was observed; nil: at the master
	moveAt  time.Time          // when it is next looked whether another replica has fewer sessions
	moving  bool               // any replica is as good as the one where it was
	catchUp catchUp
	refusal freshness.Reason // why the last choice of a lane fell on the master

	parser resp.RequestParser
	in     []byte // input not yet taken
	out    bytelog.Log
	bufs   [8][]byte

	key   upstream.Key
	login string // the user of the proxy's own that the client is: see Users
	group *upstream.Group

	lane        *upstream.Conn // that the outstanding requests are on
	outstanding int
	underway    int               // bytes of the requests outstanding
	writes      int               // of the ordinary ones outstanding, those that are not Repeatable
	yielded     int               // how often requests were given back since one was answered
	largeAt     time.Time         // when a large reply was last seen; zero: not of late
	mixAt       time.Time         // when reads and writes last alternated in a long pipeline; zero: not of late
	cuts        int               // round trips in a row that such a pipeline has waited for
	apart       [2]*upstream.Conn // connections for this session alone while its replies are large or it mixes: to a replica, to the master
	replySize   int               // smoothed, bytes
	window      int               // how many requests may be outstanding: grows as replies show their size

	redo      []redo // requests to send again and replies that are due, before any input
	recovered []redo // the same, still being gathered: becomes redo when nothing is outstanding
	due       int    // bytes of the replies in both

	atMaster bool // the request at hand is not for replicas
	draining bool // the next request waits until nothing is outstanding
	ahead    int  // bytes behind the request being handled that were taken with it

	following []byte // what stands in the input behind that request, while it is handled

	await    *await // the special request under way
	clock    clock  // of the blocking command at hand
	pin      *upstream.Conn
	pinGroup *upstream.Group // that the pin belongs to
	later    func()          // what is left to do when the reply that is being dealt with has been taken off its connection
	stream   *stream         // the large reply that is arriving
	behind   *delivery       // what the client got of the next reply before its node died
	repeated *delivery       // of which this much has come again
	tx       *transaction
	attach   *attachment // the pin for life: MONITOR
	track    *tracking
	nameless *nameless // what the master has said of the name at hand
	redirect *redirect // what the CLIENT TRACKING at hand needs to know
	ear      *ear      // with which it hears what others have redirected to it
	sub      *subscription
	pushes   []byte // what must not be put into the middle of a reply

	held         bool           // it waits for a master
	place        upstream.Place // where, among all that wait
	heldBlocking bool           // with a blocking command
	nothing      []byte         // what that command answers when nothing came
	unblocked    []byte         // what it answers because CLIENT UNBLOCK has ended it
	heldSince    time.Time
	holdTimer    eventloop.Timer
	pauseTimer   eventloop.Timer // while a request waits for the end of CLIENT PAUSE
	gaveUp       bool            // the hold has timed out: what needs a master is declined until one is there
	readPaused   bool
	lanePaused   *upstream.Conn
	peerDone     bool // the client sends nothing more
	leaving      bool // it has said so, though some of what it has sent may be unread
	closeAfter   bool // close when the output is sent
	closeReason  CloseReason
	closed       bool
	silence      silence
	noEvict      bool             // CLIENT NO-EVICT
	last         *command.Command // taken from the client; nil: none yet
	taken        uint64           // requests
	received     uint64           // bytes
	sent         uint64
	member       bool // the client is another member of the cluster, which has proved it
	withheld     withheld

	info  Info
	since time.Time
}

// New returns the session of a client that has connected, for conn's handler.
func New(env *Env, conn eventloop.Conn, id uint64, policy Policy) *Session {
	s := &Session{env: env, conn: conn, id: id, home: policy, since: env.Loop.Now(), window: startOutstanding}
	s.setPolicy(policy)
	s.out = bytelog.Log{Pool: env.Bytes}
	s.key = upstream.Key{Proto: 2}
	s.group = env.Pool.Group(s.key)
	s.info.lastActive = s.since
	env.Sessions[s] = struct{}{}
	return s
}

// ID returns the client's number, as CLIENT ID tells it.
func (s *Session) ID() uint64 { return s.id }

// Loop returns the loop that the session runs on.
func (s *Session) Loop() eventloop.Loop { return s.env.Loop }

// Data implements eventloop.Handler.
func (s *Session) Data(p []byte) {
	if s.closed || s.closeAfter {
		return
	}
	s.info.lastActive = s.env.Loop.Now()
	s.received += uint64(len(p))
	if len(s.in) == 0 {
		n := s.take(p)
		if n < len(p) && !s.closed && !s.closeAfter {
			s.in = append(s.in, p[n:]...)
			s.reserve()
		}
	} else {
		s.in = append(s.in, p...)
		s.takeInput()
	}
	if len(s.in) > s.env.Config.InputLimit { // what can be more than softInput is one request that is not whole
		s.close(ByInputLimit)
		return
	}
	if len(s.in) > softInput && !s.readPaused && !s.closed && s.blocked() {
		s.readPaused = true
		s.conn.PauseRead()
	}
}

// reserve makes room for the rest of a request whose size is known, when there is no room for another reading: an eighth of
// it, an eighth of that, and so on, or all of it, so that little is copied on the way. A client is not believed more than 16
// times what it has sent.
func (s *Session) reserve() {
	room, least := len(s.in)+s.parser.Missing(), max(2*len(s.in), 64<<10)
	for room/8 >= least {
		room /= 8
	}
	if cap(s.in) < min(room, len(s.in)+roomForReading) {
		s.in = append(make([]byte, 0, room), s.in...)
	}
}

// takeInput takes what it can of the input that is kept.
func (s *Session) takeInput() {
	n := s.take(s.in)
	if s.closed || s.closeAfter { // and the rest of the input is gone
		return
	}
	switch rest := len(s.in) - n; {
	case rest == 0 && cap(s.in) > 16<<10:
		s.in = nil
		s.parser.Reset() // whose arguments lie in it
	case rest == 0:
		s.in = s.in[:0]
	case n >= upstream.SharedFrom: // some of what was taken may lie in a lane's log now
		s.in = bytes.Clone(s.in[n:])
	case n > 0:
		s.in = append(s.in[:0], s.in[n:]...)
	}
	s.reserve()
}

// proceed goes on with whatever can be done now.
func (s *Session) proceed() {
	if s.closed {
		return
	}
	s.pushKept() // before what comes next, which may be RESET
	if s.outstanding == 0 {
		s.draining = false
		if f := s.later; f != nil {
			s.later = nil
			f()
		}
		s.heard()
	}
	if len(s.recovered) > 0 && s.outstanding == 0 {
		s.redo = append(s.inOrder(s.recovered), s.redo...)
		s.recovered = nil
		s.env.Stats.Redone++
		if first := &s.redo[0]; first.behind != nil && first.reply != nil {
			s.close(ByBrokenReply)
			return
		}
	}
	if len(s.in) > 0 || len(s.redo) > 0 {
		s.takeInput()
	}
	if s.closed {
		return
	}
	if s.readPaused && !s.closeAfter && (len(s.in) < softInput || !s.blocked()) {
		s.readPaused = false
		s.conn.ResumeRead()
	}
	if s.peerDone && !s.readPaused && s.settled() && s.mayTake() {
		s.quit(ByPeer)
	}
}

// settled reports that all that was taken has been answered. If mayTake is true as well, then what is left in the input
// is not a whole request.
func (s *Session) settled() bool {
	return s.outstanding == 0 && !s.withheld.any() && s.await == nil && len(s.redo) == 0 && len(s.recovered) == 0 && !s.held && s.pauseTimer == nil
}

// blocked reports whether whole requests may be waiting in the input. Otherwise it holds the beginning of one that
// is still arriving, and reading must go on.
func (s *Session) blocked() bool {
	return s.held || s.pauseTimer != nil || s.catchUp.waiting() || s.await != nil || !s.mayTake() || s.outstanding > 0
}

// mayTake reports whether another request may be taken from the input or the redo list.
func (s *Session) mayTake() bool {
	return !s.closed && !s.closeAfter && !s.held && s.pauseTimer == nil && !s.draining && !s.catchUp.waiting() && s.await == nil && len(s.recovered) == 0 && s.later == nil &&
		s.backlog() < softOutput && len(s.withheld.items) < maxOutstanding && s.outstanding < s.allowance() && s.underway < maxRequestBytes &&
		(s.attach == nil || s.attach.room()) && (s.silence != skipThis || len(s.redo) > 0)
}

// allowance is how many requests may be outstanding: fewer when the replies are large, or of unknown size.
func (s *Session) allowance() int {
	if s.silence != audible && s.silence != mute || s.crowded() {
		return 1
	}
	return min(s.window, max(1, maxReplyBytes/(s.replySize+1)))
}

// measure learns from n replies, the largest of which has that size, how many requests may be outstanding.
func (s *Session) measure(n, size int) {
	s.window = min(s.window+n, maxOutstanding)
	for range n {
		step := size - s.replySize
		if step > 0 {
			step /= 2
		} else {
			step /= 8
		}
		if step == 0 {
			return
		}
		s.replySize += step
	}
}

// regroup moves the session to the lanes of another key.
func (s *Session) regroup(key upstream.Key) {
	here := key
	here.DB, here.NoTouch = s.key.DB, s.key.NoTouch
	moved := here != s.key
	if key != s.key {
		s.group.Release()
		s.key = key
		s.group = s.env.Pool.Group(key)
		s.together(false)
	}
	s.lane = nil
	if moved && s.track != nil && s.track.pin != nil && s.track.pin != s.pin { // where a transaction is, the server has moved it
		s.track.pin.Close() // and tracking begins anew
	}
}

// dropPin gives the pin back; clean as in Group.Unpin.
func (s *Session) dropPin(clean bool) {
	c := s.pin
	s.pin = nil
	switch {
	case c == nil:
	case s.track == nil || s.track.pin != c:
		if c == s.lanePaused {
			s.lanePaused = nil // who has it next decides when it is read
		}
		s.pinGroup.Unpin(c, clean)
	case !clean:
		c.Close() // and tracking begins anew
	}
}

// Tick closes a client that has been idle for too long: one that asks for nothing, or does not read what it asked for.
func (s *Session) Tick(now time.Time) {
	if s.lagging(now) {
		s.close(ByPushLimit)
		return
	}
	if s.ear != nil {
		s.ear.tend(now)
	}
	if s.track != nil {
		s.track.clean()
	}
	t := s.env.Config.IdleTimeout
	if t > 0 && now.Sub(s.info.lastActive) > t && (s.settled() || s.out.Len() > 0) && s.attach == nil && !s.listening() {
		s.close(ByIdleTimeout)
	}
}

// RemoteAddr returns the client's address.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// table returns the command table to use.
func (s *Session) table() *command.Table { return s.env.Commands() }
