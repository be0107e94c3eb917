package session

import (
	"crypto/sha1"
	"fmt"
	"testing"
	"time"
)

// bulkSHA is what a server says to SCRIPT LOAD.
const bulkSHA = "$40\r\n0000000000000000000000000000000000000000\r\n"

func hexOf(body string) string { return fmt.Sprintf("%x", sha1.Sum([]byte(body))) }

// taught is a world in which a client has sent the script return_7 by EVAL, and the digest of it.
func taught(t *testing.T) (w *world, c, m *fakeConn, evalsha string) {
	t.Helper()
	w = newWorld(t)
	c, m = w.client(), w.link("m")
	c.sends("EVAL return_7 0")
	m.getsRequests("EVAL return_7 0")
	m.says(":7\r\n")
	c.gets(":7\r\n")
	return w, c, m, "EVALSHA " + hexOf("return_7") + " 0"
}

// called is taught, and the client has called the script by its digest, so that the master has it.
func called(t *testing.T) (w *world, c, m *fakeConn, evalsha string) {
	t.Helper()
	w, c, m, evalsha = taught(t)
	c.sends(evalsha)
	m.answers(bulkSHA, "SCRIPT LOAD return_7")
	m.answers(":7\r\n", evalsha)
	c.gets(":7\r\n")
	return w, c, m, evalsha
}

func TestAScriptIsLoadedAheadOfItsDigestOnce(t *testing.T) {
	_, c, m, evalsha := taught(t)
	c.sends("SET a 1", evalsha, "GET a")
	m.getsRequests("SET a 1")
	m.says("+OK\r\n")
	m.getsRequests("SCRIPT LOAD return_7")
	c.gets("+OK\r\n")
	m.says(bulkSHA)
	c.gets("") // what the server says to that is not for the client
	m.getsRequests(evalsha, "GET a")
	m.says(":7\r\n$1\r\n1\r\n")
	c.gets(":7\r\n$1\r\n1\r\n")
	c.sends(evalsha, evalsha)
	m.getsRequests(evalsha, evalsha)
}

func TestAScriptIsLoadedOnTheNextMaster(t *testing.T) {
	w, c, _, evalsha := called(t)
	next := w.inherits("r1", "r2")
	c.sends(evalsha)
	next.getsRequests("SCRIPT LOAD return_7")
	next.dies() // and nothing was sent that could be applied twice
	c.gets("")
	w.wait(100 * time.Millisecond)
	next = w.accept("r1")
	next.getsRequests("SCRIPT LOAD return_7")
	next.says(bulkSHA)
	next.getsRequests(evalsha)
	next.says(":7\r\n")
	c.gets(":7\r\n")
}

func TestWhatNobodyRemembersOrTheServerDoesNotTakeIsLeftToTheServer(t *testing.T) {
	_, c, m, evalsha := taught(t)
	unknown := "EVALSHA " + hexOf("another") + " 0"
	c.sends(unknown, "EVALSHA nonsense 0")
	m.getsRequests(unknown, "EVALSHA nonsense 0")
	m.says("-NOSCRIPT No matching script. Please use EVAL.\r\n-NOSCRIPT No matching script. Please use EVAL.\r\n")
	c.gets("-NOSCRIPT No matching script. Please use EVAL.\r\n-NOSCRIPT No matching script. Please use EVAL.\r\n")
	c.sends(evalsha)
	m.getsRequests("SCRIPT LOAD return_7")
	m.says("-NOPERM this user has no permissions to run the 'script|load' command\r\n")
	m.getsRequests(evalsha)
	m.says("-NOSCRIPT No matching script. Please use EVAL.\r\n")
	c.gets("-NOSCRIPT No matching script. Please use EVAL.\r\n")
}

func TestANodeWhoseScriptsWereFlushedElsewhereIsSentThemAgain(t *testing.T) {
	_, c, m, evalsha := taught(t)
	c.sends(evalsha)
	m.gets(encoded("SCRIPT LOAD return_7"))
	m.says(bulkSHA)
	m.says("-NOSCRIPT No matching script. Please use EVAL.\r\n")
	c.gets("-NOSCRIPT No matching script. Please use EVAL.\r\n")
	m.received = ""
	c.sends(evalsha)
	m.getsRequests("SCRIPT LOAD return_7")
}

func TestAScriptOfATransactionIsLoadedBeforeIt(t *testing.T) {
	w, c, m, evalsha := taught(t)
	c.sends("MULTI", evalsha, "EXEC")
	pin := w.accept("m")
	pin.getsRequests("MULTI")
	pin.says("+OK\r\n")
	m.getsRequests("SCRIPT LOAD return_7")
	m.says(bulkSHA)
	pin.getsRequests(evalsha)
	pin.says("+QUEUED\r\n")
	pin.getsRequests("EXEC")
	pin.says("*1\r\n:7\r\n")
	c.gets("+OK\r\n+QUEUED\r\n*1\r\n:7\r\n")
	// From now on it goes as one block.
	c.sends("MULTI", evalsha, "EXEC")
	m.getsRequests("MULTI", evalsha, "EXEC")
}

func TestReadOnlyScriptsGoToReplicasOnceAllHaveThem(t *testing.T) {
	w := newWorld(t)
	c, m := w.client(), w.link("m")
	evalsha := "EVALSHA_RO " + hexOf("return_7") + " 0"
	c.sends(evalsha)
	reads := w.link("m")
	reads.getsRequests(evalsha)
	reads.says("-NOSCRIPT No matching script. Please use EVAL.\r\n")
	c.gets("-NOSCRIPT No matching script. Please use EVAL.\r\n")
	c.sends("SCRIPT LOAD return_7")
	m.getsRequests("SCRIPT LOAD return_7")
	m.says(bulkSHA)
	c.gets(bulkSHA)
	for _, r := range []string{"r1", "r2"} {
		w.link(r).getsRequests("SCRIPT LOAD return_7")
		w.link(r).says(bulkSHA)
	}
	c.sends(evalsha)
	w.asked().getsRequests(evalsha)
}

func TestSCRIPTFLUSHReachesAllNodesAndTheMemory(t *testing.T) {
	w, c, m, evalsha := called(t)
	c.sends("SCRIPT FLUSH ASYNC")
	m.getsRequests("SCRIPT FLUSH ASYNC")
	m.says("+OK\r\n")
	c.gets("+OK\r\n")
	for _, r := range []string{"r1", "r2"} {
		w.link(r).getsRequests("SCRIPT FLUSH ASYNC")
		w.link(r).says("+OK\r\n")
	}
	c.sends(evalsha)
	m.getsRequests(evalsha)
}

func TestSCRIPTEXISTSSaysWhatEVALSHAWillFind(t *testing.T) {
	_, c, m, _ := taught(t)
	exists := "SCRIPT EXISTS " + hexOf("return_7") + " " + hexOf("another")
	c.sends(exists)
	m.getsRequests("SCRIPT LOAD return_7")
	m.says(bulkSHA)
	m.getsRequests(exists)
	m.says("*2\r\n:1\r\n:0\r\n")
	c.gets("*2\r\n:1\r\n:0\r\n")
}

func TestSCRIPTKILLAsksEveryNodeOverAConnectionOfItsOwn(t *testing.T) {
	for _, c := range []struct{ m, r1, r2, want string }{
		{"-NOTBUSY No scripts in execution right now.\r\n", "-NOTBUSY No\r\n", "-NOTBUSY No\r\n", "-NOTBUSY No scripts in execution right now.\r\n"},
		{"-NOTBUSY No scripts in execution right now.\r\n", "+OK\r\n", "", "+OK\r\n"},
		{"+OK\r\n", "", "", "+OK\r\n"},
		{"-NOTBUSY No\r\n", "-UNKILLABLE x\r\n", "", "-UNKILLABLE x\r\n"},
		{"-NOPERM no\r\n", "dies", "dies", "-NOPERM no\r\n"},
		{"dies", "dies", "dies", "-ERR no server has answered; the script was not killed\r\n"},
	} {
		w := newWorld(t)
		client := w.client()
		client.sends("SELECT 3")
		w.link("m") // the lane of database 3 is connecting
		lane := w.accept("m")
		lane.getsRequests("SELECT 3")
		lane.says("+OK\r\n")
		client.gets("+OK\r\n")
		client.sends("SCRIPT KILL", "PING")
		for _, node := range []struct{ addr, says string }{{"m", c.m}, {"r1", c.r1}, {"r2", c.r2}} {
			conn := w.accept(node.addr)
			conn.getsRequests("SCRIPT KILL")
			switch node.says {
			case "":
			case "dies":
				conn.dies()
			default:
				conn.says(node.says)
			}
		}
		client.gets(c.want + "+PONG\r\n")
	}
}

func TestAClientThatSendsNothingMoreIsToldWhichFunctionRuns(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("FUNCTION STATS")
	pin := w.accept("m")
	c.handler.HalfClosed(false)
	w.turn()
	pin.answers("*0\r\n", "FUNCTION STATS")
	c.gets("*0\r\n")
}
