package transparency

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/session"
)

func TestUsersOfTheProxysOwnAreOthersAtTheServers(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), func(c *proxy.Config) {
		c.Users = session.Users{
			"default": {Password: sha256.Sum256([]byte("plain"))},
			"shop":    {Password: sha256.Sum256([]byte("secret")), As: "redis-shop", AsPassword: "deep"},
		}
	})
	f.everywhere("ACL", "SETUSER", "redis-shop", "on", ">deep", "~shop:*", "&*", "+@all", "-flushall")
	const noAuth, wrong = "-NOAUTH Authentication required.", "-WRONGPASS invalid username-password pair or user is disabled."
	c := f.dial()
	c.expect(noAuth, "PING")
	c.expect(noAuth, "GET", "shop:a")
	c.expect(noAuth, "EVAL", "return 1", "0")
	c.expect(noAuth, "CLIENT", "LIST")
	c.expect("-EXECABORT Transaction discarded because of: NOAUTH Authentication required.", "EXEC")
	if got := c.do("HELLO", "3"); !strings.HasPrefix(got, "-NOAUTH HELLO must be called with the client already authenticated") {
		t.Errorf("HELLO says %q", got)
	}
	c.expect(wrong, "AUTH", "shop", "wrong")
	c.expect(wrong, "AUTH", "nobody", "secret")
	c.expect(wrong, "AUTH", "redis-shop", "deep") // who it is at the servers is nobody here
	c.expect(wrong, "HELLO", "2", "AUTH", "shop", "deep")
	c.expect(noAuth, "PING")

	c.expect("+OK", "AUTH", "shop", "secret")
	c.expect("+OK", "SET", "shop:a", "1")
	c.expect("-NOPERM this user has no permissions to access one of the keys used as arguments", "GET", "other")
	c.expect("-NOPERM this user has no permissions to run the 'flushall' command", "FLUSHALL")
	c.expect("$4\r\nshop", "ACL", "WHOAMI")
	if got := c.do("CLIENT", "INFO"); !strings.Contains(got, " user=shop ") {
		t.Errorf("CLIENT INFO says %q", got)
	}
	c.expect("+OK", "MULTI")
	c.expect("+QUEUED", "ACL", "WHOAMI")
	c.expect("+QUEUED", "GET", "shop:a")
	c.expect("*2\r\n$4\r\nshop\r\n$1\r\n1", "EXEC")
	c.expect("+OK", "MULTI")
	c.expect("-ERR AUTH is not supported inside a transaction, or between WATCH and EXEC, through Understudy where it has users of its own", "AUTH", "plain")
	c.expect("-EXECABORT Transaction discarded because of previous errors.", "EXEC")
	c.expect(wrong, "AUTH", "shop", "wrong") // and it is still who it was
	c.expect("$4\r\nshop", "ACL", "WHOAMI")
	c.expect("+OK", "AUTH", "plain")
	c.expect("$7\r\ndefault", "ACL", "WHOAMI")
	c.expect("$-1", "GET", "other")
	c.expect("+RESET", "RESET")
	c.expect(noAuth, "GET", "shop:a")
	if got := c.do("HELLO", "3", "AUTH", "shop", "secret", "SETNAME", "me"); got[0] != '%' {
		t.Errorf("HELLO says %q", got)
	}
	c.expect("$2\r\nme", "CLIENT", "GETNAME")
	c.expect("_", "GET", "shop:nothing")

	c = f.dial() // in one pipeline
	c.send([]byte("AUTH shop secret\r\nGET shop:a\r\nQUIT\r\n"))
	if got, err := c.rest(); err != nil || got != "+OK\r\n$1\r\n1\r\n+OK\r\n" {
		t.Errorf("a pipeline gives %q (%v)", got, err)
	}
}

func TestWhatIsHarmlessOfDEBUGIsAllowedByAnOption(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1, "--enable-debug-command", "yes"), func(c *proxy.Config) { c.AllowDebug = true })
	c := f.dial()
	c.expect("+OK", "SET", "a", "1")
	if got := c.do("DEBUG", "OBJECT", "a"); !strings.HasPrefix(got, "+Value at:") {
		t.Errorf("DEBUG OBJECT says %q", got)
	}
	if got := c.do("debug", "digest"); got[0] != '+' {
		t.Errorf("DEBUG DIGEST says %q", got)
	}
	for _, args := range [][]string{{"DEBUG", "SLEEP", "10"}, {"DEBUG", "SEGFAULT"}, {"DEBUG", "PROTOCOL", "PUSH"}, {"DEBUG", "NOSUCH"}} {
		c.expect("-ERR DEBUG is not available through Understudy, because it can stop the master for every client. Send it to the node itself", args...)
	}
	c.expect("+PONG", "PING")
}
