package monitor

import (
	"testing"
	"time"
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
