package transparency

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestWithinATransactionTheClientIsThatOfTheProxy(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	id := regexp.MustCompile(`id\r\n:\d+`)
	var said [2][]string
	for i, addr := range []string{f.master().Addr, f.addr} {
		c := dial(t, "tcp", addr)
		must(t, f.master(), "FLUSHALL")
		own := c.do("CLIENT", "ID")
		for _, commands := range []string{
			"MULTI|HSET h f v|HGETALL h|HELLO 3 SETNAME me|HGETALL h|CLIENT GETNAME|EXEC|HGETALL h|CLIENT GETNAME",
			"MULTI|HGETALL h|HELLO|HELLO 2 AUTH default x SETNAME you|HGETALL h|EXEC|HGETALL h|CLIENT GETNAME|GET nope",
			"WATCH h|HELLO 3|MULTI|HELLO 2 AUTH nobody x|HGETALL h|EXEC|HGETALL h|HELLO 2",
		} {
			for command := range strings.SplitSeq(commands, "|") {
				reply := c.do(strings.Fields(command)...)
				said[i] = append(said[i], command, fmt.Sprintf("%q", id.ReplaceAllString(reply, "id\r\n:N")))
			}
		}
		c.expect("+OK", "MULTI")
		c.expect("+QUEUED", "CLIENT", "ID")
		c.expect("*1\r\n"+strings.TrimSpace(own), "EXEC")
		c.expect("+OK", "MULTI")
		c.expect("+QUEUED", "CLIENT", "INFO")
		if info := c.do("EXEC"); !strings.Contains(info, "addr="+c.conn.LocalAddr().String()) {
			t.Errorf("CLIENT INFO inside MULTI speaks of somebody else: %s", info)
		}
	}
	compare(t, said[0], said[1])
	c := f.dial()
	for _, sections := range [][]string{nil, {"understudy"}, {"replication", "understudy"}, {"everything"}} {
		c.expect("+OK", "MULTI")
		c.expect("+QUEUED", append([]string{"INFO"}, sections...)...)
		if info := c.do("EXEC"); !strings.Contains(info, "# Understudy\r\ntest:1") || len(sections) != 1 && !strings.Contains(info, "role:master") {
			t.Errorf("INFO %q inside MULTI: %q", sections, info)
		}
	}
}

func TestAServerThatIsOutOfMemoryRefusesWhatIsQueued(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	must(t, f.master(), "SET", "a", "1")
	must(t, f.master(), "CONFIG", "SET", "maxmemory", "1")
	var said [2][]string
	for i, addr := range []string{f.master().Addr, f.addr} {
		c := dial(t, "tcp", addr)
		for _, conversation := range []string{
			"MULTI|GET a|EXEC", "MULTI|SET a 1|EXEC", "MULTI|GET a|SET a 1|GET a|DISCARD", "WATCH a|MULTI|SET a 2|EXEC", "MULTI|PING|SET a 1|EXEC", "MULTI|DEL b|EXEC",
			"BLMOVE l m LEFT LEFT 0.01", "BLPOP l 0.01", "MULTI|BLMOVE l m LEFT LEFT 0|EXEC", "GET a",
		} {
			commands := strings.Split(conversation, "|")
			for _, command := range commands {
				said[i] = append(said[i], command, c.do(strings.Fields(command)...))
			}
			var all []byte
			for _, command := range commands {
				all = append(all, request(strings.Fields(command)...)...)
			}
			c.send(all)
			for _, command := range commands {
				said[i] = append(said[i], command+" at once", c.reply())
			}
		}
	}
	compare(t, said[0], said[1])
}

func TestTransactionsGoOnAfterAFailoverOrAreAborted(t *testing.T) {
	s := newSystem(t, 2)
	sha := strings.TrimSpace(strings.SplitN(dial(t, "tcp", s.addr).do("SCRIPT", "LOAD", "return redis.call('INCR',KEYS[1])"), "\r\n", 2)[1])
	type conversation struct{ before, after []string } // commands, and after "=" the reply; "QUEUED" by default, and +OK
	conversations := []conversation{
		{[]string{"WATCH k"}, []string{"MULTI", "SET k 2", "EXEC=*-1", "WATCH k", "MULTI", "GET k", "EXEC=*1\r\n$1\r\n1"}},
		{[]string{"WATCH k", "MULTI", "SET k 3"}, []string{"SET k 4", "EXEC=*-1", "GET k=$1\r\n1"}},
		{[]string{"WATCH k", "GET k=$1\r\n1"}, []string{"GET k=$1\r\n1", "WATCH other", "MULTI", "WATCH k=-ERR WATCH inside MULTI is not allowed", "EXEC=*-1"}},
		{[]string{"WATCH k"}, []string{"UNWATCH", "MULTI", "INCR a", "EXEC=*1\r\n:1"}},
		{[]string{"WATCH k"}, []string{"DISCARD=-ERR DISCARD without MULTI", "EXEC=-ERR EXEC without MULTI", "MULTI", "DISCARD", "MULTI", "EXEC=*0"}},
		{[]string{"WATCH k"}, []string{"AUTH default x", "SELECT 1", "MULTI", "GET k", "EXEC=*-1", "EXISTS k=:0"}},
		{[]string{"MULTI", "INCR b"}, []string{"INCR b", "EXEC=*2\r\n:1\r\n:2"}},
		{[]string{"MULTI", "INCR c"}, []string{"DISCARD", "EXISTS c=:0"}},
		{[]string{"MULTI", "SELECT 2", "INCR d"}, []string{"EXEC=*2\r\n+OK\r\n:1", "GET d=$1\r\n1"}},
		{[]string{"MULTI", "CLIENT SETNAME me", "CLIENT GETNAME"}, []string{"EXEC=*2\r\n+OK\r\n$2\r\nme", "CLIENT GETNAME=$2\r\nme"}},
		{[]string{"MULTI", "EVALSHA " + sha + " 1 e"}, []string{"EVALSHA " + sha + " 1 e", "EXEC=*2\r\n:1\r\n:2"}},
		{[]string{"MULTI", "NOSUCH=-ERR unknown command 'NOSUCH', with args beginning with: "}, []string{"INCR g", "EXEC=" + "-EXECABORT Transaction discarded because of previous errors."}},
		{[]string{"MULTI"}, []string{"INCR", "INCR h", "EXEC=-EXECABORT Transaction discarded because of previous errors."}},
		{nil, []string{"EVALSHA " + sha + " 1 f=:1"}},
	}
	dial(t, "tcp", s.addr).expect("+OK", "SET", "k", "1")
	s.sync()
	clients := make([]*client, len(conversations))
	hold := func(c *client, multi *bool, commands []string) {
		t.Helper()
		for _, command := range commands {
			command, want, given := strings.Cut(command, "=")
			got := c.do(strings.Fields(command)...)
			switch {
			case given:
			case command == "INCR":
				want = "-ERR wrong number of arguments for 'incr' command"
			case *multi && command != "DISCARD":
				want = "+QUEUED"
			default:
				want = "+OK"
			}
			if got != want+"\r\n" {
				t.Errorf("%q: %s: %q instead of %q", commands, command, got, want)
			}
			switch command {
			case "MULTI":
				*multi = true
			case "EXEC", "DISCARD":
				*multi = false
			}
		}
	}
	multi := make([]bool, len(conversations))
	for i, conversation := range conversations {
		clients[i] = dial(t, "tcp", s.addr)
		hold(clients[i], &multi[i], conversation.before)
	}
	s.killMaster()
	for i, conversation := range conversations {
		hold(clients[i], &multi[i], conversation.after)
	}
}
