package transparency

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

// everywhere runs a command about users on every node: ACLs are not replicated.
func (f *front) everywhere(args ...any) {
	f.t.Helper()
	for _, node := range f.cluster.Nodes {
		must(f.t, node, args...)
	}
}

func TestGuessingPasswordsDoesNotFloodTheMasterWithConnections(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	before := f.connectionsToMaster()
	var guessing sync.WaitGroup
	for i := range 60 {
		c := f.dial()
		guessing.Go(func() {
			for j := range 20 {
				c.send(request("AUTH", "root", fmt.Sprint(i, j)))
				c.send(request("HELLO", "3", "AUTH", "nobody", "x"))
			}
			for range 40 {
				if frame, err := c.next(); err != nil || !strings.HasPrefix(string(frame), "-WRONGPASS") {
					t.Errorf("a wrong password gives %q (%v)", frame, err)
					return
				}
			}
		})
	}
	guessing.Wait()
	if n := f.connectionsToMaster() - before; n > 40 {
		t.Errorf("2400 attempts took %d connections", n)
	}
	f.everywhere("ACL", "SETUSER", "alice", "on", ">right", "~*", "+@all")
	c := f.dial()
	c.expect("+OK", "AUTH", "alice", "right")
	c.expect("$5\r\nalice", "ACL", "WHOAMI")
	c.expect("-WRONGPASS invalid username-password pair or user is disabled.", "AUTH", "alice", "wrong")
	c.expect("$5\r\nalice", "ACL", "WHOAMI")
	f.dial().expect("$7\r\ndefault", "ACL", "WHOAMI") // nobody else's connection has become hers
}

func TestTheClientsOfAUserThatIsDeletedAreClosed(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	f.everywhere("ACL", "SETUSER", "alice", "on", ">secret", "~*", "&*", "+@all")
	f.everywhere("ACL", "SETUSER", "bob", "on", ">secret", "~*", "&*", "+@all")
	user := func(name string) *client {
		c := f.dial()
		c.expect("+OK", "AUTH", name, "secret")
		c.expect("+OK", "SET", "a", "1")
		return c
	}
	ordinary, transacting, blocked, other := user("alice"), user("alice"), user("alice"), user("bob")
	transacting.expect("+OK", "MULTI")
	transacting.expect("+QUEUED", "GET", "a")
	subscribed := user("alice")
	subscribed.expect("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1", "SUBSCRIBE", "c")
	blocked.send(request("BLPOP", "nothing", "0"))
	watching := user("alice")
	watching.expect("+OK", "WATCH", "a")
	watching.send(request("BLPOP", "nothing", "0"))
	waitBlocked(t, f.master(), 2)
	f.everywhere("ACL", "DELUSER", "alice")
	blocked.closed() // at once
	watching.closed()
	ordinary.send(request("GET", "a"))
	ordinary.closed()
	transacting.send(request("EXEC"))
	transacting.closed()
	subscribed.send(request("PING"))
	subscribed.closed()
	other.expect("$1\r\n1", "GET", "a")
	f.dial().expect("-WRONGPASS invalid username-password pair or user is disabled.", "AUTH", "alice", "secret")
}

func TestABlockedPopOfAUserWhoIsStillThereIsUnknownWhenItsConnectionIsLost(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	f.everywhere("ACL", "SETUSER", "alice", "on", ">secret", "~*", "&*", "+@all", "-ping", "-hello")
	c := f.dial()
	c.expect("+OK", "AUTH", "alice", "secret")
	c.send(append(request("BLPOP", "queue", "0"), request("ECHO", "next")...))
	for range 3 {
		waitBlocked(t, f.master(), 1)
		cut(t, f.master())
		c.receives(unknown)
		c.receives("$4\r\nnext")
		c.send(append(request("BLPOP", "queue", "0"), request("ECHO", "next")...))
	}
}

func TestAUserThatIsDeletedAndMadeAgainKeepsItsClientsUnderTheNewRules(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), nil)
	f.everywhere("ACL", "SETUSER", "alice", "on", ">secret", "~*", "&*", "+@all")
	c := f.dial()
	c.expect("+OK", "AUTH", "alice", "secret")
	c.expect("+OK", "SET", "a", "1")
	f.everywhere("ACL", "DELUSER", "alice")
	f.everywhere("ACL", "SETUSER", "alice", "on", ">secret", "~b*", "&*", "+@all")
	c.expect("-NOPERM this user has no permissions to access one of the keys used as arguments", "GET", "a")
	c.expect("$-1", "GET", "b")
}

func TestAChangeOfPermissionsCountsAtOnce(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	f.everywhere("ACL", "SETUSER", "alice", "on", ">secret", "~*", "&*", "+@all")
	c := f.dial()
	c.expect("+OK", "AUTH", "alice", "secret")
	c.expect("+OK", "SET", "a", "1")
	f.everywhere("ACL", "SETUSER", "alice", "-set", "resetkeys", "~b*")
	c.expect("-NOPERM this user has no permissions to run the 'set' command", "SET", "b", "1")
	c.expect("-NOPERM this user has no permissions to access one of the keys used as arguments", "INCR", "a")
	c.expect("$-1", "GET", "b")
	f.everywhere("ACL", "SETUSER", "alice", "off") // who is connected stays so
	c.expect("$-1", "GET", "b")
}
