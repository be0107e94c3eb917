package eventloop

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
)

// reset makes the peer vanish without the proper end of a connection.
func reset(t *testing.T, nc net.Conn) {
	t.Helper()
	if c, ok := nc.(*tls.Conn); ok {
		nc = c.NetConn()
	}
	if err := nc.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	nc.Close()
}

func TestAHalfClosedPeerCanStillBeAnswered(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		h, peer := f.logged(false)
		write(t, peer, []byte("question"))
		closeWrite(t, peer)
		if got := h.text(t, 8); got != "question" {
			t.Errorf("received %q", got)
		}
		if await(t, h.half) {
			t.Error("HalfClosed tells of unread bytes")
		}
		f.on(func() {
			if n, err := h.conn.Write([]byte("answer")); n != 6 || err != nil {
				t.Errorf("Write = %d, %v", n, err)
			}
			h.conn.PauseRead() // has nothing to pause
			h.conn.ResumeRead()
		})
		f.turns(3)
		f.on(h.conn.Close)
		if got, err := io.ReadAll(peer); err != nil || string(got) != "answer" {
			t.Errorf("the peer received %q, %v", got, err)
		}
		if len(h.half) > 0 || len(h.closed) > 0 {
			t.Error("the handler was told of the end twice")
		}
	})
}

func TestBytesBehindPauseReadFollowAfterTheEndWasTold(t *testing.T) {
	ends := map[string]func(*testing.T, net.Conn){
		"half-closed": closeWrite,
		"closed":      func(t *testing.T, nc net.Conn) { nc.Close() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			each(t, wires(), func(t *testing.T, f *fixture) {
				h, peer := f.logged(true)
				sent := noise(30 << 10)
				write(t, peer, sent)
				end(t, peer)
				if !await(t, h.half) {
					t.Fatal("HalfClosed does not tell of the unread bytes")
				}
				f.turns(20)
				if len(h.data) > 0 || len(h.half) > 0 || len(h.closed) > 0 {
					t.Fatal("the handler was told of something while it paused")
				}
				f.on(h.conn.ResumeRead)
				f.on(h.conn.PauseRead) // once more, before the end
				f.turns(3)
				f.on(h.conn.ResumeRead)
				if got := h.text(t, len(sent)); got != string(sent) {
					t.Error("other bytes arrived")
				}
				if await(t, h.half) {
					t.Error("the second HalfClosed tells of unread bytes")
				}
				f.on(h.conn.Close)
			})
		})
	}
}

func TestAnEndWithNothingBehindPauseReadIsTheEnd(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		h, peer := f.logged(true)
		closeWrite(t, peer)
		if await(t, h.half) {
			t.Error("HalfClosed tells of unread bytes")
		}
		f.on(h.conn.ResumeRead)
		f.turns(10)
		if len(h.half) > 0 || len(h.data) > 0 || len(h.closed) > 0 {
			t.Error("the handler was told of more than the end")
		}
	})
}

func TestAPeersResetIsNoticedWhileReadingIsPaused(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		if f.wire.network == "unix" {
			t.Skip("a Unix socket has no reset")
		}
		for _, unread := range []int{0, 5000} {
			opened := make(chan *log, 1)
			stop := f.serve(func(c Conn) Handler {
				h := newLog(c)
				c.PauseRead()
				opened <- h
				return h
			})
			peer := f.peer()
			handshake(t, peer)
			h := await(t, opened)
			write(t, peer, noise(unread))
			f.turns(3)
			reset(t, peer)
			if err := await(t, h.closed); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%d bytes unread: Closed(%v)", unread, err)
			}
			f.on(func() {
				if _, err := h.conn.Write([]byte("x")); !errors.Is(err, ErrClosed) {
					t.Errorf("%d bytes unread: Write afterwards: %v", unread, err)
				}
				h.conn.ResumeRead()
				h.conn.PauseRead()
				h.conn.Flush()
				h.conn.Reset()
				h.conn.Close()
			})
			f.turns(3)
			if len(h.closed) > 0 || len(h.data) > 0 || len(h.flushed) > 0 {
				t.Errorf("%d bytes unread: the handler was told of more than the end", unread)
			}
			if f.wire.tls {
				return // stopping has closed the listener
			}
			f.on(stop)
		}
	})
}

func TestAPeersResetAfterItsHalfCloseIsNoticed(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		h, peer := f.logged(false)
		closeWrite(t, peer)
		await(t, h.half)
		reset(t, peer)
		for { // the net driver notices when it writes, as does anyone without epoll
			var err error
			f.on(func() { _, err = h.conn.Write([]byte("x")) })
			if err != nil {
				break
			}
		}
		if err := await(t, h.closed); err == nil {
			t.Error("Closed(nil)")
		}
	})
}

func TestWritingToAPeerThatHasGoneEndsInClosed(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		h, peer := f.logged(false)
		peer.Close()
		for ok := true; ok; {
			select {
			case <-h.closed:
				ok = false
			default:
				f.on(func() { h.conn.Write([]byte("x")) }) // fails sooner or later
			}
		}
		f.turns(3)
		if len(h.closed) > 0 {
			t.Error("Closed was called twice")
		}
	})
}
