package session

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/understudy/understudy/proxy/eventloop"
	"github.com/understudy/understudy/resp"
)

// fakeConn is one connection: to a client, with the test as the client, or to a node, with the test as the node.
type fakeConn struct {
	world    *world
	addr     string
	handler  eventloop.Handler
	session  *Session
	received string // by the test's side and not looked at yet
	room     int    // bytes that can be written
	full     bool   // a write was short
	paused   bool
	dirty    bool
	closed   bool
	multi    bool   // a node's: in a transaction
	unsaid   string // a node's: what is left of the answer that it is giving
}

func (c *fakeConn) Write(p []byte) (int, error) {
	if c.closed {
		return 0, eventloop.ErrClosed
	}
	n := min(len(p), c.room)
	c.room -= n
	c.full = c.full || n < len(p)
	c.received += string(p[:n])
	return n, nil
}

func (c *fakeConn) Writev(bufs [][]byte) (int, error) { return c.Write(bytes.Join(bufs, nil)) }

func (c *fakeConn) Flush() {
	if !c.dirty {
		c.dirty = true
		c.world.dirty = append(c.world.dirty, c)
	}
}

func (c *fakeConn) PauseRead()           { c.paused = true }
func (c *fakeConn) ResumeRead()          { c.paused = false }
func (c *fakeConn) Close()               { c.closed = true }
func (c *fakeConn) Reset()               { c.closed = true }
func (c *fakeConn) RemoteAddr() net.Addr { return &net.UnixAddr{Name: c.addr} }
func (c *fakeConn) LocalAddr() net.Addr  { return &net.UnixAddr{Name: "proxy"} }

// says delivers bytes from the test's side.
func (c *fakeConn) says(text string) {
	c.world.t.Helper()
	switch {
	case c.closed:
		c.world.t.Fatalf("the connection to %s is closed", c.addr)
	case c.paused:
		c.world.t.Fatalf("nothing is read from %s", c.addr)
	}
	c.handler.Data([]byte(text))
	c.world.turn()
}

// sends delivers requests, written as words.
func (c *fakeConn) sends(requests ...string) {
	c.world.t.Helper()
	c.says(encoded(requests...))
}

// sent is a client that has sent requests, and the connection to the master on which they have arrived.
func sent(w *world, requests ...string) (c, m *fakeConn) {
	w.t.Helper()
	c = w.client()
	c.sends(requests...)
	m = w.link("m")
	m.getsRequests(requests...)
	return c, m
}

// encoded are requests as a client writes them.
func encoded(requests ...string) string {
	var b []byte
	for _, r := range requests {
		b = resp.AppendRequestStrings(b, strings.Fields(r)...)
	}
	return string(b)
}

// gets compares what has arrived at the test's side.
func (c *fakeConn) gets(want string) {
	c.world.t.Helper()
	if c.received != want {
		c.world.t.Fatalf("%s got %q instead of %q", c.addr, c.received, want)
	}
	c.received = ""
}

// getsRequests is gets for requests, written as words.
func (c *fakeConn) getsRequests(requests ...string) {
	c.world.t.Helper()
	c.gets(encoded(requests...))
}

// answers is getsRequests, and says what answers them.
func (c *fakeConn) answers(text string, requests ...string) {
	c.world.t.Helper()
	c.getsRequests(requests...)
	c.says(text)
}

// handshake answers what a new connection says first.
func (c *fakeConn) handshake() {
	c.world.t.Helper()
	var p resp.RequestParser
	for c.received != "" && !c.closed {
		n, err := p.Parse([]byte(c.received))
		if n == 0 || err != nil {
			c.world.t.Fatalf("the handshake is %q: %v", c.received, err)
		}
		c.received = c.received[n:]
		answer := "+OK\r\n"
		if string(p.Args[0]) == "INFO" {
			answer = string(resp.AppendBulkString(nil, "redis_version:"+c.world.version+"\r\nrun_id:"+c.addr+"-run"))
		}
		c.says(answer)
		if string(p.Args[0]) == "INFO" {
			return
		}
	}
}

// handshakeWith is handshake for a connection that takes only n bytes after it.
func (c *fakeConn) handshakeWith(n int) {
	c.world.t.Helper()
	c.room = n
	c.handshake()
}

// takes makes room for n more bytes.
func (c *fakeConn) takes(n int) {
	c.room += n
	if c.full && !c.closed {
		c.full = false
		c.handler.Flush()
	}
	c.world.turn()
}

// takesAll makes room for 4 MiB again and again, until so many bytes have arrived, while all nodes answer as handleAll.
func (c *fakeConn) takesAll(size int, answers map[string]string) {
	w := c.world
	w.t.Helper()
	for i := 0; len(c.received) < size; i++ {
		if c.closed || i > 100 {
			w.t.Fatalf("closed: %v, after %d bytes", c.closed, len(c.received))
		}
		c.takes(4 << 20)
		w.acceptAll()
		for _, link := range w.links {
			link.handleAll(answers)
		}
	}
}

// handleAll answers what has arrived on a connection, in parts, until it is paused or a request comes to which there is
// no answer.
func (c *fakeConn) handleAll(answers map[string]string) {
	c.world.t.Helper()
	for {
		for c.unsaid != "" && !c.closed && !c.paused {
			part := c.unsaid[:min(len(c.unsaid), 1<<20)]
			c.unsaid = c.unsaid[len(part):]
			c.says(part)
		}
		if c.closed || c.paused {
			return
		}
		for request, answer := range answers {
			if rest, ok := strings.CutPrefix(c.received, encoded(request)); ok {
				c.received, c.unsaid = rest, answer
				break
			}
		}
		if c.unsaid == "" {
			return
		}
	}
}

// dies ends the connection from the other side.
func (c *fakeConn) dies() {
	c.world.t.Helper()
	if !c.closed {
		c.closed = true
		c.handler.Closed(io.EOF)
	}
	c.world.turn()
}

// answer answers one request as a node would.
func (c *fakeConn) answer() {
	c.world.t.Helper()
	var parser resp.RequestParser
	n, err := parser.Parse([]byte(c.received))
	if n == 0 || err != nil {
		c.world.t.Fatalf("%s got %q: %v", c.addr, c.received, err)
	}
	c.received = c.received[n:]
	name := strings.ToUpper(string(parser.Args[0]))
	switch {
	case name == "MULTI":
		c.multi = true
		c.says("+OK\r\n")
	case name == "EXEC":
		c.multi = false
		c.says("*1\r\n:1\r\n")
	case c.multi:
		c.says("+QUEUED\r\n")
	case name == "SET", name == "SELECT", name == "WATCH", name == "UNWATCH":
		c.says("+OK\r\n")
	case name == "PING":
		c.says("+PONG\r\n")
	default:
		c.says(fmt.Sprintf("+%s\r\n", name))
	}
}
