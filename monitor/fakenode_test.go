package monitor

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// fakeNode is a scripted redis-server, on a listener or on pipes. Its fields may be changed by set while it serves.
type fakeNode struct {
	mu      sync.Mutex
	info    string            // the answer to INFO
	errors  map[string]string // the error with which a command is answered, by its first word
	mute    bool              // it answers nothing
	refuse  bool              // connecting through dial is refused
	dark    bool              // connecting through dial times out
	fails   error             // what connecting through dial fails with
	seen    []string          // the commands received, but for those that watching sends
	conns   map[net.Conn]bool
	waiting sync.WaitGroup
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (f *fakeNode) set(change func(*fakeNode)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// dial is a DialFunc that connects to the node by a pipe.
func (f *fakeNode) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	f.mu.Lock()
	refuse, dark, fails := f.refuse, f.dark, f.fails
	f.mu.Unlock()
	switch {
	case dark:
		<-ctx.Done()
		return nil, ctx.Err()
	case fails != nil:
		return nil, fails
	case refuse:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	ours, theirs := net.Pipe()
	f.accept(theirs)
	return ours, nil
}

// cut ends all connections, as the death of the process does.
func (f *fakeNode) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.Close()
	}
}

func (f *fakeNode) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			f.cut()
			f.waiting.Wait()
			return
		}
		f.accept(c)
	}
}

func (f *fakeNode) accept(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conns == nil {
		f.conns = make(map[net.Conn]bool)
	}
	f.conns[c] = true
	f.waiting.Go(func() {
		f.converse(c)
		f.mu.Lock()
		delete(f.conns, c)
		f.mu.Unlock()
	})
}

// converse answers until the connection ends.
func (f *fakeNode) converse(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	replies := make(chan string, 1000)
	var writing sync.WaitGroup
	defer writing.Wait()
	defer close(replies)
	// Replies are written beside reading: a pipe has no buffer, and a pipeline would lock up.
	writing.Go(func() {
		for reply := range replies {
			if _, err := io.WriteString(c, reply); err != nil {
				c.Close()
			}
		}
	})
	for {
		args, err := readCommand(r)
		if err != nil {
			return
		}
		f.mu.Lock()
		reply, mute := f.answer(args), f.mute
		f.mu.Unlock()
		if !mute {
			replies <- reply
		}
	}
}

// answer returns the reply to one command.
func (f *fakeNode) answer(args []string) string {
	name := strings.ToUpper(args[0])
	switch name {
	case "INFO", "PING", "SUBSCRIBE", "AUTH":
	case "CLIENT":
		if strings.EqualFold(args[1], "KILL") {
			f.seen = append(f.seen, strings.Join(args, " "))
		}
	default:
		f.seen = append(f.seen, strings.Join(args, " "))
	}
	if text, ok := f.errors[name]; ok {
		return "-" + text + "\r\n"
	}
	switch name {
	case "INFO":
		return fmt.Sprintf("$%d\r\n%s\r\n", len(f.info), f.info)
	case "PING":
		return "+PONG\r\n"
	case "SUBSCRIBE":
		return fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n", len(args[1]), args[1])
	}
	return "+OK\r\n"
}

func readCommand(r *bufio.Reader) ([]string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "*")))
	if err != nil {
		return nil, err
	}
	args := make([]string, n)
	for i := range args {
		head, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
		if err != nil {
			return nil, err
		}
		b := make([]byte, size+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil, err
		}
		args[i] = string(b[:size])
	}
	return args, nil
}
