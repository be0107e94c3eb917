package eventloop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = time.Minute

// wire is a driver with the kind of connection that it is tested on.
type wire struct {
	name    string
	driver  func() (Loop, error)
	network string
	addr    string // to listen on; empty for a Unix socket
	tls     bool
}

// wires returns every combination that this system has.
func wires() []wire {
	ws := []wire{
		{"net over TCP", NewNet, "tcp4", "127.0.0.1:0", false},
		{"net over IPv6", NewNet, "tcp6", "[::1]:0", false},
		{"net over a Unix socket", NewNet, "unix", "", false},
		{"net over TLS", NewNet, "tcp4", "127.0.0.1:0", true},
	}
	if runtime.GOOS == "linux" {
		ws = append(ws,
			wire{"epoll over TCP", New, "tcp4", "127.0.0.1:0", false},
			wire{"epoll over IPv6", New, "tcp6", "[::1]:0", false},
			wire{"epoll over a Unix socket", New, "unix", "", false})
	}
	return ws
}

// drivers returns one wire for each driver.
func drivers() []wire {
	var ws []wire
	for _, w := range wires() {
		if w.network == "tcp4" && !w.tls {
			ws = append(ws, w)
		}
	}
	return ws
}

// fixture is a running loop and a listener that it serves.
type fixture struct {
	t    *testing.T
	wire wire
	loop Loop
	ln   net.Listener
	ran  chan struct{} // closed when Run has returned
	err  error         // what it returned
}

// each runs test on every wire, and afterwards checks that the loop has left nothing behind.
func each(t *testing.T, ws []wire, test func(t *testing.T, f *fixture)) {
	for _, w := range ws {
		t.Run(w.name, func(t *testing.T) { test(t, start(t, w)) })
	}
}

func start(t *testing.T, w wire) *fixture {
	t.Helper()
	addr := w.addr
	if w.network == "unix" {
		dir, err := os.MkdirTemp("", "loop") // t.TempDir may be too long for a socket's path
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		addr = filepath.Join(dir, "s")
	}
	ln, err := net.Listen(w.network, addr)
	if w.network == "tcp6" && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)) {
		t.Skipf("the loopback interface has no IPv6 address (give it one: ip address add ::1/128 dev lo): %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	goroutines, files := runtime.NumGoroutine(), openFiles()
	l, err := w.driver()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, wire: w, loop: l, ln: ln, ran: make(chan struct{})}
	if w.tls {
		f.ln = tls.NewListener(ln, serverTLS())
	}
	go func() {
		defer close(f.ran)
		f.err = l.Run()
	}()
	t.Cleanup(func() {
		f.stop()
		f.ln.Close()
		eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
		if files >= 0 {
			eventually(t, "the descriptors to be closed", func() bool { return openFiles() < files })
		}
	})
	return f
}

// stop ends the loop and waits for it.
func (f *fixture) stop() {
	f.t.Helper()
	f.loop.Stop()
	await(f.t, f.ran)
	if f.err != nil {
		f.t.Errorf("Run returned %v", f.err)
	}
}

// on runs fn on the loop and waits until it has returned.
func (f *fixture) on(fn func()) {
	f.t.Helper()
	done := make(chan struct{})
	f.loop.Post(func() {
		defer close(done)
		fn()
	})
	await(f.t, done)
}

// turns waits until the loop has begun and ended n more turns.
func (f *fixture) turns(n int) {
	f.t.Helper()
	for range n {
		f.on(func() {})
	}
}

// serve gives each connection that is accepted the handler that open returns, and returns what stops that.
func (f *fixture) serve(open func(Conn) Handler) (stop func()) {
	f.t.Helper()
	var err error
	f.on(func() { stop, err = f.loop.Listen(f.ln, open) })
	if err != nil {
		f.t.Fatal(err)
	}
	return stop
}

// peer connects to the loop with a blocking connection. It is closed at the end of the test.
func (f *fixture) peer() net.Conn {
	f.t.Helper()
	addr := f.ln.Addr()
	nc, err := net.DialTimeout(addr.Network(), addr.String(), patience)
	if err != nil {
		f.t.Fatal(err)
	}
	if f.wire.tls {
		nc = tlsClient(nc)
	}
	nc.SetDeadline(time.Now().Add(patience))
	f.t.Cleanup(func() { nc.Close() })
	return nc
}

// pair returns a connection of the loop with the handler that open gives it, and the peer's end of it.
func (f *fixture) pair(open func(Conn) Handler) (Conn, net.Conn) {
	f.t.Helper()
	opened := make(chan Conn, 1)
	stop := f.serve(func(c Conn) Handler {
		h := open(c)
		opened <- c
		return h
	})
	peer := f.peer()
	handshake(f.t, peer)
	c := await(f.t, opened)
	if !f.wire.tls { // whose listener would be closed
		f.on(stop)
	}
	return c, peer
}

// script is a handler made of functions; nil ones do nothing.
type script struct {
	data   func(p []byte)
	flush  func()
	half   func(unread bool)
	closed func(err error)
}

func (s *script) Data(p []byte) {
	if s.data != nil {
		s.data(p)
	}
}

func (s *script) Flush() {
	if s.flush != nil {
		s.flush()
	}
}

func (s *script) HalfClosed(unread bool) {
	if s.half != nil {
		s.half(unread)
	}
}

func (s *script) Closed(err error) {
	if s.closed != nil {
		s.closed(err)
	}
}

// await returns what comes from ch, and gives up when nothing does.
func await[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		buf := make([]byte, 64<<10)
		t.Fatalf("waited in vain\n%s", buf[:runtime.Stack(buf, true)])
		panic("unreachable")
	}
}

// eventually waits for a condition that nobody announces.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	deadline := time.After(patience)
	for !cond() {
		select {
		case <-again.C:
		case <-deadline:
			buf := make([]byte, 64<<10)
			t.Fatalf("waited in vain for %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

// openFiles returns how many descriptors the process has open, or -1 where that cannot be told.
func openFiles() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(entries)
}

func tlsClient(nc net.Conn) *tls.Conn {
	return tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) // the certificate is made up by the test
}

// handshake makes a TLS connection ready; any other is.
func handshake(t *testing.T, nc net.Conn) {
	t.Helper()
	if c, ok := nc.(*tls.Conn); ok {
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
	}
}

// closeWrite says that the peer sends nothing more.
func closeWrite(t *testing.T, nc net.Conn) {
	t.Helper()
	if err := nc.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// write sends everything.
func write(t *testing.T, nc net.Conn, p []byte) {
	t.Helper()
	if _, err := nc.Write(p); err != nil {
		t.Fatal(err)
	}
}

// serverTLS returns the configuration of a server with a certificate of its own.
var serverTLS = sync.OnceValue(func() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
})

// overflow is more bytes than the system and a driver buffer for a connection whose peer does not read.
const overflow = 12 << 20

// noise returns n bytes in which a lost, doubled or swapped piece shows. They are not to be changed.
func noise(n int) []byte { return noises()[:n:n] }

var noises = sync.OnceValue(func() []byte {
	p := make([]byte, overflow)
	x := uint32(2463534242)
	for i := range p {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		p[i] = byte(x)
	}
	return p
})
