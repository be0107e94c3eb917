package guard_test

import (
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/guard"
	"github.com/understudy/understudy/resp"
)

// limit is how long a call may take before the test gives up on it.
const limit = 10 * time.Second

// ask returns what redigo makes of the bytes that a server sends, in pieces as the network may cut them.
func ask(t *testing.T, sent string, pieces int) (any, error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	served := make(chan struct{})
	go func() {
		defer close(served)
		nc, err := listener.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		for len(sent) > 0 {
			n, err := nc.Write([]byte(sent[:min(len(sent), pieces)]))
			if err != nil { // the other side has had enough
				return
			}
			sent = sent[n:]
		}
	}()
	defer func() { <-served }()
	nc, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn := redis.NewConn(guard.Conn(trickle{nc, pieces}), limit, limit)
	defer conn.Close()
	return conn.Receive()
}

// trickle reads no more than so many bytes at a time.
type trickle struct {
	net.Conn
	pieces int
}

func (c trickle) Read(p []byte) (int, error) {
	if c.pieces == 1 {
		return iotest.OneByteReader(c.Conn).Read(p)
	}
	return c.Conn.Read(p)
}

func TestWhatNoServerSendsIsAnErrorThatNamesWhoSentIt(t *testing.T) {
	for name, sent := range map[string]string{
		"a length beyond all memory":     "$9223372036854775807\r\nxxxx",
		"a length beyond this machine's": "$100000000000\r\nxxxx",
		"a length beyond the limit":      "$67108865\r\n",
		"a count beyond all memory":      "*9223372036854775807\r\n",
		"a count beyond the limit":       "*1048577\r\n",
		"counts beyond the limit":        "*1\r\n*1000000\r\n*100000\r\n",
		"arrays without an end":          strings.Repeat("*1\r\n", 2000),
		"a negative count":               "*-2\r\n",
		"no reply at all":                "HTTP/1.1 400 Bad Request\r\n",
	} {
		for _, pieces := range []int{1, 64 << 10} {
			_, err := ask(t, sent, pieces)
			var nonsense *guard.Error
			if !errors.As(err, &nonsense) || !strings.Contains(err.Error(), "127.0.0.1:") || !strings.Contains(err.Error(), "no Redis server sends") {
				t.Errorf("%s, in pieces of %d: %v", name, pieces, err)
			}
		}
	}
}

func TestRepliesPassUnchangedHoweverTheyAreCut(t *testing.T) {
	large := strings.Repeat("id=1 addr=127.0.0.1:1\n", 100_000)
	for name, c := range map[string]struct {
		sent string
		want any
	}{
		"status":  {"+OK\r\n", "OK"},
		"error":   {"-LOADING wait\r\n", redis.Error("LOADING wait")},
		"integer": {":-7\r\n", int64(-7)},
		"null":    {"$-1\r\n", nil},
		"string":  {"$4\r\n\r\n\r\n\r\n", []byte("\r\n\r\n")},
		"arrays":  {"*2\r\n*1\r\n:1\r\n*-1\r\n", []any{[]any{int64(1)}, nil}},
		"large":   {string(resp.AppendBulkString(nil, large)), []byte(large)},
	} {
		for _, pieces := range []int{1, 7, 64 << 10} {
			if pieces < 64<<10 && len(c.sent) > 1<<20 {
				continue
			}
			got, err := ask(t, c.sent, pieces)
			if reply, is := c.want.(redis.Error); is {
				if !errors.Is(err, reply) {
					t.Errorf("%s, in pieces of %d: %v", name, pieces, err)
				}
			} else if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s, in pieces of %d: %.40v, %v", name, pieces, got, err)
			}
		}
	}
}

func TestAnErrorStays(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go theirs.Write([]byte("nonsense\r\n")) // ends with the pipe at the latest
	c, err := guard.Dial(func(context.Context, string, string) (net.Conn, error) { return ours, nil })(context.Background(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, first := c.Read(make([]byte, 100))
	_, second := c.Read(make([]byte, 100))
	if first == nil || first != second {
		t.Errorf("%v, then %v", first, second)
	}
}

// endless is a server that goes on with the same line.
type endless struct{ net.Conn }

func (endless) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '+'
	}
	return len(p), nil
}

func TestALineWithoutAnEndEndsAtTheLimit(t *testing.T) {
	c := guard.Conn(endless{})
	room, read := make([]byte, 1<<20), 0
	for {
		n, err := c.Read(room)
		if read += n; err != nil {
			if want := "127.0.0.1:1 sent what no Redis server sends: a reply of more than 64 MB"; err.Error() != want || read > 64<<20 {
				t.Errorf("after %d bytes: %v; want %s", read, err, want)
			}
			return
		}
	}
}
