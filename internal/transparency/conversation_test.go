package transparency

import (
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/session"
)

func TestConversationsThroughTheProxyAreThoseWithTheServer(t *testing.T) {
	// The order of a set, and how many keys whose time is over are still counted, is each node's own. Whether a replica
	// answers depends on the time since the last write, so here none does. (A slow machine fills the slow log.)
	f := newFront(t, testcluster.New(t, 2, "--slowlog-log-slower-than", "-1"), func(c *proxy.Config) { c.Consistency = session.Strong })
	runScripts(t, f, "testdata/plain")
}

func TestConversationsWithAServerThatHasAPasswordAreTheSame(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2, "--requirepass", "secret"), func(c *proxy.Config) { c.Password = "secret" })
	knowsPassword(t, f)
	runScripts(t, f, "testdata/password")
}

// knowsPassword waits until the proxy has met the servers' refusal of those who have not authenticated.
func knowsPassword(t *testing.T, f *front) {
	f.dial().expect("-NOAUTH Authentication required.", "GET", "a")
}

func TestConversationsOfUsersWithFewPermissionsAreTheSame(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2), nil)
	for _, node := range f.cluster.Nodes { // ACLs are not replicated
		for _, user := range [][]any{
			{"alice", "on", ">alice", "~app:*", "&news", "+@all", "-@dangerous", "+client|setname", "+client|getname"},
			{"bob", "on", ">bob", "~app:*", "+@read", "+acl|whoami", "+@connection"},
			{"carol", "on", ">carol", "~app:*", "+@all", "-ping", "-client", "-@dangerous"},
			{"dave", "off", ">dave", "~*", "+@all"},
			{"nomulti", "on", ">nomulti", "~*", "+@all", "-multi"},
			{"nodiscard", "on", ">nodiscard", "~*", "+@all", "-discard"},
		} {
			must(t, node, append([]any{"ACL", "SETUSER"}, user...)...)
		}
	}
	runScripts(t, f, "testdata/users")
}

func TestWhatIsRefusedSaysWhy(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	c := f.dial()
	const role = " is not available through Understudy, which decides who is master. Use FAILOVER or PROXY FAILOVER for a switchover"
	c.expect("-ERR REPLICAOF"+role, "REPLICAOF", "NO", "ONE")
	c.expect("-ERR SLAVEOF"+role, "SLAVEOF", "127.0.0.1", "1")
	c.expect("-ERR SHUTDOWN is not available through Understudy. Send it to the node itself", "SHUTDOWN", "NOSAVE")
	c.expect("-ERR DEBUG is not available through Understudy, because it can stop the master for every client. Send it to the node itself", "DEBUG", "SLEEP", "10")
	const password = "-ERR CONFIG SET requirepass is not available through Understudy, which it would cut off from the master, and no other node would have the password. Give it to every node itself, and to Understudy (--password)"
	c.expect(password, "CONFIG", "SET", "requirepass", "x")
	c.expect(password, "config", "set", "maxmemory", "0", "RequirePass", "")
	c.expect("+OK", "CONFIG", "SET", "maxmemory", "0")
	c.expect("-ERR PSYNC is not available through Understudy. A replica has to connect to the node itself", "PSYNC", "?", "-1")
	c.expect("-ERR REPLCONF is not available through Understudy. A replica has to connect to the node itself", "REPLCONF", "ACK", "1")

	c.expect("+OK", "MULTI")
	c.expect("+QUEUED", "SET", "a", "1")
	c.expect("-ERR SHUTDOWN is not available through Understudy. Send it to the node itself", "SHUTDOWN")
	c.expect("-EXECABORT Transaction discarded because of previous errors.", "EXEC")
	c.expect("+OK", "MULTI")
	c.expect("-ERR CLIENT|LIST is not supported inside a transaction through Understudy", "CLIENT", "LIST")
	c.expect("-ERR CLIENT|REPLY is not supported inside a transaction through Understudy", "CLIENT", "REPLY", "OFF")
	c.expect("-ERR SUBSCRIBE is not supported inside a transaction through Understudy", "SUBSCRIBE", "x")
	c.expect("+OK", "DISCARD")
	c.expect("$-1", "GET", "a")

	c.expect("*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1", "SUBSCRIBE", "x")
	c.expect("-ERR Can't execute 'shutdown': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context", "SHUTDOWN")
	c.expect("*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:0", "UNSUBSCRIBE", "x")
	c.expect("+PONG", "PING")
}
