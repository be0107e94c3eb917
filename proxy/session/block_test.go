package session

import (
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/upstream"
	"github.com/understudy/understudy/topology"
)

const roleChanged = "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n"

func TestABlockingCommandIsSentAgainWithTheTimeThatIsLeft(t *testing.T) {
	for _, test := range []struct{ sent, again string }{
		{"BLPOP a b 5", "BLPOP a b 3.500"},
		{"BZPOPMAX z 1.501", "BZPOPMAX z 0.001"},
		{"BLMOVE a b LEFT RIGHT 10", "BLMOVE a b LEFT RIGHT 8.500"},
		{"BRPOPLPUSH a b 10", "BRPOPLPUSH a b 8.500"},
		{"BLMPOP 3.25 1 a LEFT", "BLMPOP 1.750 1 a LEFT"},
		{"BZMPOP 0 1 z MIN", "BZMPOP 0 1 z MIN"},
		{"BRPOP a 0", "BRPOP a 0"},
		{"BRPOP a 0x10", "BRPOP a 0x10"},
		{"XREADGROUP GROUP block c COUNT 1 BLOCK 2000 STREAMS s >", "XREADGROUP GROUP block c COUNT 1 BLOCK 500 STREAMS s >"},
		{"XREAD BLOCK 1501 STREAMS BLOCK 0-0", "XREAD BLOCK 1 STREAMS BLOCK 0-0"},
		{"WAIT 1 4000", "WAIT 1 2500"},
		{"WAIT 1 0", "WAIT 1 0"},
	} {
		w := newWorld(t)
		c := w.client()
		c.sends(test.sent, "PING")
		pin := w.accept("m")
		wait := strings.HasPrefix(test.sent, "WAIT")
		ahead := []string{}
		if wait {
			ahead = append(ahead, "WAIT 0 0")
		}
		pin.getsRequests(append(ahead, test.sent)...)
		if wait {
			pin.says(":1\r\n")
		}
		w.wait(time.Second)
		w.grant = topology.Grant{}
		pin.says(roleChanged)
		w.wait(500 * time.Millisecond)
		c.gets("")
		w.grant = topology.Grant{Epoch: 1}
		w.env.Pool.Hold(&c.session.place, c.session) // looks for the grant at once
		c.session.Resume()
		w.turn()
		pin.getsRequests(append(ahead, test.again)...)
		if wait {
			pin.says(":1\r\n")
		}
		pin.says(":7\r\n")
		c.gets(":7\r\n+PONG\r\n")
	}
}

func TestTheTimeOfABlockingCommandRunsWhileThereIsNoMaster(t *testing.T) {
	w := newWorld(t)
	w.grant = topology.Grant{}
	clients := map[*fakeConn]string{}
	for _, request := range []string{"BLPOP a 2", "BLMOVE a b LEFT LEFT 2", "XREAD BLOCK 2000 STREAMS s $", "BLPOP a 0", "BLPOP a 30"} {
		c := w.client()
		c.sends(request, "PING")
		clients[c] = request
	}
	w.wait(2*time.Second - time.Millisecond)
	for c := range clients {
		c.gets("")
	}
	w.wait(time.Millisecond)
	for c, request := range clients {
		switch {
		case strings.Contains(request, "2"):
			c.gets("*-1\r\n+PONG\r\n")
		default:
			c.gets("")
		}
	}
	w.wait(8 * time.Second)
	for c, request := range clients {
		if strings.HasPrefix(request, "BLPOP a 0") || strings.HasPrefix(request, "BLPOP a 30") {
			c.gets("-MASTERDOWN the master may be well, but no permission to write to it came from ZooKeeper for 10s; the command was not sent\r\n+PONG\r\n")
		}
	}
	c := w.client()
	c.sends("BLPOP a 5") // has its own time
	w.wait(time.Second)
	w.grant = topology.Grant{Epoch: 1}
	w.wait(10 * time.Millisecond)
	pin := w.accept("m")
	if got := pin.received; !strings.HasPrefix(got, "*3\r\n$5\r\nBLPOP\r\n$1\r\na\r\n$5\r\n3.99") && !strings.HasPrefix(got, "*3\r\n$5\r\nBLPOP\r\n$1\r\na\r\n$5\r\n4.00") {
		t.Errorf("%q", got)
	}
}

func TestWhatNoServerWouldLetBlockGetsNoNilWhileThereIsNoMaster(t *testing.T) {
	w := newWorld(t)
	w.grant = topology.Grant{}
	clients := map[*fakeConn]string{}
	for _, request := range []string{
		"BLMOVE a b UP LEFT 1", "BLMOVE a b LEFT UP -1", "BLMPOP 1 x a LEFT", "BLMPOP 1 0 a LEFT", "BLMPOP 1 9 a LEFT", "BLMPOP 1 1 a MIN", "BLMPOP 1 1 a LEFT COUNT 0",
		"BLMPOP 1 1 a LEFT COUNT", "BZMPOP 1 1 a LEFT", "BZMPOP 1 1 a MIN COUNTS 1", "XREAD BLOCK 1 STREAMS a b 0", "XREAD BLOCK 1 STREAMS a >", "XREAD BLOCK 1 STREAMS a 1-x",
		"XREAD BLOCK 1 NEWER STREAMS a 0", "XREADGROUP GROUP g c BLOCK 1 STREAMS a $", "XREADGROUP GROUP g c BLOCK 1 STREAMS",
	} {
		c := w.client()
		c.sends(request, "PING")
		clients[c] = request
	}
	w.wait(5 * time.Second)
	for c, request := range clients {
		if c.gets(""); c.session.heldBlocking {
			t.Errorf("%s counts as a command that blocks", request)
		}
	}
	w.grant = topology.Grant{Epoch: 1}
	w.wait(10 * time.Millisecond)
	w.accept("m") // which is to answer
}

func TestAReadFromTheEndOfAStreamThatIsSentAgainMissesNothing(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("XREAD COUNT 5 BLOCK 0 STREAMS a b c d $ 3-3 $ $")
	pin := w.accept("m")
	pin.getsRequests("XREVRANGE a + - COUNT 1", "XREVRANGE c + - COUNT 1", "XREVRANGE d + - COUNT 1", "XREAD COUNT 5 BLOCK 0 STREAMS a b c d $ 3-3 $ $")
	pin.says("*1\r\n*2\r\n$3\r\n7-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n*0\r\n-NOPERM no\r\n")
	c.gets("")
	pin.dies()
	w.wait(time.Second)
	pin = w.accept("m")
	pin.getsRequests("XREVRANGE d + - COUNT 1", "XREAD COUNT 5 BLOCK 0 STREAMS a b c d 7-1 3-3 0-0 $")
	pin.says("*0\r\n*1\r\nreply\r\n")
	pin.dies()
}

func TestWhatWasUnblockedWhileThereIsNoMasterIsNotSent(t *testing.T) {
	w := newWorld(t)
	w.grant = topology.Grant{}
	for withError, want := range map[bool]string{false: "*-1\r\n", true: "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"} {
		c := w.client()
		c.sends("BLPOP a 0", "PING")
		told := false
		c.session.Unblock(withError, func(unblocked bool) { told = unblocked })
		w.turn()
		c.gets(want + "+PONG\r\n")
		if !told {
			t.Error("nobody is told that it was unblocked")
		}
		c.session.Unblock(withError, func(unblocked bool) { told = unblocked })
		if told {
			t.Error("a client that does not block was unblocked")
		}
	}
}

func TestWaitComesBehindAWriteWhereOnlyWritesCount(t *testing.T) {
	for _, version := range []string{"7.2.4", "8.0.1", "unknown"} {
		w := newWorld(t)
		w.version = version
		w.link("m").dies()
		w.wait(time.Second)
		c := w.client()
		c.sends("SET a 1")
		m := w.accept("m")
		m.getsRequests("SET a 1")
		m.says("+OK\r\n")
		c.gets("+OK\r\n")
		c.sends("WAIT 2 100", "WAITAOF 1 1 100")
		pin := w.accept("m")
		pin.getsRequests("SWAPDB 0 0", "WAIT 2 100")
		pin.says("+OK\r\n:2\r\n")
		c.gets(":2\r\n")
		pin.getsRequests("SWAPDB 0 0", "WAITAOF 1 1 100")
		pin.says("-NOPERM no\r\n*2\r\n:1\r\n:1\r\n")
		c.gets("*2\r\n:1\r\n:1\r\n")

		user := w.client()
		user.session.regroup(upstream.Key{Proto: 3, User: "bob", Password: "secret", DB: 5})
		user.sends("WAIT 1 0", "PING")
		lane := w.accept("m")
		lane.getsRequests("WAIT 0 0")
		pin.gets("")
		lane.says(":2\r\n")
		pin.getsRequests("SWAPDB 0 0", "WAIT 1 0")
		pin.says("+OK\r\n:1\r\n")
		w.accept("m").answers("+PONG\r\n", "PING") // on the lane for what only reads
		user.gets(":1\r\n+PONG\r\n")
		user.sends("WAIT 1 0")
		lane.getsRequests("WAIT 0 0")
		lane.says("-NOPERM no\r\n")
		user.gets("-NOPERM no\r\n")
		pin.gets("")
	}
}
