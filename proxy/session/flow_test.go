package session

import (
	"testing"

	"github.com/understudy/understudy/proxy/upstream"
)

func TestAPipelineThatHoldsAWriteGoesToTheMasterAsAWhole(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("GET a", "DEL a", "GET a", "PING")
	w.link("m").getsRequests("GET a", "DEL a", "GET a", "PING")
}

func TestAWriteBehindReadsAtAReplicaWaitsForThem(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("LRANGE l 0 -1")
	r := w.asked()
	r.getsRequests("LRANGE l 0 -1")
	c.sends("DEL l", "GET a")
	w.link("m").gets("")
	r.says("*0\r\n")
	c.gets("*0\r\n")
	w.link("m").getsRequests("DEL l", "GET a")
}

func TestLanesAreSharedByKindOfConversation(t *testing.T) {
	w := newWorld(t)
	a, b := w.client(), w.client()
	a.sends("GET a")
	b.sends("GET b")
	a.sends("SELECT 2")
	w.serve()
	links := len(w.links)
	b.sends("SELECT 2", "SET x 1")
	a.sends("SET y 1")
	w.serve()
	if len(w.links) != links {
		t.Errorf("%d connections more for the second client of a database", len(w.links)-links)
	}
	if a.session.key != b.session.key || a.session.key != (upstream.Key{Proto: 2, DB: 2}) {
		t.Errorf("keys %v and %v", a.session.key, b.session.key)
	}
}

func TestSilencedRepliesAreNotDeliveredEvenWhenRequestsAreSentAgain(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	c.sends("CLIENT REPLY SKIP", "GET a", "GET b")
	first := w.asked()
	first.getsRequests("GET a")
	first.dies()
	second := w.asked()
	second.getsRequests("GET a")
	second.says("$1\r\na\r\n")
	c.gets("")
	third := w.asked()
	third.getsRequests("GET b")
	third.says("$1\r\nb\r\n")
	c.gets("$1\r\nb\r\n")
	c.sends("CLIENT REPLY OFF", "SET a 1", "CLIENT REPLY SKIP", "INCR a", "NOSUCH", "PING", "CLIENT REPLY ON", "PING")
	w.serve()
	c.gets("+OK\r\n+PONG\r\n")
}
