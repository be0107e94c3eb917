package transparency

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/resp"
)

// patience is how long a client waits for a reply that must come.
const patience = time.Minute

// client is a connection that shows the bytes it receives, cut into replies.
type client struct {
	t       testing.TB
	conn    net.Conn
	scanner resp.ReplyScanner
	buf     []byte // received and not yet part of a whole reply
	scanned int    // of buf
}

func dial(t testing.TB, network, addr string) *client {
	t.Helper()
	return &client{t: t, conn: dialNet(t, network, addr)}
}

// request encodes a request.
func request(args ...string) []byte { return resp.AppendRequestStrings(nil, args...) }

// send writes bytes as they are.
func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(p); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// next reads one reply.
func (c *client) next() ([]byte, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	for {
		n, done, err := c.scanner.Scan(c.buf[c.scanned:])
		c.scanned += n
		if err != nil {
			return nil, fmt.Errorf("%w in %q", err, c.buf)
		}
		if done {
			frame := append([]byte(nil), c.buf[:c.scanned]...)
			c.buf = append(c.buf[:0], c.buf[c.scanned:]...)
			c.scanned = 0
			return frame, nil
		}
		room := make([]byte, 64<<10)
		n, err = c.conn.Read(room)
		c.buf = append(c.buf, room[:n]...)
		if err != nil && n == 0 {
			return nil, err
		}
	}
}

// reply reads one reply that must come.
func (c *client) reply() string {
	c.t.Helper()
	frame, err := c.next()
	if err != nil {
		c.t.Fatalf("waiting for a reply: %v (so far %q)", err, c.buf)
	}
	return string(frame)
}

// do sends one command and reads its reply.
func (c *client) do(args ...string) string {
	c.t.Helper()
	c.send(request(args...))
	return c.reply()
}

// expect sends one command and compares its reply, written without the final CRLF.
func (c *client) expect(want string, args ...string) {
	c.t.Helper()
	if got := c.do(args...); got != want+"\r\n" {
		c.t.Fatalf("%s: %q instead of %q", strings.Join(args, " "), got, want+"\r\n")
	}
}

// receives compares the next reply, written without the final CRLF, to something that was sent before.
func (c *client) receives(want string) {
	c.t.Helper()
	if got := c.reply(); got != want+"\r\n" {
		c.t.Fatalf("%q instead of %q", got, want+"\r\n")
	}
}

// rest reads until the other side closes, and returns what came.
func (c *client) rest() (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	more, err := io.ReadAll(c.conn)
	all := string(c.buf) + string(more)
	c.buf, c.scanned = nil, 0
	return all, err
}

// closed fails the test unless the other side has closed without sending more.
func (c *client) closed() {
	c.t.Helper()
	more, err := c.rest()
	if err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset by peer") {
		c.t.Fatalf("the connection was not closed: %v", err)
	}
	if more != "" {
		c.t.Fatalf("the connection was closed behind %q", more)
	}
}
