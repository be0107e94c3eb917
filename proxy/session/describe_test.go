package session

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestAClientIsDescribedAsTheServersVersionDoes(t *testing.T) {
	i := Info{ID: 3, Addr: "a:1", LocalAddr: "b:2", Name: "n", LibName: "lib", LibVersion: "1", User: "u", DB: 4, Proto: 3, Age: 5 * time.Second, Idle: time.Second,
		Flags: "xte", Channels: 1, Patterns: 2, Shards: 3, Multi: 7, Watched: 8, Redirect: 9, Command: "client|list", Commands: 10, Received: 11, Sent: 12}
	values := regexp.MustCompile(`=\S*`)
	names := func(version int) string {
		i.Server = version
		return values.ReplaceAllString(i.String(), "")
	}
	const before = "id addr laddr fd name age idle flags db sub psub ssub multi "
	const behind = "qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll omem tot-mem events cmd user redir resp"
	for version, want := range map[int]string{
		0:   before + behind,
		700: before + behind,
		702: before + behind + " lib-name lib-ver",
		704: before + "watch " + behind + " lib-name lib-ver",
		800: before + "watch " + behind + " lib-name lib-ver io-thread tot-net-in tot-net-out tot-cmds",
	} {
		if got := names(version); got != want {
			t.Errorf("%d: %s", version, got)
		}
	}
	i.Server = 800
	for _, field := range strings.Fields("flags=xte sub=1 psub=2 ssub=3 multi=7 watch=8 redir=9 resp=3 cmd=client|list lib-name=lib lib-ver=1 tot-net-in=11 tot-net-out=12 tot-cmds=10") {
		if !strings.Contains(i.String()+" ", " "+field+" ") {
			t.Errorf("%s is not in %s", field, i.String())
		}
	}
}

// acceptUntouching accepts a connection whose commands are to leave keys untouched.
func acceptUntouching(w *world, addr string) *fakeConn {
	w.t.Helper()
	c := w.connect(addr)
	if !strings.Contains(c.received, encoded("CLIENT NO-TOUCH on")) {
		w.t.Fatalf("the handshake is %q", c.received)
	}
	c.handshake()
	return c
}

func TestNoTouchGoesOnOnLanesOfItsOwnAndAfterAFailover(t *testing.T) {
	w := newWorld(t)
	w.version = "7.2.0"
	c := w.client()
	c.sends("CLIENT NO-TOUCH ON")
	master := acceptUntouching(w, "m")
	master.answers("+OK\r\n", "CLIENT NO-TOUCH ON")
	c.gets("+OK\r\n")
	c.sends("GET a")
	for len(w.dials) > 0 { // replicas answer as well, on lanes of the same kind
		acceptUntouching(w, w.dials[0].addr)
	}
	w.asked().answers("$1\r\nx\r\n", "GET a")
	c.gets("$1\r\nx\r\n")

	master.dies()
	w.wait(time.Second)
	c.sends("SET a y")
	master = acceptUntouching(w, "m")
	master.answers("+OK\r\n", "SET a y")
	c.gets("+OK\r\n")

	// It goes back to the lanes that everybody has.
	c.sends("CLIENT NO-TOUCH OFF")
	if m := w.link("m"); m == master {
		t.Fatal("it is still on a lane of its own")
	} else {
		m.answers("+OK\r\n", "CLIENT NO-TOUCH OFF")
	}
	c.gets("+OK\r\n")
	c.sends("GET b")
	if len(w.dials) > 0 {
		t.Fatalf("somebody connects to %s", w.dials[0].addr)
	}
}

func TestNoTouchIsTheServersAffairWhereItDoesNotHaveIt(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("CLIENT NO-TOUCH ON")
	master := w.connect("m")
	master.received = strings.TrimPrefix(master.received, encoded("CLIENT SETNAME test", "CLIENT NO-EVICT on", "CLIENT NO-TOUCH on"))
	master.says("+OK\r\n+OK\r\n-ERR unknown subcommand\r\n")
	master.handshake()
	master.answers("-ERR unknown subcommand\r\n", "CLIENT NO-TOUCH ON")
	c.gets("-ERR unknown subcommand\r\n")
	c.sends("SET a b")
	if w.link("m") == master {
		t.Fatal("it goes on on that lane")
	}
}

func TestNoTouchWithinATransactionTakesEffectWithIt(t *testing.T) {
	for _, begun := range [][]string{{"MULTI"}, {"WATCH a"}} {
		w := newWorld(t)
		c := w.client()
		pin := begin(w, c, begun...)
		c.sends("CLIENT NO-TOUCH ON")
		pin.getsRequests("CLIENT NO-TOUCH ON")
		if begun[0] == "MULTI" {
			pin.says("+QUEUED\r\n")
			c.sends("EXEC")
			c.gets("+QUEUED\r\n")
			pin.answers("*1\r\n+OK\r\n", "EXEC")
			c.gets("*1\r\n+OK\r\n")
		} else {
			pin.says("+OK\r\n")
			c.gets("+OK\r\n")
			c.sends("UNWATCH")
			pin.answers("+OK\r\n", "UNWATCH")
			c.gets("+OK\r\n")
		}
		if !pin.closed {
			t.Errorf("%s: the pin is given back", begun)
		}
		if !c.session.key.NoTouch || !strings.Contains(c.session.flags(702), "T") {
			t.Errorf("%s: it has had no effect", begun)
		}
	}
}
