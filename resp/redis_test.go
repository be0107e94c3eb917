package resp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These tests ask a real redis-server what it makes of a stream, and compare its answer, byte for byte, with that of a
// responder behind RequestParser.

// startRedis starts a server that ends with the test and returns the path of its socket. A unix socket needs no free port.
func startRedis(t *testing.T, options ...string) (socket string) {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatal("this test compares with a real server: install redis-server, or put it into PATH")
	}
	dir, err := os.MkdirTemp("", "resp") // t.TempDir may be too long for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	server := exec.Command(binary, append([]string{"--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir}, options...)...)
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Process.Kill(); err != nil {
			t.Error(err)
		}
		var killed *exec.ExitError
		if err := server.Wait(); err != nil && !errors.As(err, &killed) {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	var log strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		log.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "ready to accept connections") {
			// What the server logs later must not fill the pipe.
			go io.Copy(io.Discard, out) //nolint:errcheck // ends with the process
			return socket
		}
	}
	t.Fatalf("redis-server did not start:\n%s", log.String())
	return ""
}

// askRedis sends a stream to a server, in pieces, and returns all that the server answers until it closes. It closes when it
// meets an error or the end of the stream; at the end it drops what it has not sent of a long answer, so a stream with one
// must end with QUIT instead.
func askRedis(t *testing.T, socket, stream string, next func() int) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// The server may close, and so refuse the rest, once it has met an error.
	gone := func(err error) bool { return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) }
	quits := strings.HasSuffix(stream, "QUIT\r\n")
	sent := make(chan error, 1)
	go func() {
		for stream != "" {
			k := min(max(next(), 1), len(stream))
			if _, err := io.WriteString(conn, stream[:k]); err != nil {
				sent <- err
				return
			}
			stream = stream[k:]
		}
		if quits {
			sent <- nil
			return
		}
		sent <- conn.(*net.UnixConn).CloseWrite()
	}()
	answer, err := io.ReadAll(conn)
	if err != nil && !gone(err) {
		t.Fatalf("reading the answer: %v", err)
	}
	if err := <-sent; err != nil && !gone(err) {
		t.Fatalf("sending the stream: %v", err)
	}
	return string(answer)
}

// responder answers the few commands of the streams as redis-server 7.0 does.
type responder struct {
	lists    map[string][]string
	needAuth bool
}

func (r *responder) answer(dst []byte, args []string) []byte {
	name := strings.ToLower(args[0])
	arity := map[string]bool{"echo": len(args) == 2, "rpush": len(args) >= 3, "rpushx": len(args) >= 3}
	fits, isKnown := arity[name]
	switch {
	case isKnown && !fits:
		return AppendError(dst, "ERR wrong number of arguments for '"+name+"' command")
	case isKnown && r.needAuth:
		return AppendError(dst, "NOAUTH Authentication required.")
	case name == "echo":
		return AppendBulkString(dst, args[1])
	case name == "rpushx" && len(r.lists[args[1]]) == 0: // chance spells this one now and then
		return AppendInt(dst, 0)
	case name == "rpush" || name == "rpushx":
		r.lists[args[1]] = append(r.lists[args[1]], args[2:]...)
		return AppendInt(dst, int64(len(r.lists[args[1]])))
	}
	// C strings: what is behind a NUL is not shown.
	visible := func(s string, max int) string {
		s, _, _ = strings.Cut(s, "\x00")
		return s[:min(len(s), max)]
	}
	shown := ""
	for _, arg := range args[1:] {
		if len(shown) >= 128 {
			break
		}
		shown += "'" + visible(arg, 128-len(shown)) + "' "
	}
	text := fmt.Sprintf("ERR unknown command '%s', with args beginning with: %s", visible(args[0], 128), shown)
	return AppendError(dst, text)
}

// expected is what a server behind RequestParser answers to stream.
func (r *responder) expected(stream string, l Limits) string {
	requests, _, errText := requestsOf(stream, l, inOnePiece)
	var answer []byte
	for _, request := range requests {
		if len(request.args) > 0 {
			answer = r.answer(answer, request.args)
		}
	}
	if errText != "" {
		answer = AppendError(answer, "ERR "+errText)
	}
	return string(answer)
}

// compareWithRedis sends a stream to a fresh database and to the responder.
func compareWithRedis(t *testing.T, socket, stream string, next func() int, needAuth bool) {
	t.Helper()
	limits := DefaultLimits
	if needAuth {
		limits = UnauthenticatedLimits
	}
	r := responder{lists: map[string][]string{}, needAuth: needAuth}
	want := r.expected(stream, limits)
	if got := askRedis(t, socket, stream, next); got != want {
		t.Errorf("%s: the server answers %s, want %s", quote(stream), quote(got), quote(want))
	}
	if len(r.lists) == 0 {
		return
	}
	// Error texts show arguments only up to a NUL or a length; the lists show them whole.
	var question, wantLists []byte
	for key, list := range r.lists {
		question = AppendRequestStrings(question, "LRANGE", key, "0", "-1")
		wantLists = AppendArray(wantLists, len(list))
		for _, element := range list {
			wantLists = AppendBulkString(wantLists, element)
		}
	}
	question = AppendRequestStrings(question, "FLUSHALL")
	wantLists = AppendSimple(wantLists, "OK")
	if got := askRedis(t, socket, string(question), inOnePiece); !bytes.Equal([]byte(got), wantLists) {
		t.Errorf("%s: the server's lists are %s, want %s", quote(stream), quote(got), quote(string(wantLists)))
	}
}

func TestOddRequestsMeanTheSameToARealServer(t *testing.T) {
	socket := startRedis(t)
	for _, stream := range oddRequests {
		compareWithRedis(t, socket, stream, inOnePiece, false)
		compareWithRedis(t, socket, stream, byteByByte, false)
	}
}

func TestOddRequestsMeanTheSameToARealServerBeforeAuthentication(t *testing.T) {
	socket := startRedis(t, "--requirepass", "secret")
	for _, stream := range oddRequests {
		compareWithRedis(t, socket, stream, inOnePiece, true)
		compareWithRedis(t, socket, stream, byteByByte, true)
	}
}

func TestRandomRequestsMeanTheSameToARealServer(t *testing.T) {
	socket := startRedis(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		pieces := rand.New(rand.NewPCG(rng.Uint64(), 0))
		compareWithRedis(t, socket, randomRequests(rng), func() int { return pieces.IntN(40) }, false)
	}
}

func TestReencodedRequestsMeanTheSameToARealServer(t *testing.T) {
	socket := startRedis(t)
	for _, stream := range oddRequests {
		requests, _, _ := requestsOf(stream, DefaultLimits, inOnePiece)
		r := responder{lists: map[string][]string{}}
		var reencoded, want []byte
		for _, request := range requests {
			if len(request.args) == 0 {
				continue
			}
			reencoded = AppendRequestStrings(reencoded, request.args...)
			want = r.answer(want, request.args)
		}
		if got := askRedis(t, socket, string(reencoded)+"FLUSHALL\r\n", inOnePiece); got != string(want)+"+OK\r\n" {
			t.Errorf("%s as %s: the server answers %s, want %s", quote(stream), quote(string(reencoded)), quote(got), quote(string(want)))
		}
	}
}

func TestRepliesOfARealServerAreFramed(t *testing.T) {
	socket := startRedis(t, "--enable-debug-command", "yes")
	types := []string{"string", "integer", "double", "null", "array", "set", "map", "attrib", "push", "verbatim", "true", "false", "bignum"}
	for _, hello := range []string{"HELLO 2", "HELLO 3"} {
		questions := []string{hello}
		for _, name := range types {
			if name == "attrib" && hello == "HELLO 2" {
				continue // refused: RESP2 has no attributes
			}
			questions = append(questions, "DEBUG PROTOCOL "+name)
		}
		questions = append(questions, "COMMAND", "COMMAND DOCS", "INFO everything", "CONFIG GET *", "ACL LOG", "XADD s 1-1 f v", "XADD s 1-2 f v",
			"XINFO STREAM s FULL", "XRANGE s - +", "GET none", "BLPOP none 0.01", "EVAL 'return {1,{2,{3,{\"x\",false}}}}' 0", "NOSUCH", "SUBSCRIBE ch", "QUIT")
		answer := askRedis(t, socket, strings.Join(questions, "\r\n")+"\r\n", inOnePiece)
		var s ReplyScanner
		var ends []int
		for at := 0; at < len(answer); {
			n, done, err := s.Scan([]byte(answer[at:]))
			if err != nil || !done {
				t.Fatalf("%s: at %s: %d bytes, done %v, error %v", hello, quote(answer[at:]), n, done, err)
			}
			v, decoded, err := Decode([]byte(answer[at:]))
			if decoded != n || err != nil {
				t.Errorf("%s: %s decodes to %s, %d bytes, error %v; want %d", hello, quote(answer[at:at+n]), show(v), decoded, err, n)
			}
			at += n
			ends = append(ends, at)
		}
		want := len(questions)
		if hello == "HELLO 3" {
			want++ // DEBUG PROTOCOL push sends its push message and an ordinary reply behind it
		}
		if len(ends) != want {
			t.Errorf("%s: %d replies to %d questions, want %d", hello, len(ends), len(questions), want)
		}
		s.Reset()
		if got, broke := repliesOf(t, &s, answer, byteByByte); broke || !equalInts(got, ends) {
			t.Errorf("%s: byte by byte the replies end at %v, broken %v; want %v", hello, got, broke, ends)
		}
	}
}
