package session

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/pubsub"
)

// Info describes a client, as CLIENT LIST does.
type Info struct {
	ID         uint64
	Addr       string // of the client
	LocalAddr  string // of ours that it connected to
	Name       string // CLIENT SETNAME
	LibName    string // CLIENT SETINFO
	LibVersion string
	User       string
	DB         int
	Proto      int
	Age, Idle  time.Duration
	Flags      string // as a server writes them
	Channels   int    // subscribed to
	Patterns   int
	Shards     int // shard channels
	Multi      int // commands queued in a transaction; -1 outside of one
	Watched    int // keys named to WATCH
	Redirect   int64
	Input      int // bytes waiting
	Output     int
	Command    string // the last one: "client|list"
	Commands   uint64 // how many there were
	Received   uint64 // bytes, from the beginning
	Sent       uint64
	Server     int // the version whose form the line has: 702 is 7.2

	lastActive time.Time
}

// String is the line of CLIENT LIST, in the form of the server's version, at least 7.0.
func (i *Info) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "id=%d addr=%s laddr=%s fd=-1 name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d multi=%d ",
		i.ID, i.Addr, i.LocalAddr, i.Name, int(i.Age.Seconds()), int(i.Idle.Seconds()), i.Flags, i.DB, i.Channels, i.Patterns, i.Shards, i.Multi)
	if i.Server >= 704 {
		fmt.Fprintf(&b, "watch=%d ", i.Watched)
	}
	fmt.Fprintf(&b, "qbuf=%d qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=%d oll=0 omem=0 tot-mem=%d events=r cmd=%s user=%s redir=%d resp=%d",
		i.Input, i.Output, i.Input+i.Output, i.Command, i.User, i.Redirect, i.Proto)
	if i.Server >= 702 {
		fmt.Fprintf(&b, " lib-name=%s lib-ver=%s", i.LibName, i.LibVersion)
	}
	if i.Server >= 800 {
		fmt.Fprintf(&b, " io-thread=0 tot-net-in=%d tot-net-out=%d tot-cmds=%d", i.Received, i.Sent, i.Commands)
	}
	return b.String()
}

// is reports whether the client is of a TYPE: the proxy has no masters and replicas among its clients.
func (i *Info) is(kind string) bool {
	switch listens := i.Channels+i.Patterns+i.Shards > 0; kind {
	case "normal":
		return !listens
	case "pubsub":
		return listens
	}
	return false
}

// Describe returns what CLIENT LIST tells about the session.
func (s *Session) Describe() Info {
	i := s.info
	now := s.env.Loop.Now()
	i.ID, i.DB, i.Proto, i.Multi, i.Server = s.id, s.key.DB, s.key.Proto, -1, s.env.Pool.ServerVersion()
	if i.User = s.key.User; s.ownUsers() {
		i.User = s.login
	}
	if i.User == "" {
		i.User = "default"
	}
	i.Addr, i.LocalAddr = addrString(s.conn.RemoteAddr()), addrString(s.conn.LocalAddr())
	if s.isLocal() {
		i.Addr, i.LocalAddr = i.LocalAddr+":0", i.LocalAddr+":0"
	}
	i.Age, i.Idle = now.Sub(s.since), now.Sub(i.lastActive)
	if s.tx != nil {
		i.Watched = s.tx.watches
		if s.tx.multi {
			i.Multi = s.tx.queued
		}
	}
	if l := s.sub; l != nil {
		i.Channels, i.Patterns, i.Shards = l.counts[pubsub.Channel], l.counts[pubsub.Pattern], l.counts[pubsub.Shard]
	}
	i.Redirect = -1
	if s.tracked() {
		i.Redirect = int64(s.track.to.id)
	}
	i.Input, i.Output = len(s.in), s.out.Len()
	i.Command = "NULL"
	if s.last != nil {
		i.Command = strings.ToLower(s.last.Name)
	}
	i.Commands, i.Received, i.Sent = s.taken, s.received, s.sent
	i.Flags = s.flags(i.Server)
	return i
}

// flags are those that CLIENT LIST tells of the session, in the order in which a server of that version does.
func (s *Session) flags(server int) string {
	var b strings.Builder
	flag := func(letter byte, set bool) {
		if set {
			b.WriteByte(letter)
		}
	}
	flag('O', s.attach != nil && s.attach.opaque)
	flag('P', s.listening())
	flag('x', s.tx != nil && s.tx.multi)
	flag('b', s.blocking() || s.held || s.pauseTimer != nil)
	flag('t', s.tracked())
	flag('R', s.tracked() && s.track.broken)
	flag('B', s.tracked() && s.track.wide)
	flag('c', s.closeAfter)
	flag('U', s.isLocal())
	flag('e', s.noEvict)
	flag('T', s.key.NoTouch && server >= 702)
	if b.Len() == 0 {
		return "N"
	}
	return b.String()
}

// took notes the command that the client has sent last, with n arguments; nil is one that there is not.
func (s *Session) took(cmd *command.Command, n int) {
	if s.last = cmd; !cmd.Known() || cmd.Lacks(n) {
		s.last = nil
	}
}

// tracked reports whether CLIENT TRACKING is on.
func (s *Session) tracked() bool { return s.track != nil && len(s.track.said) > 0 }

// isLocal reports whether the client has come by a Unix socket.
func (s *Session) isLocal() bool {
	_, unix := s.conn.LocalAddr().(*net.UnixAddr)
	return unix
}

func addrString(a fmt.Stringer) string {
	if a == nil {
		return ""
	}
	return a.String()
}
