package console

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/resp"
)

// echo is an Admin that tells what it was asked.
type echo struct{ silent bool }

func (echo) Info() string { return "# Understudy\r\nepoch:7\r\n" }

func (e echo) Proxy(args [][]byte, proto int, by string, done func([]byte)) {
	if !e.silent {
		go done(resp.AppendBulkString(nil, fmt.Sprintf("%s proto=%d by=%s", bytes.Join(args, []byte(" ")), proto, by)))
	}
}

// listen serves an admin port until the end of the test, and returns its address.
func listen(t *testing.T, a Admin, password string) string {
	t.Helper()
	s, err := Listen("127.0.0.1:0", password, a, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.Addr().String()
}

func dial(t *testing.T, addr string, options ...redis.DialOption) redis.Conn {
	t.Helper()
	options = append(options, redis.DialReadTimeout(10*time.Second), redis.DialConnectTimeout(5*time.Second))
	c, err := redis.Dial("tcp", addr, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestThePortAnswersWhatOperatorsAskAndWhatLibrariesSayFirst(t *testing.T) {
	c := dial(t, listen(t, echo{}, ""))
	for _, x := range []struct{ ask, want string }{
		{"PING", "PONG"},
		{"PING hi", "hi"},
		{"INFO", "# Understudy\r\nepoch:7\r\n"},
		{"info UNDERSTUDY", "# Understudy\r\nepoch:7\r\n"},
		{"INFO replication", ""},
		{"CLIENT SETNAME deploy", "OK"},
		{"CLIENT GETNAME", "deploy"},
		{"CLIENT SETINFO LIB-NAME redigo", "OK"},
		{"SELECT 0", "OK"},
		{"proxy NODES", "proxy NODES proto=2 by=deploy at 127.0.0.1:"},
		{"FAILOVER TO a 1", "FAILOVER TO a 1 proto=2 by=deploy at 127.0.0.1:"},
		{"CLIENT SETNAME a\nb", "ERR Client names cannot"},
		{"CLIENT LIST", "ERR the admin port answers CLIENT"},
		{"GET k", "ERR unknown command 'GET'"},
		{"AUTH user of-the-nodes", "OK"},
		{"AUTH", "ERR wrong number of arguments for 'auth' command"},
		{"HELLO 4", "NOPROTO"},
		{"HELLO 2 SETNAME", "ERR Syntax error in HELLO option 'SETNAME'"},
		{"QUIT", "OK"},
	} {
		var args []any
		words := strings.Split(x.ask, " ")
		for _, a := range words[1:] {
			args = append(args, a)
		}
		reply, err := redis.String(c.Do(words[0], args...))
		if err != nil {
			reply = err.Error()
		}
		if !strings.HasPrefix(reply, x.want) || x.want == "" && reply != "" {
			t.Errorf("%s: %q, want %q", x.ask, reply, x.want)
		}
	}
	if _, err := c.Do("PING"); err == nil {
		t.Error("the connection lives on after QUIT")
	}
}

func TestWithAPasswordNothingIsToldBefore(t *testing.T) {
	addr := listen(t, echo{}, "sesame")
	c := dial(t, addr)
	for _, ask := range [][]any{{"PROXY", "NODES"}, {"INFO"}, {"PING"}, {"FAILOVER"}, {"HELLO", "3"}, {"AUTH", "wrong"}, {"AUTH", "other", "sesame"}, {"PROXY", "NODES"}} {
		if reply, err := c.Do(ask[0].(string), ask[1:]...); err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") && !strings.HasPrefix(err.Error(), "WRONGPASS") {
			t.Errorf("%v: %v, %v", ask, reply, err)
		}
	}
	if reply, err := c.Do("AUTH", "default", "sesame"); reply != "OK" || err != nil {
		t.Errorf("AUTH: %v, %v", reply, err)
	}
	if reply, err := redis.String(c.Do("PROXY", "NODES")); err != nil || !strings.HasPrefix(reply, "PROXY NODES") {
		t.Errorf("PROXY NODES: %q, %v", reply, err)
	}
	if reply, err := dial(t, addr, redis.DialPassword("sesame")).Do("PING"); reply != "PONG" || err != nil {
		t.Errorf("PING: %v, %v", reply, err)
	}
}

func TestHelloChangesTheProtocolOfReplies(t *testing.T) {
	c, err := net.Dial("tcp", listen(t, echo{}, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(c, "HELLO 3 SETNAME x\r\nINFO\r\nPROXY HELP\r\nQUIT\r\n")
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"%3\r\n$6\r\nserver\r\n$10\r\nunderstudy\r\n$5\r\nproto\r\n:3\r\n", "=27\r\ntxt:# Understudy", "PROXY HELP proto=3 by=x at 127", "+OK\r\n"} {
		if !strings.Contains(string(got), part) {
			t.Errorf("no %q in %q", part, got)
		}
	}
}

func TestBytesThatEndRedconsReaderEndInAnErrorAndTheOthersAreServed(t *testing.T) {
	addr := listen(t, echo{}, "")
	many := strings.Builder{}
	many.WriteString("*160000\r\n")
	for range 160000 {
		many.WriteString("$1\r\na\r\n")
	}
	for input, want := range map[string]string{
		"*1\r\n$9223372036854775807\r\n":                  "-ERR Protocol error: invalid bulk length\r\n",
		"*1000000000\r\n":                                 "-ERR Protocol error: invalid multibulk length\r\n",
		"PING\r\n*1\r\n$4\r\nPING\r\n*1\r\n:4\r\n":        "+PONG\r\n+PONG\r\n-ERR Protocol error: expected '$', got ':'\r\n",
		"PING \"\r\n":                                     "-ERR Protocol error: unbalanced quotes in request\r\n",
		strings.Repeat("x", 70<<10):                       "-ERR Protocol error: too big inline request\r\n",
		many.String():                                     "-ERR Protocol error: invalid multibulk length\r\n",
		"*2\r\n$4\r\nPING\r\n$5000\r\n":                   "-ERR Protocol error: invalid bulk length\r\n",
		"*0\r\n*-1\r\n\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n":   "+PONG\r\n+OK\r\n",
		"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\nrubbish": "+PONG\r\n+OK\r\n",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		go io.WriteString(c, input) // the server may hang up before it has read everything
		got, _ := bufio.NewReader(c).Peek(len(want))
		if string(got) != want {
			t.Errorf("%.40q: %q, want %q", input, got, want)
		}
		c.Close()
	}
	if reply, err := dial(t, addr).Do("PING"); reply != "PONG" || err != nil {
		t.Errorf("afterwards: %v, %v", reply, err)
	}
}

func TestARequestMayArriveByteByByte(t *testing.T) {
	c, err := net.Dial("tcp", listen(t, echo{}, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	for _, b := range resp.AppendRequestStrings(nil, "PING", strings.Repeat("x", 4000)) {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	want := "$4000\r\n" + strings.Repeat("x", 4000) + "\r\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Errorf("%v, %.20q", err, got)
	}
}

func TestTooManyOperatorsAreToldSo(t *testing.T) {
	addr := listen(t, echo{}, "")
	for range maxConns {
		if _, err := dial(t, addr).Do("PING"); err != nil {
			t.Fatal(err)
		}
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.ReadAll(c); err != nil || string(got) != "-ERR max number of clients reached\r\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestCloseEndsConnectionsThatWaitForAnAnswer(t *testing.T) {
	s, err := Listen("127.0.0.1:0", "", echo{silent: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, s.Addr().String())
	if err := c.Send("PROXY", "FAILOVER"); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // returns when nothing is served any more
		t.Error(err)
	}
	if _, err := c.Receive(); err == nil {
		t.Error("an answer came")
	}
}

func TestAnAddressInUseIsSaid(t *testing.T) {
	addr := listen(t, echo{}, "")
	if _, err := Listen(addr, "", echo{}, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("%v", err)
	}
}

// FuzzFramer hands whatever bytes to redcon's reader by way of the framer, cut up in pieces.
func FuzzFramer(f *testing.F) {
	for _, seed := range []string{"*1\r\n$9223372036854775807\r\n", "PING\r\n", "*2\r\n$4\r\nPING\r\n$1\r\na\r\n", "*1000000000\r\n", "\"", "*-1\r\n*0\r\n\r\n"} {
		f.Add([]byte(seed), byte(1))
	}
	f.Fuzz(func(t *testing.T, input []byte, piece byte) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			for rest := input; len(rest) > 0; {
				n := min(len(rest), int(piece)+1)
				if _, err := theirs.Write(rest[:n]); err != nil {
					return
				}
				rest = rest[n:]
			}
		}()
		go io.Copy(io.Discard, theirs)
		framed := &framer{Conn: ours, parser: resp.RequestParser{Limits: limits}}
		defer ours.Close()
		var want [][]byte
		naive := resp.RequestParser{Limits: limits}
		for rest := input; ; {
			n, err := naive.Parse(rest)
			if n == 0 || err != nil {
				break
			}
			if len(naive.Args) > 0 {
				want = append(want, resp.AppendRequest(nil, naive.Args...))
			}
			rest = rest[n:]
			naive.Reset()
		}
		var got []byte
		buf := make([]byte, 7)
		for {
			n, err := framed.Read(buf)
			got = append(got, buf[:n]...)
			if err != nil {
				break
			}
		}
		if all := bytes.Join(want, nil); !bytes.Equal(got, all) {
			t.Fatalf("%q was handed over, want %q", got, all)
		}
	})
}
