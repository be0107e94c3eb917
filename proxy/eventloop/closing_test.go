package eventloop

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"
)

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
