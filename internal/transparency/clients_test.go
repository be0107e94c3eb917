package transparency

import (
	"crypto/sha256"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/session"
)

// id asks for the client's number.
func (c *client) id() string {
	c.t.Helper()
	return strings.TrimSpace(c.do("CLIENT", "ID")[1:])
}

func TestClientKillFiltersByEveryPropertyOfAClient(t *testing.T) {
	path := filepath.Join(t.TempDir(), "proxy.sock")
	f := newFront(t, testcluster.New(t, 0), func(c *proxy.Config) {
		c.Listen = append(c.Listen, proxy.Listen{Network: "tcp", Addr: "127.0.0.1:0"}, proxy.Listen{Network: "unix", Addr: path})
	})
	must(t, f.master(), "ACL", "SETUSER", "alice", "on", ">alice", "~*", "&*", "+@all")
	me, second := f.dial(), f.proxy.Addrs()[1].String()
	me.expect("+PONG", "PING")
	there := dial(t, "tcp", second)
	there.expect("+PONG", "PING")
	me.expect(":1", "CLIENT", "KILL", "LADDR", second)
	there.closed()

	alice, other := f.dial(), f.dial()
	other.expect("+PONG", "PING")
	alice.expect("+OK", "AUTH", "alice", "alice")
	me.expect(":0", "CLIENT", "KILL", "USER", "alice", "ADDR", other.conn.LocalAddr().String())
	me.expect(":1", "CLIENT", "KILL", "USER", "alice")
	alice.closed()
	other.expect("+PONG", "PING")
	me.expect("-ERR No such user 'nobody'", "CLIENT", "KILL", "USER", "nobody")

	local := dial(t, "unix", path)
	if line := local.do("CLIENT", "INFO"); !strings.Contains(line, " addr="+path+":0 laddr="+path+":0 ") || !strings.Contains(line, " flags=U ") {
		t.Errorf("%q", line)
	}
	me.expect(":1", "CLIENT", "KILL", "ADDR", path+":0")
	local.closed()

	monitor := f.dial()
	number := monitor.id()
	monitor.expect("+OK", "MONITOR")
	if line := me.do("CLIENT", "LIST", "ID", number); !strings.Contains(line, " flags=O ") || !strings.Contains(line, " cmd=monitor ") {
		t.Errorf("%q", line)
	}
	me.expect(":0", "CLIENT", "KILL", "ID", number, "TYPE", "slave")
	me.expect(":1", "CLIENT", "KILL", "ID", number, "TYPE", "normal")
	monitor.conn.Close()

	// All others, and then oneself.
	me.expect(":1", "CLIENT", "KILL", "SKIPME", "yes")
	other.closed()
	me.expect("-ERR No such client", "CLIENT", "KILL", other.conn.LocalAddr().String())
	me.expect("+OK", "CLIENT", "KILL", me.conn.LocalAddr().String())
	me.closed()
}

func TestClientKillKnowsTheUsersOfTheProxy(t *testing.T) {
	f := newFront(t, testcluster.New(t, 0), func(c *proxy.Config) {
		c.Users = session.Users{"default": {Password: sha256.Sum256([]byte("x"))}, "shop": {Password: sha256.Sum256([]byte("y"))}}
	})
	me, shop := f.dial(), f.dial()
	me.expect("+OK", "AUTH", "x")
	shop.expect("+OK", "AUTH", "shop", "y")
	me.expect("-ERR No such user 'redis'", "CLIENT", "KILL", "USER", "redis")
	me.expect(":0", "CLIENT", "KILL", "USER", "default")
	me.expect(":1", "CLIENT", "KILL", "USER", "shop")
	shop.closed()
}
