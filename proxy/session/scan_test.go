package session

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

// scanned is a reply to a scan with that cursor and no element.
func scanned(cursor uint64) string {
	return fmt.Sprintf("*2\r\n$%d\r\n%d\r\n*0\r\n", len(fmt.Sprint(cursor)), cursor)
}

// packed is a client's cursor.
func packed(server uint64, node string) uint64 { return server<<17 | uint64(runs[node]) }

// begun lets the client begin an iteration at a replica, which gives it the cursor 5.
func (w *world) begun(c *fakeConn) *fakeConn {
	w.t.Helper()
	c.sends("SCAN 0")
	r := w.asked()
	r.getsRequests("SCAN 0")
	r.says(scanned(5))
	c.gets(scanned(packed(5, r.addr)))
	return r
}

func TestAnIterationStaysOnTheNodeWhereItBegan(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	r := w.begun(c)
	for range 5 { // other clients of the same pool, too, and those that have written
		other := w.client()
		other.sends("SET a 1")
		w.link("m").answers("+OK\r\n", "SET a 1")
		other.gets("+OK\r\n")
		other.sends(fmt.Sprintf("SCAN %d MATCH x", packed(5, r.addr)))
		r.getsRequests("SCAN 5 MATCH x")
		r.says(scanned(0))
		other.gets(scanned(0))
	}
}

func TestScansInAPipelineGoTogetherAndKeepTheirPlaces(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("HSCAN h 0", "GET a", "SSCAN s 0", "GET b")
	r := w.asked()
	r.getsRequests("HSCAN h 0", "GET a", "SSCAN s 0", "GET b")
	r.says(scanned(1) + "$-1\r\n" + scanned(0) + "$-1\r\n")
	c.gets(scanned(packed(1, r.addr)) + "$-1\r\n" + scanned(0) + "$-1\r\n")
}

func TestAReplicaThatIsPromotedGoesOnWithItsIterations(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	r := w.begun(c)
	other := map[string]string{"r1": "r2", "r2": "r1"}[r.addr]
	w.inherits(r.addr, other)
	c.sends(fmt.Sprintf("SCAN %d", packed(5, r.addr)))
	w.link(r.addr).getsRequests("SCAN 5")
}

func TestAnIterationWhoseNodeIsGoneFailsClearly(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	r := w.begun(c)
	next := fmt.Sprintf("SCAN %d", packed(5, r.addr))
	c.sends(next)
	r.getsRequests("SCAN 5")
	r.dies()
	c.gets("") // it may be back in a moment
	w.wait(time.Millisecond)
	var left []string
	for _, addr := range []string{"r1", "r2"} {
		if addr != r.addr {
			left = append(left, addr)
		}
	}
	w.state(1, topology.Stable, "m", left...)
	c.gets("-" + cursorLost + "\r\n")
	c.sends("SCAN 17", "GET a") // a cursor that nobody gave
	c.gets("-" + cursorLost + "\r\n")
}

func TestAnIterationWaitsForANodeThatCannotServeItNow(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	r := w.begun(c)
	for range 3 {
		c.sends(fmt.Sprintf("SCAN %d", packed(5, r.addr)))
		r.getsRequests("SCAN 5")
		r.says("-LOADING Redis is loading the dataset in memory\r\n")
		c.gets("")
		w.wait(300 * time.Millisecond)
		r.getsRequests("SCAN 5")
		r.says(scanned(5))
		c.gets(scanned(packed(5, r.addr)))
	}
	// Not for ever.
	c.sends(fmt.Sprintf("SCAN %d", packed(5, r.addr)))
	r.dies()
	for range 120 { // and whoever tries to connect is refused
		w.wait(100 * time.Millisecond)
		for _, d := range w.dials {
			d.done(nil, errors.New("refused"))
		}
		w.dials = nil
		w.turn()
	}
	if !strings.Contains(c.received, cursorUnreachable) {
		t.Errorf("the client got %q", c.received)
	}
}

// health says of all replicas how they are.
func (w *world) health(is topology.Health) {
	w.t.Helper()
	w.amend(func(s *topology.State) {
		for i := range s.Replicas {
			s.Replicas[i].Health = is
		}
	})
}

func TestAnIterationGoesOnAtANodeThatLags(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	r := w.begun(c)
	w.health(topology.Lagging)
	c.sends(fmt.Sprintf("SCAN %d", packed(5, r.addr)))
	w.accept(r.addr).getsRequests("SCAN 5")
}

func TestAnIterationDoesNotGoOnAtANodeThatMayBeAnotherRun(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	r := w.begun(c)
	w.health(topology.Syncing)
	c.sends(fmt.Sprintf("SCAN %d", packed(5, r.addr)))
	again := w.connect(r.addr)
	again.received = ""
	again.says("+OK\r\n+OK\r\n-NOPERM this user has no permissions to run the 'info' command\r\n")
	again.gets("")
	if !again.closed {
		t.Error("a connection to who knows which run is used")
	}
	c.gets("")
}

func TestIterationsInTransactionsAreThoseOfTheMaster(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	r := w.begun(c)
	c.sends("MULTI")
	pin := w.accept("m")
	pin.getsRequests("MULTI")
	pin.says("+OK\r\n")
	c.gets("+OK\r\n")
	c.sends(fmt.Sprintf("SCAN %d", packed(9, "m")), "PING", "HSCAN h 0")
	pin.getsRequests("SCAN 9", "PING", "HSCAN h 0")
	pin.says("+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n")
	c.gets("+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n")
	c.sends("EXEC")
	pin.getsRequests("EXEC")
	pin.says("*3\r\n" + scanned(7) + "+PONG\r\n" + scanned(8))
	c.gets("*3\r\n" + scanned(packed(7, "m")) + "+PONG\r\n" + scanned(packed(8, "m")))

	c.sends("WATCH a")
	pin.getsRequests("WATCH a")
	pin.says("+OK\r\n")
	c.sends(fmt.Sprintf("SCAN %d", packed(9, "m")))
	pin.getsRequests("SCAN 9")
	pin.says(scanned(3))
	c.gets("+OK\r\n" + scanned(packed(3, "m")))
	c.sends(fmt.Sprintf("SCAN %d", packed(5, r.addr)))
	c.gets("-" + cursorElsewhere + "\r\n")
	c.sends("MULTI", fmt.Sprintf("SCAN %d", packed(5, r.addr)))
	pin.getsRequests("MULTI")
	pin.says("+OK\r\n")
	c.gets("+OK\r\n-" + cursorElsewhere + "\r\n")
	c.sends("EXEC")
	c.gets("-EXECABORT Transaction discarded because of previous errors.\r\n")
}

func TestAScanIsNotRepeatedOnAnotherNodeWithACursorOfTheFirst(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("WATCH a")
	pin := w.accept("m")
	pin.says("+OK\r\n")
	c.gets("+OK\r\n")
	c.sends(fmt.Sprintf("SCAN %d", packed(9, "m")))
	pin.dies()
	m := w.link("m")
	m.getsRequests("SCAN 9") // asked again on a lane, of the same run
	m.says(scanned(2))
	c.gets(scanned(packed(2, "m")))
}

func TestTheReplyToAScanLeavesNoRoomOfItsSizeBehind(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("SCAN 0 COUNT 100000")
	reply := "*2\r\n$1\r\n0\r\n*1\r\n" + bulk(900_000)
	w.asked().answers(reply, "SCAN 0 COUNT 100000")
	c.gets(reply)
	if n := cap(w.env.scratch); n > keptScratch {
		t.Errorf("%d bytes are kept", n)
	}
}
