package transparency

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/understudy/understudy/resp"
)

// A script is a conversation, one step a line:
//
//	SET a "b c"          client main sends a command, and reads one reply
//	@b 2> SUBSCRIBE x y  client b sends a command, and reads two replies (0>: none, here or later)
//	@b 1<                client b reads one more reply
//	raw "PING\r\n"       bytes as they are
//	once "PING\r\n"      the same, never byte by byte: what is sent to a connection that closes may be lost
//	closed               the server closes the connection, without another byte
//	halfclose            the client sends nothing more
//	blocked 1            wait until that many clients block at the master
//	sync                 wait until the replicas have what the master has
//	id                   ask for the client's number, by which {b} stands for that of client b from then on
//	# text               a remark
//
// Words may be quoted as in redis-cli.
type script struct {
	name  string
	steps []step

	// before, if not nil, is called before each command is sent, while nobody watches with MONITOR.
	before func(step)
}

type step struct {
	line    string
	client  string
	verb    string // send, read, closed, halfclose, blocked, sync
	request []byte
	args    []string // of the command sent; nil for raw bytes
	once    bool     // the bytes go out together
	count   int      // replies to read, or clients blocked
}

// parseScript reads the script of a file.
func parseScript(t testing.TB, path string) script {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := script{name: strings.TrimSuffix(filepath.Base(path), ".txt")}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		st, err := parseStep(line)
		if err != nil {
			t.Fatalf("%s:%d: %v", path, number, err)
		}
		s.steps = append(s.steps, st)
	}
	return s
}

func parseStep(line string) (step, error) {
	st := step{line: line, client: "main", verb: "send", count: -1}
	rest := line
	if rest[0] == '@' {
		var name string
		name, rest, _ = strings.Cut(rest[1:], " ")
		st.client = name
	}
	if word, more, _ := strings.Cut(rest, " "); strings.HasSuffix(word, ">") || strings.HasSuffix(word, "<") {
		n, err := strconv.Atoi(word[:len(word)-1])
		if err != nil {
			return step{}, err
		}
		st.count = n
		if rest = more; strings.HasSuffix(word, "<") {
			st.verb = "read"
			return st, nil
		}
	}
	args, err := words(rest)
	if err != nil {
		return step{}, err
	}
	switch args[0] {
	case "closed", "halfclose", "sync", "id":
		st.verb = args[0]
		return st, nil
	case "blocked":
		st.verb = args[0]
		st.count, err = strconv.Atoi(args[1])
		return st, err
	case "raw", "once":
		st.once = args[0] == "once"
		st.request = []byte(strings.Join(args[1:], ""))
	default:
		st.request, st.args = request(args...), args
	}
	if st.count < 0 {
		st.count = 1
		if strings.HasSuffix(strings.ToUpper(args[0]), "SUBSCRIBE") {
			st.count = max(1, len(args)-1)
		}
	}
	return st, nil
}

// words splits a line as an inline request is split.
func words(line string) ([]string, error) {
	var p resp.RequestParser
	p.Limits.MaxInline = 1 << 20
	n, err := p.Parse([]byte(line + "\n"))
	if err != nil || n == 0 {
		return nil, fmt.Errorf("%q: %v", line, err)
	}
	var args []string
	for _, a := range p.Args {
		args = append(args, string(a))
	}
	return args, nil
}

// delivery is how the bytes of a script are sent.
type delivery int

const (
	oneByOne   delivery = iota // a command, its reply, the next command
	pipelined                  // what a client sends in a row, in one write
	byteByByte                 // the same, each byte in a segment of its own
)

func (d delivery) String() string { return [...]string{"one by one", "pipelined", "byte by byte"}[d] }

// run holds the conversation of a script with the server at addr and returns what was said, line by line.
func (s *script) run(t testing.TB, f *front, addr string, proto int, how delivery) []string {
	t.Helper()
	r := &runner{t: t, front: f, addr: addr, proto: proto, before: s.before, clients: map[string]*client{}, ids: map[string]string{}, monitor: map[string][]string{}}
	for i := 0; i < len(s.steps); {
		n := 1
		if how != oneByOne && s.steps[i].verb == "send" {
			for i+n < len(s.steps) && s.steps[i+n].verb == "send" && s.steps[i+n].client == s.steps[i].client {
				n++
			}
		}
		r.take(s.steps[i:i+n], how)
		i += n
	}
	for _, c := range r.clients {
		c.conn.Close()
	}
	return r.said
}

// runner is a script under way.
type runner struct {
	t       testing.TB
	front   *front
	addr    string
	proto   int
	before  func(step)
	clients map[string]*client
	ids     map[string]string   // numbers of clients by name
	monitor map[string][]string // by client, the MONITOR that makes of everything that follows a difference
	said    []string
}

func (r *runner) client(name string) *client {
	c := r.clients[name]
	if c == nil {
		c = dial(r.t, "tcp", r.addr)
		r.clients[name] = c
		if r.proto == 3 {
			c.do("HELLO", "3")
		}
	}
	return c
}

// take does one step, or several that only send.
func (r *runner) take(steps []step, how delivery) {
	r.t.Helper()
	c := r.client(steps[0].client)
	switch st := steps[0]; st.verb {
	case "closed":
		more, err := c.rest()
		if err != nil && !strings.Contains(err.Error(), "reset by peer") {
			r.say(st, fmt.Sprintf("not closed: %v", err))
		}
		r.say(st, strconv.Quote(more))
		return
	case "halfclose":
		if err := c.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			r.t.Fatal(err)
		}
		return
	case "blocked":
		waitBlocked(r.t, r.front.master(), st.count)
		return
	case "sync":
		if err := r.front.cluster.WaitInSync(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
		return
	case "id":
		r.ids[st.client] = strings.TrimSpace(c.do("CLIENT", "ID")[1:])
		return
	case "send":
		if r.before != nil && len(r.monitor) == 0 {
			r.before(steps[0])
		}
		var all []byte
		for _, st := range steps {
			all = append(all, r.withIDs(st)...)
		}
		if how == byteByByte && !steps[0].once {
			for i := range all {
				c.send(all[i : i+1])
			}
		} else {
			c.send(all)
		}
	}
	for _, st := range steps {
		r.say(st, "")
		if monitor := r.monitor[st.client]; monitor != nil {
			st.args = monitor
		}
		for range st.count {
			frame, err := c.next()
			for err == nil && r.monitor[st.client] != nil && ofTheProxy(frame) {
				frame, err = c.next()
			}
			if err != nil {
				r.say(st, fmt.Sprintf("no reply: %v, so far %q", err, c.buf))
				return
			}
			r.say(st, fmt.Sprintf("%q", r.withoutIDs(st.args, normalise(st.args, frame))))
			if len(st.args) > 0 && strings.EqualFold(st.args[0], "MONITOR") && frame[0] == '+' {
				r.monitor[st.client] = st.args
			}
		}
	}
}

// withIDs is the request of a step, with the numbers of clients in place of their names.
func (r *runner) withIDs(st step) []byte {
	if st.args == nil || !strings.Contains(st.line, "{") {
		return st.request
	}
	args := append([]string(nil), st.args...)
	for i := range args {
		for name, id := range r.ids {
			args[i] = strings.ReplaceAll(args[i], "{"+name+"}", id)
		}
	}
	return request(args...)
}

// withoutIDs puts the names of clients in place of numbers that are theirs, in frames that tell of redirections.
func (r *runner) withoutIDs(args []string, frame []byte) []byte {
	switch about := strings.ToUpper(strings.Join(args, " ")); {
	case about == "CLIENT GETREDIR", about == "CLIENT TRACKINGINFO", about == "EXEC":
	case !bytes.Contains(frame, []byte("tracking-redir-broken")):
		return frame
	}
	for name, id := range r.ids {
		frame = bytes.ReplaceAll(frame, []byte(":"+id+"\r\n"), []byte(":{"+name+"}\r\n"))
	}
	return frame
}

// ofTheProxy reports whether MONITOR shows how the proxy prepares a connection, or what it asks nodes for now and then. The server
// that is compared with is the master behind the proxy, so it is asked, too.
func ofTheProxy(frame []byte) bool {
	for _, own := range []string{`] "CLIENT" "`, `] "INFO" "`, `] "COMMAND" "`, `] "MODULE" "LIST"`, `] "ROLE"`, `] "TIME"`} {
		if bytes.Contains(frame, []byte(own)) {
			return true
		}
	}
	return false
}

func (r *runner) say(st step, what string) {
	if what == "" {
		r.said = append(r.said, st.line)
		return
	}
	r.said = append(r.said, "    "+what)
}

// compare reports where two accounts of a conversation differ.
func compare(t testing.TB, direct, proxied []string) {
	t.Helper()
	for i := range max(len(direct), len(proxied)) {
		a, b := "nothing", "nothing"
		if i < len(direct) {
			a = direct[i]
		}
		if i < len(proxied) {
			b = proxied[i]
		}
		if a == b {
			continue
		}
		from := max(0, i-4)
		var before []string
		for _, line := range direct[from:min(i, len(direct))] {
			before = append(before, excerpt(line, 0))
		}
		same := 0
		for same < min(len(a), len(b)) && a[same] == b[same] {
			same++
		}
		t.Errorf("after\n%s\nthe server says\n%s\nthe proxy\n%s", strings.Join(before, "\n"), excerpt(a, same), excerpt(b, same))
		return
	}
}

// excerpt is the part of a long line around an offset.
func excerpt(s string, around int) string {
	const radius = 150
	from, to := max(0, around-radius), min(len(s), around+radius)
	text := s[from:to]
	if from > 0 {
		text = "    ..." + text
	}
	if to < len(s) {
		text += "..."
	}
	return text
}

// clean brings the cluster back to where it was.
func clean(t testing.TB, f *front) {
	t.Helper()
	conn, err := f.master().Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, args := range [][]any{
		{"FLUSHALL"}, {"SCRIPT", "FLUSH"}, {"FUNCTION", "FLUSH"}, {"CONFIG", "RESETSTAT"}, {"SLOWLOG", "RESET"}, {"ACL", "LOG", "RESET"},
		{"CONFIG", "SET", "maxmemory-samples", "5"},
	} {
		if _, err := conn.Do(args[0].(string), args[1:]...); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	if err := f.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// runScripts holds every conversation in a folder with the master and with the proxy, in all ways.
func runScripts(t *testing.T, f *front, folder string) {
	files, err := filepath.Glob(filepath.Join(folder, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", folder, err)
	}
	for _, file := range files {
		s := parseScript(t, file)
		t.Run(s.name, func(t *testing.T) {
			for _, proto := range []int{2, 3} {
				for _, how := range []delivery{oneByOne, pipelined, byteByByte} {
					t.Run(fmt.Sprintf("RESP%d %v", proto, how), func(t *testing.T) {
						clean(t, f)
						direct := s.run(t, f, f.master().Addr, proto, how)
						clean(t, f)
						proxied := s.run(t, f, f.addr, proto, how)
						compare(t, direct, proxied)
						if how != oneByOne {
							return
						}
						for _, line := range direct {
							if bytes.Contains([]byte(line), []byte("no reply:")) {
								t.Errorf("the script expects a reply that does not come: %s", line)
							}
						}
					})
				}
			}
		})
	}
}
