package session

import (
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

func TestAMasterThatDoesNotAnswerIsNotAskedAgainAndAgainToUnblockItsClients(t *testing.T) {
	w := newWorld(t)
	w.planned = true
	c := w.client()
	c.sends("BLPOP k 0")
	pin := w.connect("m")
	pin.received = ""
	pin.says("+OK\r\n+OK\r\n:77\r\n$0\r\n\r\n") // CLIENT SETNAME, NO-EVICT, ID and INFO
	pin.getsRequests("BLPOP k 0")
	w.state(2, topology.Fencing, "m", "r1", "r2")
	own := w.has("CLIENT UNBLOCK 77 ERROR")
	w.wait(time.Second)
	own.answers(":0\r\n", "CLIENT UNBLOCK 77 ERROR")
	w.wait(10 * time.Millisecond) // it was on its way still, and blocks by now
	own.answers(":1\r\n", "CLIENT UNBLOCK 77 ERROR")
	pin.says("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n")
	if len(w.fenced) != 1 {
		t.Errorf("fenced: %v", w.fenced)
	}
}
