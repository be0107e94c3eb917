package eventloop

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// dialer returns how to connect to a wire's listener.
func (w wire) dialer() DialFunc {
	if w.tls {
		return (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext
	}
	return (&net.Dialer{}).DialContext
}

func TestADialledConnectionIsServed(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		f.serve(newEcho)
		h := make(chan *log, 1)
		f.on(func() {
			f.loop.Dial(t.Context(), f.wire.dialer(), f.wire.network, f.ln.Addr().String(), func(c Conn, err error) Handler {
				if err != nil {
					t.Error(err)
					return nil
				}
				l := newLog(c)
				if n, err := c.Write([]byte("question")); n != 8 || err != nil {
					t.Errorf("Write = %d, %v", n, err)
				}
				h <- l
				return l
			})
		})
		l := await(t, h)
		if got := l.text(t, 8); got != "question" {
			t.Errorf("received %q", got)
		}
		if got, want := l.conn.RemoteAddr().String(), f.ln.Addr().String(); got != want {
			t.Errorf("RemoteAddr is %v, not %v", got, want)
		}
		if l.conn.LocalAddr() == nil {
			t.Error("LocalAddr is unknown")
		}
		f.on(l.conn.Close)
	})
}

func TestADialledConnectionThatNobodyWantsIsClosed(t *testing.T) {
	refusals := map[string]func(c Conn) Handler{
		"no handler":        func(Conn) Handler { return nil },
		"closed":            func(c Conn) Handler { c.Close(); return &script{} },
		"reset, no handler": func(c Conn) Handler { c.Reset(); return nil },
	}
	each(t, drivers(), func(t *testing.T, f *fixture) {
		for name, refuse := range refusals {
			f.on(func() {
				f.loop.Dial(t.Context(), f.wire.dialer(), f.wire.network, f.ln.Addr().String(), func(c Conn, err error) Handler {
					if err != nil {
						t.Error(err)
						return nil
					}
					return refuse(c)
				})
			})
			nc, err := f.ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			nc.SetDeadline(time.Now().Add(patience))
			if got, err := io.ReadAll(nc); len(got) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%s: read %q, %v", name, got, err)
			}
			nc.Close()
		}
	})
}

// failure dials and returns the error with which done is called.
func (f *fixture) failure(ctx context.Context, dial DialFunc, addr string) error {
	f.t.Helper()
	failed := make(chan error, 2)
	f.on(func() {
		f.loop.Dial(ctx, dial, f.wire.network, addr, func(c Conn, err error) Handler {
			if c != nil {
				f.t.Error("done was called with a connection")
			}
			failed <- err
			return nil
		})
	})
	err := await(f.t, failed)
	f.turns(2)
	if len(failed) > 0 {
		f.t.Error("done was called twice")
	}
	return err
}

// hang is a DialFunc that waits for its context to end.
func hang(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestDialTellsWhyItFailed(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		// A port that nobody listens on, and nobody else gets: this socket holds it.
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		nc, err := net.Dial("tcp4", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		defer ln.Close()
		if err := f.failure(t.Context(), f.wire.dialer(), nc.LocalAddr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refused: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := f.failure(ctx, hang, "nowhere"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("timed out: %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if err := f.failure(ctx, f.wire.dialer(), f.ln.Addr().String()); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestStopCancelsDialAndDoneHearsOfItBeforeRunReturns(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		dialling := make(chan struct{})
		answers := make(chan error, 2)
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			close(dialling)
			return hang(ctx, network, addr)
		}
		f.on(func() {
			f.loop.Dial(t.Context(), dial, "", "", func(c Conn, err error) Handler {
				answers <- err
				// Who tries again is not served for ever.
				again := func(context.Context, string, string) (net.Conn, error) {
					t.Error("an attempt was made by a loop that had ended")
					return nil, net.ErrClosed
				}
				f.loop.Dial(t.Context(), again, "", "", func(Conn, error) Handler {
					t.Error("done was called by a loop that had ended")
					return nil
				})
				return nil
			})
		})
		await(t, dialling)
		f.stop()
		if len(answers) != 1 {
			t.Fatal("done was not called before Run returned")
		}
		if err := <-answers; !errors.Is(err, context.Canceled) {
			t.Errorf("the attempt failed with %v", err)
		}
	})
}

func TestAConnectionThatComesAfterStopIsClosed(t *testing.T) {
	each(t, drivers(), func(t *testing.T, f *fixture) {
		here, there := make(chan net.Conn, 1), make(chan struct{})
		dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
			close(there)
			<-ctx.Done() // the loop has ended, but the connection is made all the same
			nc, err := (&net.Dialer{}).DialContext(context.WithoutCancel(ctx), network, addr)
			here <- nc
			return nc, err
		}
		answers := make(chan error, 1)
		f.on(func() {
			f.loop.Dial(t.Context(), dial, f.wire.network, f.ln.Addr().String(), func(c Conn, err error) Handler {
				answers <- err
				return nil
			})
		})
		await(t, there)
		f.stop()
		if err := await(t, answers); !errors.Is(err, ErrClosed) {
			t.Errorf("done was told %v", err)
		}
		if _, err := (<-here).Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the connection is open: %v", err)
		}
	})
}
