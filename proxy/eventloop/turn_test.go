package eventloop

import (
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"
)

// two returns two connections of the loop, each with the handler that open gives it, and their peers.
func (f *fixture) two(open func(i int, c Conn) Handler) (conns [2]Conn, peers [2]net.Conn, stop func()) {
	f.t.Helper()
	i := 0
	opened := make(chan struct{}, 2)
	stop = f.serve(func(c Conn) Handler {
		conns[i] = c
		h := open(i, c)
		i++
		opened <- struct{}{}
		return h
	})
	for i := range peers { // one after the other, so that each has its own index
		peers[i] = f.peer()
		await(f.t, opened)
	}
	return conns, peers, stop
}

// inOneTurn keeps the loop busy while prepare runs, so that all that it causes is found in the turn after.
func (f *fixture) inOneTurn(prepare func()) {
	f.t.Helper()
	busy, free := make(chan struct{}), make(chan struct{})
	f.loop.Post(func() {
		close(busy)
		<-free
	})
	await(f.t, busy)
	prepare()
	close(free)
	f.turns(3)
}

func TestAConnectionClosedInTheTurnInWhichItHasDataGetsNoMore(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		if f.wire.tls {
			t.Skip("the same driver, with bytes that arrive when they like")
		}
		for _, end := range []func(Conn){Conn.Close, Conn.Reset} {
			var conns [2]Conn
			calls := 0
			other := func(i int) {
				calls++
				end(conns[1-i])
			}
			conns, peers, stop := f.two(func(i int, c Conn) Handler {
				conns[i] = c
				return &script{
					data:   func([]byte) { other(i) },
					half:   func(bool) { other(i) },
					closed: func(error) { t.Error("a closed connection heard of its end") },
				}
			})
			f.inOneTurn(func() {
				for _, p := range peers {
					write(t, p, []byte("x"))
				}
				if l, ok := f.loop.(*netLoop); ok {
					eventually(t, "both readers", func() bool {
						l.mu.Lock()
						defer l.mu.Unlock()
						return len(l.posted) == 2
					})
				}
			})
			f.on(func() {
				if calls != 1 {
					t.Errorf("%d calls", calls)
				}
				stop()
				conns[0].Close()
				conns[1].Close()
			})
		}
	})
}

func TestAConnectionClosedByAFlushOrATimerOfTheTurnIsNotFlushed(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		var conns [2]Conn
		flushes := 0
		conns, _, _ = f.two(func(i int, c Conn) Handler {
			return &script{flush: func() {
				flushes++
				conns[1-i].Close()
			}}
		})
		f.on(func() {
			conns[0].Flush()
			conns[1].Flush()
		})
		f.on(func() {
			if flushes != 1 {
				t.Errorf("%d calls of Flush", flushes)
			}
			flushes = 0
			conns[0].Flush()
			f.loop.After(0, conns[0].Close)
			blockUntil(time.Now().Add(time.Millisecond))
		})
		f.turns(2)
		f.on(func() {
			if flushes > 1 { // the timer may come a turn later
				t.Errorf("%d calls of Flush", flushes)
			}
		})
	})
}

func TestThousandsOfConnectionsLeaveNothingBehind(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		cycles := 2000
		if f.wire.tls {
			cycles = 300 // a handshake costs a thousand times more
		}
		i := 0
		f.serve(func(c Conn) Handler {
			i++
			switch i % 5 {
			case 0:
				return nil
			case 1: // left to the peer
				return &script{half: func(bool) { c.Close() }}
			case 2: // closed at the first byte
				return &script{data: func([]byte) { c.Close() }, half: func(bool) { c.Close() }}
			case 3: // paused, with something unread
				c.PauseRead()
				return &script{half: func(bool) { c.Reset() }}
			}
			return newEcho(c)
		})
		// The first ones leave what stays open for good.
		f.churn(10)
		f.quiet()
		goroutines, files := runtime.NumGoroutine(), openFiles()
		f.churn(cycles)
		f.quiet()
		eventually(t, "the goroutines of the connections to end", func() bool { return runtime.NumGoroutine() <= goroutines })
		eventually(t, "the descriptors of the connections to be closed", func() bool { return openFiles() <= files })
	})
}

// churn connects and disconnects n times, two at a time, and waits until the loop has seen every end.
func (f *fixture) churn(n int) {
	f.t.Helper()
	var all sync.WaitGroup
	addr := f.ln.Addr()
	for range 2 {
		all.Go(func() {
			for i := range n / 2 {
				nc, err := net.DialTimeout(addr.Network(), addr.String(), patience)
				if err != nil {
					f.t.Error(err)
					return
				}
				nc.SetDeadline(time.Now().Add(patience))
				if f.wire.tls {
					nc = tlsClient(nc)
				}
				nc.Write([]byte("*2\r\n$3\r\nGE")) // half a command; the loop may have closed already
				if i%3 == 0 {
					nc.(interface{ CloseWrite() error }).CloseWrite()
					io.Copy(io.Discard, nc) // until the loop ends it, one way or another
				}
				nc.Close()
			}
		})
	}
	all.Wait()
}

// quiet waits until the loop has no connections and no descriptors of closed ones.
func (f *fixture) quiet() {
	f.t.Helper()
	eventually(f.t, "the connections to end", func() bool {
		n := 0
		f.on(func() { n = f.loop.(interface{ population() int }).population() })
		return n == 0
	})
}

func (l *netLoop) population() int { return len(l.conns) + int(l.lingering.Load()) }
