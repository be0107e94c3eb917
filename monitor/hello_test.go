package monitor

import (
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

func TestWhatSentinelsTellOfTheMasterIsRead(t *testing.T) {
	now := time.Now()
	message := func(kind, payload string) any {
		return []any{[]byte(kind), []byte(sentinelPattern), []byte("__sentinel__:hello"), []byte(payload)}
	}
	for _, c := range []struct {
		reply any
		want  hello
	}{
		{message("pmessage", "127.0.0.1,26379,abc,3,mymaster,10.0.0.1,6379,2"), hello{now, "10.0.0.1:6379", 2}},
		{message("pmessage", "::1,26379,abc,3,mymaster,fd00::1,6379,0"), hello{now, "[fd00::1]:6379", 0}},
		{message("message", "127.0.0.1,26379,abc,3,mymaster,10.0.0.1,6379,2"), hello{}},
		{message("pmessage", "127.0.0.1,26379,abc,3,mymaster,10.0.0.1,6379"), hello{}},
		{message("pmessage", "127.0.0.1,26379,abc,3,mymaster,,6379,2"), hello{}},
		{message("pmessage", "127.0.0.1,26379,abc,3,mymaster,10.0.0.1,6379,x"), hello{}},
		{[]any{[]byte("pong"), []byte("")}, hello{}},
		{"PONG", hello{}},
		{nil, hello{}},
	} {
		if got, ok := parseHello(c.reply, now); got != c.want || ok != (c.want != hello{}) {
			t.Errorf("%s is read as %+v", c.reply, got)
		}
	}
}

func TestASentinelThatRepeatsWhatWasSoBeforeIsNotBelieved(t *testing.T) {
	now := time.Now()
	l := &loop{Monitor: &Monitor{}, records: map[string]*record{"old:1": {}, "new:1": {}}, announced: map[string]string{}}
	tell := func(after time.Duration, master string, epoch uint64) {
		l.greeted(hello{now.Add(after), master, epoch})
	}
	tell(0, "old:1", 1)
	tell(time.Second, "new:1", 2)
	tell(2*time.Second, "old:1", 1)
	if got := l.appointed(now.Add(2 * time.Second)); got != "new:1" {
		t.Errorf("the master is %q", got)
	}
	if got := l.appointed(now.Add(time.Second + helloLasts)); got != "" {
		t.Errorf("long after the last word the master is %q", got)
	}
	tell(2*helloLasts, "old:1", 1) // Sentinel was set up anew
	if got := l.appointed(now.Add(2 * helloLasts)); got != "old:1" {
		t.Errorf("the master is %q", got)
	}
}

func TestTheWordOfBeforeAChangeOfMasterAppointsNobody(t *testing.T) {
	now := time.Now()
	l := &loop{Monitor: &Monitor{}, records: map[string]*record{"old:1": {}, "new:1": {}, "nat:1": {}}, announced: map[string]string{"new:1": "nat:1"}}
	become := func(after time.Duration, master string) {
		l.snapshot.State = &topology.State{Master: topology.Node{Addr: master}}
		l.overrule(master, now.Add(after))
	}
	expect := func(after time.Duration, told string, epoch uint64, want string) {
		t.Helper()
		l.greeted(hello{now.Add(after), told, epoch})
		if got := l.appointed(now.Add(after)); got != want {
			t.Errorf("after %v, told of %s: the master is %q, want %q", after, told, got, want)
		}
	}
	become(0, "old:1")
	expect(0, "old:1", 4, "old:1")
	// It hangs, and Sentinel promotes the other one.
	become(time.Second, "new:1")
	expect(1100*time.Millisecond, "old:1", 4, "")
	expect(2*time.Second, "new:1", 5, "new:1")
	// The old one is appointed again: that word is a new one.
	expect(3*time.Second, "old:1", 6, "old:1")
	become(4*time.Second, "old:1")
	expect(5*time.Second, "old:1", 6, "old:1")
	// The new master is known to Sentinels by another address.
	expect(6*time.Second, "nat:1", 7, "nat:1") // situation.named tells what that is
	become(7*time.Second, "new:1")
	expect(8*time.Second, "nat:1", 7, "nat:1")
	// They insist.
	become(10*time.Second, "old:1")
	expect(12*time.Second, "nat:1", 7, "")
	expect(10*time.Second+helloLasts, "nat:1", 7, "nat:1")
}
