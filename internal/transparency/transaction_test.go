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
