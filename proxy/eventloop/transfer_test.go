package eventloop

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// echo sends back what it receives, and keeps little of it: it stops reading when the peer does.
type echo struct {
	conn   Conn
	out    []byte
	paused bool
	half   bool
	most   int // ever held
}

const echoLimit = 1 << 20

func newEcho(c Conn) Handler { return &echo{conn: c} }

func (e *echo) Data(p []byte) {
	e.out = append(e.out, p...)
	e.most = max(e.most, len(e.out))
	if len(e.out) > echoLimit && !e.paused {
		e.paused = true
		e.conn.PauseRead()
	}
	e.conn.Flush()
}

func (e *echo) Flush() {
	n, err := e.conn.Write(e.out)
	if err != nil {
		e.conn.Close()
		return
	}
	e.out = e.out[n:]
	if e.paused && len(e.out) < echoLimit/2 {
		e.paused = false
		e.conn.ResumeRead()
	}
	if e.half && len(e.out) == 0 {
		e.conn.Close()
	}
}

func (e *echo) HalfClosed(unread bool) {
	if !unread {
		e.half = true
		e.conn.Flush()
	}
}

func (e *echo) Closed(error) {}

func TestAnEchoReturnsWhatWasSentAndThenTheEnd(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		f.serve(newEcho)
		peer := f.peer()
		for _, size := range []int{1, 2, 100, 5000} {
			p := noise(size)
			write(t, peer, p)
			got := make([]byte, size)
			if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, p) {
				t.Fatalf("%d bytes: other bytes came back (%v)", size, err)
			}
		}
		closeWrite(t, peer)
		if rest, err := io.ReadAll(peer); err != nil || len(rest) > 0 {
			t.Fatalf("after the end: %q, %v", rest, err)
		}
	})
}

func TestALargeTransferBothWaysSurvivesASlowReader(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		var e *echo
		opened := make(chan struct{})
		f.serve(func(c Conn) Handler {
			e = &echo{conn: c}
			close(opened)
			return e
		})
		peer := f.peer()
		sent := noise(overflow)
		wrote := make(chan error, 1)
		go func() {
			_, err := peer.Write(sent)
			wrote <- errors.Join(err, peer.(interface{ CloseWrite() error }).CloseWrite())
		}()
		await(t, opened)
		// Nothing is read until nothing more can be on its way: the loop has stopped reading.
		eventually(t, "the loop to stop reading", func() bool {
			paused := false
			f.on(func() { paused = e.paused })
			return paused
		})
		got := make([]byte, 0, len(sent))
		for small := true; ; small = len(got) < 1<<20 {
			room := got[len(got):cap(got)]
			if small {
				room = room[:min(len(room), 700)]
			}
			n, err := peer.Read(room)
			got = got[:len(got)+n]
			if err == io.EOF || err == nil && len(got) == cap(got) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, sent) {
			t.Fatalf("%d other bytes came back", len(got))
		}
		if err := await(t, wrote); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(peer); err != nil || len(rest) > 0 {
			t.Fatalf("after the end: %d bytes, %v", len(rest), err)
		}
		f.on(func() {
			if e.most > echoLimit+readAhead+128<<10 {
				t.Errorf("the handler was given %d bytes although it had paused at %d", e.most, echoLimit)
			}
		})
	})
}

// sender sends buffers, several at a time.
type sender struct {
	script
	conn    Conn
	bufs    [][]byte
	shorts  int // writes that took less than they were given
	flushes int
	sent    int
	stuck   chan int // receives sent at the first short write
	done    chan struct{}
	batch   int // buffers for each call; 1 uses Write
}

func (s *sender) Flush() {
	s.flushes++
	for len(s.bufs) > 0 {
		batch := s.bufs[:min(len(s.bufs), s.batch)]
		want := 0
		for _, b := range batch {
			want += len(b)
		}
		var n int
		var err error
		if s.batch == 1 {
			n, err = s.conn.Write(batch[0])
		} else {
			n, err = s.conn.Writev(batch)
		}
		if err != nil {
			return // Closed follows
		}
		s.sent += n
		short := n < want
		for len(s.bufs) > 0 && n >= len(s.bufs[0]) {
			n -= len(s.bufs[0])
			s.bufs = s.bufs[1:]
			if n == 0 && short {
				break
			}
		}
		if len(s.bufs) > 0 {
			s.bufs[0] = s.bufs[0][n:]
		}
		if short {
			if s.shorts++; s.shorts == 1 {
				s.stuck <- s.sent
			}
			return
		}
	}
	close(s.done)
}

// cut divides p into buffers of many sizes, empty ones among them.
func cut(p []byte) [][]byte {
	var bufs [][]byte
	for i := 0; len(p) > 0; i++ {
		n := min(len(p), i*i%4099)
		bufs = append(bufs, p[:n])
		p = p[n:]
	}
	return bufs
}

func TestAShortWriteIsFollowedByFlushWhenThereIsRoom(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		var next *sender
		opened := make(chan Conn, 1)
		f.serve(func(c Conn) Handler {
			next.conn = c
			opened <- c
			return next
		})
		for _, batch := range []int{1, 7, 1000} {
			sent := noise(overflow)
			s := &sender{bufs: cut(sent), batch: batch, stuck: make(chan int, 1), done: make(chan struct{})}
			if batch == 1 {
				s.bufs = [][]byte{sent}
			}
			f.on(func() { next = s })
			peer := f.peer()
			handshake(t, peer)
			f.on(await(t, opened).Flush)
			if n := await(t, s.stuck); n == 0 || n >= len(sent) {
				t.Fatalf("%d buffers at a time: stuck after %d of %d bytes", batch, n, len(sent))
			}
			// The kernel may take some more for a moment; then a peer that does not read causes no more calls of Flush.
			eventually(t, "the calls of Flush to stop", func() bool {
				var before, after int
				f.on(func() { before = s.flushes })
				f.turns(20)
				f.on(func() { after = s.flushes })
				return before == after
			})
			got := make([]byte, len(sent))
			if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, sent) {
				t.Fatalf("%d buffers at a time: other bytes arrived (%v)", batch, err)
			}
			await(t, s.done)
			peer.Close()
		}
	})
}

func TestWritingNothingWritesNothing(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		heard := make(chan struct{})
		c, peer := f.pair(func(Conn) Handler { return &script{data: func([]byte) { close(heard) }} })
		write(t, peer, []byte("x"))
		await(t, heard) // a TLS connection is not ready for an orderly end before
		f.on(func() {
			if n, err := c.Write(nil); n != 0 || err != nil {
				t.Errorf("Write(nil) = %d, %v", n, err)
			}
			for _, bufs := range [][][]byte{nil, {nil}, {nil, nil}, make([][]byte, 200)} {
				if n, err := c.Writev(bufs); n != 0 || err != nil {
					t.Errorf("Writev of %d empty buffers = %d, %v", len(bufs), n, err)
				}
			}
			c.Close()
			if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, ErrClosed) {
				t.Errorf("Write after Close = %d, %v", n, err)
			}
			if n, err := c.Writev([][]byte{{'x'}, {'y'}}); n != 0 || !errors.Is(err, ErrClosed) {
				t.Errorf("Writev after Close = %d, %v", n, err)
			}
		})
		if got, err := io.ReadAll(peer); err != nil || len(got) > 0 {
			t.Errorf("the peer received %q, %v", got, err)
		}
	})
}

func TestFlushAsksForOneCallInTheSameTurnAndOneMoreIfAskedMeanwhile(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		calls := 0
		var c Conn
		c, _ = f.pair(func(Conn) Handler {
			return &script{flush: func() {
				if calls++; calls == 1 {
					c.Flush()
				}
			}}
		})
		f.on(func() {
			c.Flush()
			c.Flush()
			if calls != 0 {
				t.Error("the handler was called inside Flush")
			}
		})
		f.on(func() {
			if calls != 2 {
				t.Errorf("%d calls", calls)
			}
		})
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
