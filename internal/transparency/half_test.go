package transparency

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// halfClose says that the client sends nothing more, as nc -N does at the end of its input.
func (c *client) halfClose() {
	c.t.Helper()
	if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// mayBlock are commands that block without what fills for them, and what is answered with it.
var mayBlock = []struct{ command, fill, want string }{
	{"BLPOP k 0", "RPUSH k e", "*2 $1 k $1 e"},
	{"BRPOP k 0", "RPUSH k e", "*2 $1 k $1 e"},
	{"BLMOVE k other LEFT LEFT 0", "RPUSH k e", "$1 e"},
	{"BRPOPLPUSH k other 0", "RPUSH k e", "$1 e"},
	{"BLMPOP 0 1 k LEFT", "RPUSH k e", "*2 $1 k *1 $1 e"},
	{"BZPOPMIN k 0", "ZADD k 1 e", "*3 $1 k $1 e $1 1"},
	{"BZMPOP 0 1 k MAX", "ZADD k 1 e", "*2 $1 k *1 *2 $1 e $1 1"},
	{"XREAD BLOCK 0 STREAMS k 0", "XADD k 1-1 f v", "*1 *2 $1 k *1 *2 $3 1-1 *2 $1 f $1 v"},
	{"WAIT 1 0", "SET k 1", ":1"},
}

func TestAHalfClosedClientGetsWhatDoesNotBlockAndWhatStandsBehindIt(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	other := f.dial()
	for _, m := range mayBlock {
		for _, watching := range []bool{false, true} {
			if watching && strings.HasPrefix(m.command, "WAIT") {
				continue // between WATCH and MULTI it waits for nothing, as there was no write
			}
			t.Run(fmt.Sprintf("%s, watching %t", m.command, watching), func(t *testing.T) {
				other.do("DEL", "k", "other", "behind")
				other.do(strings.Fields(m.fill)...)
				c := f.dial()
				var all []byte
				if watching {
					all = request("WATCH", "x")
				}
				all = append(all, request(strings.Fields(m.command)...)...)
				c.send(append(all, request("SET", "behind", "1")...))
				c.halfClose()
				if watching {
					c.receives("+OK")
				}
				c.receives(strings.ReplaceAll(m.want, " ", "\r\n"))
				c.receives("+OK")
				c.closed()
				other.expect(":1", "EXISTS", "behind")
			})
		}
	}
}

func TestAHalfClosedClientThatBlocksIsClosedAndTakesNothing(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	other := f.dial()
	for _, m := range append(mayBlock[:len(mayBlock)-1:len(mayBlock)-1], struct{ command, fill, want string }{"WAIT 7 0", "", ""}) {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, early %t", m.command, early), func(t *testing.T) {
				other.do("DEL", "k", "other", "behind")
				c := f.dial()
				c.send(append(request(strings.Fields(m.command)...), request("SET", "behind", "1")...))
				if !early {
					waitBlocked(t, f.master(), 1)
				}
				c.halfClose()
				c.closed()
				waitBlocked(t, f.master(), 0)
				if m.fill != "" {
					other.do(strings.Fields(m.fill)...)
					other.expect(":1", "EXISTS", "k")
				}
				other.expect(":0", "EXISTS", "other", "behind")
			})
		}
	}
}

func TestNothingIsPoppedForAHalfClosedClientThatDoesNotGetIt(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	other := f.dial()
	const n = 300
	for range n {
		other.do("RPUSH", "k", "e")
	}
	for i := range n {
		c := f.dial()
		c.send(request("BLPOP", "k", "0"))
		for began := time.Now(); time.Since(began) < time.Duration(i)*4*time.Microsecond; { // so that the end comes at every moment
		}
		c.halfClose()
		c.receives("*2\r\n$1\r\nk\r\n$1\r\ne")
		c.closed()
	}
	other.expect(":0", "EXISTS", "k")
}

func TestAClientThatLeavesWhileItsWaitIsHeldOccupiesNothing(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	other := f.dial()
	for _, half := range []bool{false, true} {
		other.expect("+OK", "CLIENT", "PAUSE", "300", "ALL")
		for range 8 {
			c := f.dial()
			c.send(request("WAIT", "7", "0"))
			if half {
				c.halfClose()
			} else {
				c.conn.Close()
			}
		}
		other.expect("+OK", "CLIENT", "UNPAUSE")
		testcluster.WaitFor(t, "no client but one", func() bool {
			return strings.Count(other.do("CLIENT", "LIST"), "id=") == 1
		})
		waitBlocked(t, f.master(), 0)
	}
}
