package eventloop

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func (l *epoll) population() int {
	n := -len(l.acceptors)
	for _, f := range l.files {
		if f.source != nil {
			n++
		}
	}
	return n
}

// newEpoll returns an epoll loop that the test turns by hand.
func newEpoll(t *testing.T) *epoll {
	t.Helper()
	loop, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		loop.Stop()
		if err := loop.Run(); err != nil {
			t.Error(err)
		}
	})
	return loop.(*epoll)
}

// attached returns a connection of l with handler h, and the descriptor of its peer.
func attached(t *testing.T, l *epoll, h Handler) (*epollConn, int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[1]) })
	c := l.adopt(fds[0], &net.UnixAddr{Net: "unix"}, nil)
	c.attach(h)
	return c, fds[1]
}

func turn(t *testing.T, l *epoll) {
	t.Helper()
	if _, err := l.turn(); err != nil {
		t.Fatal(err)
	}
}

func TestAnEventOfAClosedConnectionDoesNotReachTheNextHolderOfItsDescriptor(t *testing.T) {
	l := newEpoll(t)
	var conns []*epollConn
	calls, successors := 0, 0
	replace := func(me int) func([]byte) {
		return func([]byte) {
			calls++
			other := conns[1-me]
			other.Reset()
			successor, there := attached(t, l, &script{
				data: func([]byte) { successors++ },
			})
			if successor.fd != other.fd {
				t.Fatalf("the kernel gave out descriptor %d, not %d", successor.fd, other.fd)
			}
			if _, err := unix.Write(there, []byte("y")); err != nil { // the event of which is still to be fetched
				t.Fatal(err)
			}
		}
	}
	for i := range 2 {
		c, peer := attached(t, l, &script{data: replace(i)})
		conns = append(conns, c)
		if _, err := unix.Write(peer, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	n, err := l.wait()
	if err != nil || n != 2 {
		t.Fatalf("%d events, %v", n, err)
	}
	l.dispatch(l.events[:n])
	if calls != 1 || successors != 0 {
		t.Fatalf("%d calls, and %d of the next holder in the same turn", calls, successors)
	}
	turn(t, l)
	if successors != 1 {
		t.Errorf("%d calls of the next holder in the next turn", successors)
	}
}

func TestNeitherAStoppedListenerNorAParkedConnectionKeepsTheLoopTurning(t *testing.T) {
	l := newEpoll(t)
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // open until then: its socket outlives the loop's duplicate
	stop, err := l.Listen(ln, newEcho)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	nc, err := net.Dial("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()

	ends := 0
	c, peer := attached(t, l, &script{half: func(bool) { ends++ }})
	c.PauseRead()
	if _, err := unix.Write(peer, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Shutdown(peer, unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	turn(t, l)
	if ends != 1 || !c.parked {
		t.Errorf("after the first turn: told of %d ends, parked %v", ends, c.parked)
	}
	for range 3 {
		l.wake()
		n, err := l.wait()
		if err != nil || n != 1 || int(l.events[0].Fd) != l.eventfd {
			t.Fatalf("%d events, %v", n, err)
		}
	}
	if n, err := unix.EpollWait(l.fd, l.events[:], 0); n != 0 || err != nil {
		t.Errorf("%d events where there is nothing to do, %v", n, err)
	}
}

func TestNothingIsWrittenToADescriptorThatTheLoopHasClosed(t *testing.T) {
	loop, err := NewEpoll()
	if err != nil {
		t.Fatal(err)
	}
	l := loop.(*epoll)
	l.Stop()
	if err := l.Run(); err != nil {
		t.Fatal(err)
	}
	// Somebody else gets the descriptors' numbers.
	var others []int
	for len(others) < 2 || others[len(others)-1] < l.eventfd {
		fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		others = append(others, fd)
	}
	for range 3 {
		l.Post(func() {})
		l.Stop()
	}
	for _, fd := range others {
		if n, err := unix.Read(fd, make([]byte, 8)); err != unix.EAGAIN {
			t.Errorf("descriptor %d: read %d bytes, %v", fd, n, err)
		}
	}
}

func TestWithoutDescriptorsAcceptingRestsAndGoesOnLater(t *testing.T) {
	f := start(t, wire{"", NewEpoll, "tcp4", "127.0.0.1:0", false})
	f.serve(newEcho)
	resting := func() (yes bool) {
		f.on(func() {
			for a := range f.loop.(*epoll).acceptors {
				yes = f.loop.(*epoll).files[a.fd].source == nil
			}
		})
		return yes
	}
	addr := f.ln.Addr().(*net.TCPAddr)
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(client), "client")
	defer file.Close()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	// Every number below the limit is taken: the next accept fails.
	low := limit
	low.Cur = lowestFree(t)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	err = unix.Connect(client, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())})
	if err == nil {
		eventually(t, "the accepting to rest", resting)
	}
	if restore := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || restore != nil {
		t.Fatal(err, restore)
	}
	if _, err := unix.Write(client, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Read(client, make([]byte, 8)); n != 1 || err != nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	if resting() {
		t.Error("the accepting still rests")
	}
}

// lowestFree returns the number that the next descriptor will have.
func lowestFree(t *testing.T) uint64 {
	t.Helper()
	fd, err := unix.Dup(0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	return uint64(fd)
}

func TestWhatHasNoDescriptorIsRefused(t *testing.T) {
	f := start(t, wire{"", NewEpoll, "tcp4", "127.0.0.1:0", false})
	here, there := net.Pipe()
	defer there.Close()
	dial := func(context.Context, string, string) (net.Conn, error) { return here, nil }
	if err := f.failure(t.Context(), dial, ""); err == nil || !strings.Contains(err.Error(), "*net.pipe") {
		t.Errorf("Dial: %v", err)
	}
	if _, err := there.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection that was refused is open: %v", err)
	}
	f.on(func() {
		if _, err := f.loop.Listen(&faulty{Listener: f.ln}, newEcho); err == nil || !strings.Contains(err.Error(), "*eventloop.faulty") {
			t.Errorf("Listen: %v", err)
		}
	})
}

func TestTheHotPathAllocatesNothing(t *testing.T) {
	l := newEpoll(t)
	var c *epollConn
	out := [][]byte{[]byte("+O"), []byte("K\r\n")}
	read := 0
	c, peer := attached(t, l, &script{
		data: func(p []byte) {
			read += len(p)
			c.Flush()
		},
		flush: func() {
			if _, err := c.Writev(out); err != nil {
				t.Error(err)
			}
			if _, err := c.Write(out[0]); err != nil {
				t.Error(err)
			}
			c.PauseRead()
			c.ResumeRead()
		},
	})
	request, answer := []byte("*1\r\n$4\r\nPING\r\n"), make([]byte, 64)
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := unix.Write(peer, request); err != nil {
			t.Error(err)
		}
		turn(t, l)
		if n, err := unix.Read(peer, answer); n != 7 || err != nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per turn", n)
	}
	if read != 1001*len(request) {
		t.Errorf("read %d bytes", read)
	}
}
