package eventloop

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestSeveralLoopsServeOneListenerAndEachStopsByItself(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		if f.wire.tls {
			t.Skip("a TLS listener ends with the first loop that stops")
		}
		other, err := f.wire.driver()
		if err != nil {
			t.Fatal(err)
		}
		var served, servedOther atomic.Int32
		if _, err := other.Listen(f.ln, func(c Conn) Handler {
			servedOther.Add(1)
			return newEcho(c)
		}); err != nil {
			t.Fatal(err)
		}
		stop := f.serve(func(c Conn) Handler {
			served.Add(1)
			return newEcho(c)
		})
		ran := make(chan error, 1)
		go func() { ran <- other.Run() }()
		exchange := func() {
			t.Helper()
			peer := f.peer()
			write(t, peer, []byte("x"))
			if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			peer.Close()
		}
		for range 20 {
			exchange()
		}
		f.on(func() {
			stop()
			stop()
		})
		before := served.Load()
		for range 20 {
			exchange()
		}
		if served.Load() != before || before+servedOther.Load() != 40 {
			t.Errorf("served %d, then %d; the other %d", before, served.Load()-before, servedOther.Load())
		}
		other.Stop()
		if err := await(t, ran); err != nil {
			t.Error(err)
		}
		// Nobody accepts, and the listener is still its owner's.
		peer := f.peer()
		nc, err := f.ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
		peer.Close()
	})
}

// faulty is a listener that fails a few times first, and has no descriptor.
type faulty struct {
	net.Listener
	errs []error
}

func (l *faulty) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	return l.Listener.Accept()
}

func TestTheNetDriverGoesOnAcceptingAfterAFailure(t *testing.T) {
	f := start(t, wires()[0])
	f.ln = &faulty{f.ln, []error{syscall.EMFILE, syscall.ECONNABORTED}}
	f.serve(newEcho)
	peer := f.peer()
	write(t, peer, []byte("x"))
	if _, err := io.ReadFull(peer, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestAListenerThatFailsForEverDoesNotDelayStop(t *testing.T) {
	f := start(t, wires()[0])
	errs := make([]error, 1000)
	for i := range errs {
		errs[i] = syscall.EMFILE
	}
	f.ln = &faulty{f.ln, errs}
	f.serve(newEcho)
	f.stop()
}

func TestAddressesAreThoseOfTheSocketsAlsoAfterTheEnd(t *testing.T) {
	each(t, wires(), func(t *testing.T, f *fixture) {
		c, peer := f.pair(func(Conn) Handler { return &script{} })
		for range 2 {
			if got, want := c.LocalAddr(), peer.RemoteAddr(); got.Network() != want.Network() || got.String() != want.String() {
				t.Errorf("LocalAddr is %v, not %v", got, want)
			}
			if got, want := c.RemoteAddr(), peer.LocalAddr(); got.Network() != want.Network() || f.wire.network != "unix" && got.String() != want.String() {
				t.Errorf("RemoteAddr is %v, not %v", got, want)
			}
			f.on(c.Close)
		}
	})
}
