package promise

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy/understudy/topology"
)

// answering starts a server that answers every request with reply, and counts connections. end ends it with all its
// connections.
func answering(t *testing.T, reply string, connections *atomic.Int64, asked func(args string)) (addr string, end func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			running.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(ctx, func() { conn.Close() })()
				r := bufio.NewReader(conn)
				for {
					args, err := read(r)
					if err != nil {
						return
					}
					asked(args)
					if _, err := io.WriteString(conn, reply+"\r\n"); err != nil {
						return
					}
				}
			})
		}
	})
	end = func() {
		cancel()
		listener.Close() // a second time at the end of the test, which does no harm
		running.Wait()
	}
	t.Cleanup(end)
	return listener.Addr().String(), end
}

// read reads one request as a client sends it.
func read(r *bufio.Reader) (args string, err error) {
	var count int
	if _, err := fmt.Fscanf(r, "*%d\r\n", &count); err != nil {
		return "", err
	}
	var list []string
	for range count {
		var arg string
		var length int
		if _, err := fmt.Fscanf(r, "$%d\r\n%s\r\n", &length, &arg); err != nil {
			return "", err
		}
		list = append(list, arg)
	}
	return strings.Join(list, " "), nil
}

var request = topology.PromiseRequest{Identity: "c0ffee", ID: "m", Version: 7, Epoch: 3, Duration: 6 * time.Second}

// within is how long a test waits for an answer.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestAnAnswerIsAPromiseOnlyIfItIsTheElectorsOwn(t *testing.T) {
	for reply, why := range map[string]string{
		"+PROMISED x": "",
		"+PROMISED y": "is the address of y",
		"-NOPROMISE y this member is in contact with ZooKeeper":        "is the address of y",
		"-NOPROMISE x this member is in contact with ZooKeeper":        "this member is in contact with ZooKeeper",
		"-NOAUTH Authentication required.":                             "no member of this cluster: NOAUTH",
		"-ERR unknown command 'PROXY', with args beginning with: 'PR'": "no member of this cluster: ERR unknown command",
		"+OK":          "is no member",
		"$-1":          "cannot be asked",
		"$6\r\nPROMIS": "is no member",
		"gibberish":    "cannot be asked",
	} {
		t.Run(reply, func(t *testing.T) {
			var got string
			addr, _ := answering(t, reply, new(atomic.Int64), func(args string) { got = args })
			err := NewClient().Promise(within(t, 5*time.Second), topology.Elector{ID: "x", Addr: addr}, request)
			if why == "" && err != nil || why != "" && (err == nil || !strings.Contains(err.Error(), why)) {
				t.Errorf("it says %v, not %q", err, why)
			}
			var refusal topology.Refusal
			if own := strings.HasPrefix(reply, "-NOPROMISE x "); errors.As(err, &refusal) != own {
				t.Errorf("that it is the elector's own refusal is %v: %v", !own, err)
			}
			if want := "PROXY PROMISE c0ffee m 7 3 6000"; got != want {
				t.Errorf("asked was %q, not %q", got, want)
			}
		})
	}
}

func TestAConnectionIsKeptAndReplacedWhenItIsLost(t *testing.T) {
	var connections atomic.Int64
	c := NewClient()
	addr, end := answering(t, "+PROMISED x", &connections, func(string) {})
	e := topology.Elector{ID: "x", Addr: addr}
	for range 3 {
		if err := c.Promise(within(t, 5*time.Second), e, request); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for three promises", n)
	}
	end()
	err := c.Promise(within(t, 5*time.Second), e, request)
	if err == nil || !strings.Contains(err.Error(), addr+" cannot be asked") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody is there, and it says %v", err)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 1024)); err == nil {
			fmt.Fprint(conn, "+PROMISED x\r\n")
		}
	}()
	if err := c.Promise(within(t, 5*time.Second), e, request); err != nil {
		t.Errorf("it is back, and there is no promise: %v", err)
	}
}

func TestSilenceIsWaitedForNoLongerThanAllowed(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // whose connections nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	began := time.Now()
	err = NewClient().Promise(within(t, 100*time.Millisecond), topology.Elector{ID: "x", Addr: listener.Addr().String()}, request)
	var timeout interface{ Timeout() bool }
	if err == nil || !errors.Is(err, context.DeadlineExceeded) && !(errors.As(err, &timeout) && timeout.Timeout()) {
		t.Errorf("it says %v", err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}
