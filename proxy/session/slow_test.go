package session

import (
	"strings"
	"testing"

	"github.com/understudy/understudy/topology"
)

func TestAClientThatDoesNotReadHoldsBackItselfOnly(t *testing.T) {
	w := newWorld(t)
	slow, quick := taughtSmall(w, 2000), w.client()
	slow.room = 0
	value := bulk(100_000)
	for range 100 {
		slow.sends("GET a")
	}
	asked := 0
	for range 100 {
		for _, link := range w.links {
			for !link.closed && !link.paused && link.received != "" {
				link.received = strings.TrimPrefix(link.received, encoded("GET a"))
				asked++
				link.says(value)
			}
		}
	}
	if size := slow.session.out.Len(); asked >= 100 || size > hardOutput+len(value) {
		t.Errorf("%d replies, %d bytes, were read for a client that does not read them", asked, size)
	}
	quick.sends("GET b")
	r := w.asked()
	r.getsRequests("GET b")
	r.says("$1\r\nb\r\n")
	quick.gets("$1\r\nb\r\n")
	for i := 0; i < 200 && len(slow.received) < 100*len(value); i++ {
		slow.takes(len(value))
		for _, link := range w.links {
			for !link.closed && !link.paused && link.received != "" {
				link.received = strings.TrimPrefix(link.received, encoded("GET a"))
				link.says(value)
			}
		}
	}
	if slow.received != strings.Repeat(value, 100) {
		t.Errorf("the slow client got %d bytes of %d", len(slow.received), 100*len(value))
	}
}

func TestAClientThatDoesNotReadIsNotCutOffBecauseAnotherWaitsBehindItsReplies(t *testing.T) {
	for name, size := range map[string]int{"whole": 100_000, "in parts": 1_500_000} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.env.Config.OutputLimit = 16 << 20
			w.state(1, topology.Stable, "m", "r1")
			slow, quick := taughtSmall(w, 2000), w.client()
			slow.room = 0
			value := bulk(size)
			n := 2*w.env.Config.OutputLimit/size + 1
			want := strings.Repeat(value, n)
			slow.sends(strings.Split(strings.Repeat(",GET a", n), ",")[1:]...)
			quick.sends("GET b")
			r := w.link("r1")
			if !strings.HasSuffix(r.received, encoded("GET b")) {
				t.Fatal("the other's request does not wait behind those of the slow client")
			}
			unread := map[*fakeConn]string{} // of the reply under way
			answer := func() {
				for _, link := range w.links {
					for !link.closed && !link.paused && (link.received != "" || unread[link] != "") {
						if rest, ok := strings.CutPrefix(link.received, encoded("GET a")); ok && unread[link] == "" {
							link.received, unread[link] = rest, value
						}
						if part := unread[link]; part != "" {
							unread[link] = part[min(len(part), size/2):]
							link.says(part[:min(len(part), size/2)])
							continue
						}
						link.received = strings.TrimPrefix(link.received, encoded("GET b"))
						link.says("$1\r\nb\r\n")
					}
				}
			}
			answer()
			w.acceptAll()
			answer()
			quick.gets("$1\r\nb\r\n")
			if size := slow.session.out.Len(); size > hardOutput+len(value) {
				t.Errorf("%d bytes were kept for a client that does not read them", size)
			}
			for i := 0; i < 2000 && len(slow.received) < len(want); i++ {
				if slow.closed {
					t.Fatalf("closed after %d bytes", len(slow.received))
				}
				slow.takes(len(value))
				quick.sends("GET b")
				w.acceptAll()
				answer()
				quick.gets("$1\r\nb\r\n")
			}
			if slow.received != want {
				t.Errorf("the slow client got %d bytes of %d", len(slow.received), len(want))
			}
		})
	}
}
