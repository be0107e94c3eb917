package pubsub

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/understudy/understudy/resp"
)

// listener is a client that writes down what it is told.
type listener struct {
	name    string
	topics  map[Topic]int
	busy    int  // requests under way
	ends    bool // which end something
	told    []string
	denied  bool
	remains Returned
}

func (l *listener) Message(body []byte, _ bool) {
	v, _, err := resp.Decode(append([]byte("*"), body...))
	if err != nil {
		panic(err)
	}
	l.told = append(l.told, string(v.Array[len(v.Array)-1].Str))
}

func (l *listener) Confirmed(v Verb, name string, last bool) {
	at := Topic{v.Kind, name}
	if v.Ends {
		delete(l.topics, at)
	} else {
		l.topics[at] = 1
	}
	l.told = append(l.told, v.Word()+" "+name)
	if last {
		l.busy--
	}
}

func (l *listener) Answered(frame []byte) {
	l.told = append(l.told, string(frame))
	l.busy--
}

func (l *listener) Returned(r Returned) { l.busy, l.remains = l.busy-1, r }
func (l *listener) Expelled()           { l.denied = true }

// server is one connection of a server with one subscriber: the Book.
type server struct {
	subscribed map[Topic]bool
	in         []byte
	out        []byte // on its way to the Book
}

// serve answers the next request, and returns it; nil if there is none.
func (s *server) serve(t *testing.T) []string {
	p := resp.RequestParser{Limits: resp.DefaultLimits}
	n, err := p.Parse(s.in)
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		return nil
	}
	var args []string
	for _, a := range p.Args {
		args = append(args, string(a))
	}
	s.in = s.in[n:]
	verb, ok := ParseVerb(args[0])
	if !ok {
		t.Fatalf("asked for %q", args)
	}
	if !verb.Ends && slices.Contains(args, "secret") {
		s.out = append(s.out, "-NOPERM\r\n"...)
		return args
	}
	for _, name := range args[1:] {
		if verb.Ends {
			delete(s.subscribed, Topic{verb.Kind, name})
		} else {
			s.subscribed[Topic{verb.Kind, name}] = true
		}
		s.out = resp.AppendArray(s.out, 3)
		s.out = resp.AppendBulkString(s.out, verb.Word())
		s.out = resp.AppendBulkString(s.out, name)
		s.out = resp.AppendInt(s.out, int64(len(s.subscribed)))
	}
	return args
}

// publish sends a message if there is somebody to get it.
func (s *server) publish(at Topic, text string) {
	if s.subscribed[at] {
		s.out = resp.AppendArray(s.out, 3)
		s.out = resp.AppendBulkString(s.out, messageWords[at.Kind])
		s.out = resp.AppendBulkString(s.out, at.Name)
		s.out = resp.AppendBulkString(s.out, text)
	}
}

// alone is what the clients would be told on connections of their own: each request of theirs in the order in which the
// server came to it.
type alone struct {
	subscribed map[*listener]map[Topic]bool
	told       map[*listener][]string
}

func (a *alone) request(l *listener, v Verb, names []string) {
	if !v.Ends && slices.Contains(names, "secret") {
		a.told[l] = append(a.told[l], "-NOPERM\r\n")
		return
	}
	for _, name := range names {
		if v.Ends {
			delete(a.subscribed[l], Topic{v.Kind, name})
		} else {
			a.subscribed[l][Topic{v.Kind, name}] = true
		}
		a.told[l] = append(a.told[l], v.Word()+" "+name)
	}
}

func (a *alone) publish(at Topic, text string) {
	for l, topics := range a.subscribed {
		if topics[at] {
			a.told[l] = append(a.told[l], text)
		}
	}
}

// asked is a request of a client on its way to the server.
type asked struct {
	who   *listener // nil: the Book's own
	verb  Verb
	names []string
}

// world is a Book between clients and a server, and what clients would see without it.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	book    Book
	server  server
	alone   alone
	clients []*listener
	way     []asked
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), server: server{subscribed: map[Topic]bool{}}}
	w.alone = alone{map[*listener]map[Topic]bool{}, map[*listener][]string{}}
	for range 4 {
		w.join()
	}
	return w
}

func (w *world) join() {
	l := &listener{name: fmt.Sprint(len(w.clients)), topics: map[Topic]int{}}
	w.clients = append(w.clients, l)
	w.alone.subscribed[l] = map[Topic]bool{}
}

// send takes what the Book wants sent: requests of one client, or its own.
func (w *world) send(a asked) {
	out := w.book.Unsent()
	w.server.in = append(w.server.in, out...)
	p := resp.RequestParser{Limits: resp.DefaultLimits}
	for len(out) > 0 {
		n, err := p.Parse(out)
		if n == 0 || err != nil {
			w.t.Fatalf("%q: %v", out, err)
		}
		out = out[n:]
		w.way = append(w.way, a)
	}
}

// names draws one of few names, so that clients meet.
func (w *world) names() []string {
	all := []string{"a", "b", "c", "understudy:nobody", "secret"}
	names := make([]string, 1+w.rng.IntN(3))
	for i := range names {
		names[i] = all[min(w.rng.IntN(len(all)), w.rng.IntN(len(all)))]
	}
	return names
}

func (w *world) step(i int) {
	l := w.clients[w.rng.IntN(len(w.clients))]
	kind := Kind(w.rng.IntN(int(kinds)))
	switch r := w.rng.IntN(20); {
	case r < 4 && (l.busy == 0 || !l.ends):
		names := w.names()
		l.busy, l.ends = l.busy+1, false
		w.book.Subscribe(l, kind, names)
		w.send(asked{l, Verb{Kind: kind}, names})
	case r < 7 && (l.busy == 0 || l.ends):
		names := w.names()
		l.busy, l.ends = l.busy+1, true
		w.book.Unsubscribe(l, kind, names)
		w.send(asked{l, Verb{kind, true}, names})
	case r == 7 && i%7 == 0:
		w.book.Leave(l, l.topics)
		w.send(asked{})
		delete(w.alone.subscribed, l)
		w.clients = slices.DeleteFunc(w.clients, func(c *listener) bool { return c == l })
		w.join()
	case r < 12:
		at, text := Topic{kind, w.names()[0]}, fmt.Sprint("text ", i)
		w.server.publish(at, text)
		w.alone.publish(at, text)
	case r < 17:
		if w.server.serve(w.t) != nil {
			a := w.way[0]
			w.way = w.way[1:]
			if a.who != nil && w.alone.subscribed[a.who] != nil {
				w.alone.request(a.who, a.verb, a.names)
			}
		}
	default:
		w.hear()
	}
}

// hear gives the Book one frame that has arrived.
func (w *world) hear() bool {
	var scanner resp.ReplyScanner
	n, done, err := scanner.Scan(w.server.out)
	if err != nil {
		w.t.Fatal(err)
	}
	if !done {
		return false
	}
	frame := slices.Clone(w.server.out[:n])
	w.server.out = w.server.out[n:]
	w.book.Frame(frame)
	w.send(asked{}) // what it has to tell the server now
	return true
}

func TestEveryClientIsToldWhatItWouldBeToldOnAConnectionOfItsOwn(t *testing.T) {
	for seed := range uint64(500) {
		w := newWorld(t, seed)
		for i := range 300 {
			w.step(i)
		}
		for len(w.way) > 0 || len(w.server.out) > 0 {
			if a := w.way; len(a) > 0 && w.server.serve(t) != nil {
				if w.way = a[1:]; a[0].who != nil && w.alone.subscribed[a[0].who] != nil {
					w.alone.request(a[0].who, a[0].verb, a[0].names)
				}
			}
			for w.hear() {
			}
		}
		for _, l := range w.clients {
			if want := w.alone.told[l]; !slices.Equal(l.told, want) {
				t.Fatalf("seed %d: client %s was told\n%s\ninstead of\n%s", seed, l.name, strings.Join(l.told, "\n"), strings.Join(want, "\n"))
			}
		}
		w.checkServer(seed)
	}
}

// checkServer compares what the server is subscribed to with what clients listen to, and has everybody go.
func (w *world) checkServer(seed uint64) {
	w.t.Helper()
	listened := map[Topic]int{}
	for _, l := range w.clients {
		for at := range l.topics {
			listened[at]++
		}
	}
	for at := range w.server.subscribed {
		if listened[at] == 0 {
			w.t.Fatalf("seed %d: the server sends what nobody listens to: %v", seed, at)
		}
	}
	for at, n := range listened {
		if got, live := w.book.Number(at); !w.server.subscribed[at] || got != n || !live {
			w.t.Fatalf("seed %d: %d listen to %v, the Book says %d (live %v), the server %v", seed, n, at, got, live, w.server.subscribed[at])
		}
	}
	for _, l := range w.clients {
		w.book.Leave(l, l.topics)
		w.send(asked{})
	}
	for w.server.serve(w.t) != nil {
	}
	for w.hear() {
	}
	if !w.book.Empty() || len(w.server.subscribed) > 0 {
		w.t.Fatalf("seed %d: something is left: %v, %v", seed, w.book.topics, w.server.subscribed)
	}
}

func TestWhatWasListenedToIsListenedToOnTheNextConnection(t *testing.T) {
	for seed := range uint64(500) {
		w := newWorld(t, seed)
		for i := range 200 {
			w.step(i)
		}
		before := make([]map[Topic]int, len(w.clients))
		for i, l := range w.clients {
			before[i] = maps.Clone(l.topics)
		}
		w.book.Lost()
		w.way, w.server = nil, server{subscribed: map[Topic]bool{}}
		for _, l := range w.clients {
			if l.busy != 0 {
				t.Fatalf("seed %d: client %s has not got its request back", seed, l.name)
			}
			l.told = nil
		}
		w.book.Renew()
		w.send(asked{})
		for w.server.serve(t) != nil {
		}
		for w.hear() {
		}
		for i, l := range w.clients {
			if l.told != nil || !maps.Equal(l.topics, before[i]) {
				t.Fatalf("seed %d: client %s was told %q", seed, l.name, l.told)
			}
		}
		w.checkServer(seed)
	}
}
