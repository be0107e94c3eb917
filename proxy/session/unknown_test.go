package session

import (
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/topology"
)

const (
	// moduleInfo is what a server says of a command MODULE.NEW key of a module.
	moduleInfo = "*1\r\n*7\r\n$10\r\nmodule.new\r\n:-2\r\n*2\r\n+write\r\n+module\r\n:1\r\n:1\r\n:1\r\n*0\r\n"
	// selectInfo is what it says of SELECT, under whatever name.
	selectInfo = "*1\r\n*7\r\n$6\r\nselect\r\n:2\r\n*2\r\n+loading\r\n+fast\r\n:0\r\n:0\r\n:0\r\n*0\r\n"
	noInfo     = "*1\r\n*-1\r\n"
	unknownX   = "-ERR unknown command 'X', with args beginning with: 'a' \r\n"
)

func TestTheMasterIsAskedWhatAnUnknownNameIsBeforeItIsSent(t *testing.T) {
	w := newWorld(t)
	c, m := w.client(), w.link("m")
	c.sends("SET a 1", "MODULE.NEW b", "SET c 1")
	m.answers("+OK\r\n", "SET a 1")
	m.getsRequests("COMMAND INFO MODULE.NEW")
	c.gets("+OK\r\n")
	m.says(moduleInfo)
	c.gets("") // what the server says of it is not for the client
	m.answers(":1\r\n+OK\r\n", "MODULE.NEW b", "SET c 1")
	c.gets(":1\r\n+OK\r\n")
	c.sends("module.new b", "MODULE.NEW b")
	m.getsRequests("module.new b", "MODULE.NEW b")
}

func TestWhatTheMasterDoesNotKnowIsSentNowhere(t *testing.T) {
	w := newWorld(t)
	c, m := w.client(), w.link("m")
	for range 2 { // it may have been loaded in between
		c.sends("X a", "SET a 1")
		m.answers(noInfo, "COMMAND INFO X")
		c.gets(unknownX)
		m.answers("+OK\r\n", "SET a 1")
		c.gets("+OK\r\n")
	}
	c.sends("X\x00 a", "CONFIG GET\x00x a")
	c.gets(unknownX + "-ERR unknown subcommand 'GET'. Try CONFIG HELP.\r\n")
	m.gets("")
}

func TestAnUnknownNameWithinATransactionAbortsIt(t *testing.T) {
	for _, test := range []struct{ name, info, reply string }{
		{"X", noInfo, unknownX}, {"X\x00", "", unknownX},
		{"X", selectInfo, "-ERR SELECT is not available through Understudy under another name, which redis.conf (rename-command) has given it, because Understudy has a part in what it does\r\n"},
	} {
		w := newWorld(t)
		c, m := w.client(), w.link("m")
		pin := begin(w, c, "MULTI", "INCR a")
		c.sends(test.name + " a")
		if test.info != "" {
			m.answers(test.info, "COMMAND INFO X")
		}
		c.gets(test.reply)
		c.sends("EXEC")
		pin.gets("")
		c.gets("-EXECABORT Transaction discarded because of previous errors.\r\n")
	}
}

func TestAQuestionAboutANameThatIsLostIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("X a", "PING")
	m := w.link("m")
	m.getsRequests("COMMAND INFO X")
	m.dies()
	c.gets("")
	w.wait(time.Second)
	w.accept("m").answers(noInfo, "COMMAND INFO X")
	c.gets(unknownX + "+PONG\r\n")
}

func TestAnUnknownNameWaitsForAMaster(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	w.state(2, topology.Fencing, "m", "r1", "r2")
	c.sends("X a", "PING")
	c.gets("")
	w.wait(11 * time.Second)
	if !strings.HasPrefix(c.received, "-MASTERDOWN ") || !strings.HasSuffix(c.received, "\r\n+PONG\r\n") {
		t.Errorf("the client got %q", c.received)
	}
}

func TestAMasterThatMayNotBeAskedIsSentNothingUnknown(t *testing.T) {
	w := newWorld(t)
	c, m := w.client(), w.link("m")
	c.sends("X a")
	m.answers("-NOPERM this user has no permissions to run the 'command|info' command\r\n", "COMMAND INFO X")
	if !strings.HasPrefix(c.received, "-ERR Understudy does not know the command 'X', and could not ask the master about it, so it was not sent. ") {
		t.Errorf("the client got %q", c.received)
	}
	m.gets("")
	c.received = ""
	c.sends("X a")
	m.answers("-LOADING Redis is loading the dataset in memory\r\n", "COMMAND INFO X")
	c.gets("-LOADING Redis is loading the dataset in memory\r\n")
}

func TestServersBefore7HaveOtherWordsForWhatTheyDoNotKnow(t *testing.T) {
	for request, want := range map[string]string{
		"X\x00 a\x00b c":    "ERR unknown command `X`, with args beginning with: `a`, `c`, ",
		"config GET\x00x a": "ERR Unknown subcommand or wrong number of arguments for 'GET'. Try CONFIG HELP.",
	} {
		var args [][]byte
		for _, word := range strings.Fields(request) {
			args = append(args, []byte(word))
		}
		if got := unknownText(command.Builtin().Lookup(args), args, 602); got != want {
			t.Errorf("%q is answered %q", request, got)
		}
	}
}
