package eventloop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// log is a handler that tells the test what it is told.
type log struct {
	conn    Conn
	data    chan []byte
	half    chan bool
	closed  chan error
	flushed chan struct{}
}

func newLog(c Conn) *log {
	return &log{c, make(chan []byte, 1000), make(chan bool, 10), make(chan error, 10), make(chan struct{}, 1000)}
}

func (l *log) Data(p []byte)          { l.data <- bytes.Clone(p) }
func (l *log) Flush()                 { l.flushed <- struct{}{} }
func (l *log) HalfClosed(unread bool) { l.half <- unread }
func (l *log) Closed(err error)       { l.closed <- err }

// text returns the next n bytes that arrive.
func (l *log) text(t *testing.T, n int) string {
	t.Helper()
	var got []byte
	for len(got) < n {
		got = append(got, await(t, l.data)...)
	}
	return string(got)
}

// logged returns a pair whose handler is a log. With paused, reading is paused from the beginning.
func (f *fixture) logged(paused bool) (*log, net.Conn) {
	f.t.Helper()
	var h *log
	_, peer := f.pair(func(c Conn) Handler {
		h = newLog(c)
		if paused {
			c.PauseRead()
		}
		return h
	})
	return h, peer
}

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

func TestAPeerThatHasBeenClosedCanStillSend(t *testing.T) {
	// The other direction: this end has finished writing, and the peer sees so, but is heard on. The loop has no call
	// for that but Close, which discards what comes and does not let it destroy what was written.
	each(t, wires(), func(t *testing.T, f *fixture) {
		h, peer := f.logged(true)
		unread := noise(20 << 10)
		write(t, peer, unread)
		sent := noise(200 << 10)
		wrote := 0
		f.on(func() {
			n, err := h.conn.Write(sent)
			if err != nil {
				t.Error(err)
			}
			wrote = n
			h.conn.Close()
		})
		write(t, peer, []byte("too late"))
		if got, err := io.ReadAll(peer); err != nil || !bytes.Equal(got, sent[:wrote]) {
			t.Errorf("the peer received %d of %d bytes, %v", len(got), wrote, err)
		}
		if len(h.data) > 0 || len(h.half) > 0 || len(h.closed) > 0 {
			t.Error("the handler was told of something after Close")
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

func TestPauseReadInsideDataHoldsBackTheNextBytes(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		var c Conn
		got := make(chan string, 10)
		c, peer := f.pair(func(c Conn) Handler {
			return &script{data: func(p []byte) {
				c.PauseRead()
				got <- string(p)
			}}
		})
		for _, s := range []string{"a", "b", "c"} {
			write(t, peer, []byte(s))
			if g := await(t, got); g != s {
				t.Fatalf("received %q", g)
			}
			write(t, peer, []byte(s+s))
			f.turns(20)
			if len(got) > 0 {
				t.Fatal("received something while reading was paused")
			}
			f.on(c.ResumeRead)
			if g := await(t, got); g != s+s {
				t.Fatalf("received %q", g)
			}
			f.on(c.ResumeRead)
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

func TestResetDiscardsWhatWasWritten(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		h, peer := f.logged(false)
		sent := noise(overflow)
		f.on(func() {
			if _, err := h.conn.Write(sent); err != nil {
				t.Error(err)
			}
			h.conn.Reset()
			h.conn.Reset()
			h.conn.Close()
		})
		got, err := io.ReadAll(peer)
		if !f.wire.tls && f.wire.network != "unix" && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the peer read %d bytes and then %v", len(got), err)
		}
		if len(h.half) > 0 || len(h.closed) > 0 {
			t.Error("the handler was told of its own Reset")
		}
	})
}

func TestAConnectionWithoutAHandlerGetsWhatWasWrittenAndEnds(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		// The input is there before the end. Of input that comes after it, and after all output has arrived, TCP makes a
		// reset whoever serves; that is not the subject.
		written := make(chan struct{})
		f.serve(func(c Conn) Handler {
			<-written
			c.Flush()
			c.PauseRead()
			if n, err := c.Write([]byte("-ERR no\r\n")); n != 9 || err != nil {
				t.Errorf("Write = %d, %v", n, err)
			}
			return nil
		})
		peer := f.peer()
		peer.Write(noise(10 << 10)) // which nobody reads, so that it may fail
		close(written)
		if got, err := io.ReadAll(peer); err != nil || string(got) != "-ERR no\r\n" {
			t.Errorf("the peer received %q, %v", got, err)
		}
	})
}

func TestAConnectionWrittenFullBeforeItHasAHandlerGoesOnAfterwards(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		sent := noise(overflow)
		wrote := make(chan int, 1)
		flushed := make(chan struct{}, 1000)
		f.serve(func(c Conn) Handler {
			n, err := c.Write(sent)
			if err != nil || n == len(sent) {
				t.Errorf("Write = %d, %v", n, err)
			}
			wrote <- n
			return &script{flush: func() { flushed <- struct{}{} }}
		})
		peer := f.peer()
		handshake(t, peer)
		got := make([]byte, await(t, wrote))
		if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, sent[:len(got)]) {
			t.Errorf("other bytes arrived (%v)", err)
		}
		await(t, flushed)
	})
}

func TestAPeerThatTakesNothingDelaysNeitherCloseNorStopForLong(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		var conns []*log
		opened := make(chan struct{}, 2)
		f.serve(func(c Conn) Handler {
			h := newLog(c)
			conns = append(conns, h)
			opened <- struct{}{}
			return h
		})
		for range 2 {
			handshake(t, f.peer())
			await(t, opened)
		}
		before := openFiles()
		f.on(func() {
			for _, h := range conns {
				if _, err := h.conn.Write(noise(overflow)); err != nil {
					t.Error(err)
				}
			}
			conns[0].conn.Close()
		})
		if before >= 0 {
			eventually(t, "the closed connection's descriptor", func() bool { return openFiles() < before })
		}
		began := time.Now()
		f.stop()
		if d := time.Since(began); d > closeTimeout+5*time.Second {
			t.Errorf("Stop took %v", d)
		}
	})
}

func TestCloseInsideACallEndsTheCalls(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		ends := map[string]func(Conn){"Close": Conn.Close, "Reset": Conn.Reset}
		for name, end := range ends {
			calls := 0
			opened := make(chan struct{})
			done := make(chan struct{})
			stop := f.serve(func(c Conn) Handler {
				close(opened)
				return &script{
					data: func(p []byte) {
						calls++
						c.Flush()
						end(c)
						copy(p, "the buffer is the handler's until it returns")
						close(done)
					},
					flush:  func() { calls++ },
					half:   func(bool) { calls++ },
					closed: func(error) { calls++ },
				}
			})
			peer := f.peer()
			write(t, peer, noise(1000))
			await(t, opened)
			await(t, done)
			peer.Close()
			f.turns(10)
			f.on(func() {
				if calls != 1 {
					t.Errorf("%s: %d calls", name, calls)
				}
			})
			if f.wire.tls {
				return // stopping closes the listener
			}
			f.on(stop)
		}
	})
}
