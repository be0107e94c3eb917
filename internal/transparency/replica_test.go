package transparency

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy/command"
)

// TestConversationsWithReplicasAreThoseWithTheServer holds the conversations as a user does who configures nothing: reads
// go to replicas. Each read waits until they have what was written before, so that it is a replica that answers.
func TestConversationsWithReplicasAreThoseWithTheServer(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2, "--slowlog-log-slower-than", "-1"), nil)
	r := newReadership(f)
	files, err := filepath.Glob("testdata/plain/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		s := parseScript(t, file)
		if s.name == "pause" {
			continue // nobody is answered while it waits
		}
		for _, proto := range []int{2, 3} {
			t.Run(fmt.Sprintf("%s RESP%d", s.name, proto), func(t *testing.T) {
				clean(t, f)
				direct := s.run(t, f, f.master().Addr, proto, oneByOne)
				clean(t, f)
				patient := s
				patient.before = func(st step) { r.before(t, st) }
				proxied := patient.run(t, f, f.addr, proto, oneByOne)
				compare(t, ofTheNode(direct), ofTheNode(proxied))
			})
		}
	}
	// Some of what is a read in the table is sent to the master all the same: within MULTI, with tracking, by a user.
	if got := readsOfReplicas(t, f.cluster); got < r.reads/2 {
		t.Errorf("replicas answered %d of some %d reads", got, r.reads)
	}
	refused := false
	for _, node := range f.cluster.Nodes[1:] {
		info, err := node.Info("errorstats")
		if err != nil {
			t.Fatal(err)
		}
		refused = refused || info["errorstat_READONLY"] != ""
	}
	if !refused {
		t.Error("no replica was asked what it refuses because it might write")
	}
}

// ofTheNode takes out of what was said that which is each node's own affair.
func ofTheNode(said []string) []string {
	said = slices.Clone(said)
	own := func(reply string) string { return reply }
	for i, line := range said {
		if reply, isReply := strings.CutPrefix(line, "    "); isReply {
			said[i] = own(reply)
			continue
		}
		words := strings.Fields(line)
		if strings.HasPrefix(words[0], "@") {
			words = words[1:]
		}
		own = func(reply string) string { return reply }
		switch strings.ToUpper(words[0]) {
		case "KEYS", "SMEMBERS", "SINTER", "SUNION", "SDIFF", "SRANDMEMBER", "HGETALL", "HKEYS", "HVALS", "HRANDFIELD":
			own = func(reply string) string { // the order of a hash table
				lines := strings.Split(strings.Trim(reply, `"`), `\r\n`)
				slices.Sort(lines)
				return strings.Join(lines, " ")
			}
		case "SCAN", "SSCAN", "HSCAN", "ZSCAN": // what a place in another node's table holds
			own = func(reply string) string { return strings.Trim(reply[:2], "0123456789N") }
		case "DBSIZE": // keys whose time is over count until they are removed
			own = func(reply string) string { return reply[:2] }
		}
	}
	return said
}

// readership knows whether replicas have all that was written.
type readership struct {
	f     *front
	probe *client // whose only command, DBSIZE, a replica may answer that has everything
	stats []redis.Conn
	wrote bool
	reads int // that replicas should have answered
}

func newReadership(f *front) *readership {
	r := &readership{f: f, probe: f.dial()}
	for _, node := range f.cluster.Nodes[1:] {
		conn, err := node.Dial()
		if err != nil {
			f.t.Fatal(err)
		}
		f.t.Cleanup(func() { conn.Close() })
		r.stats = append(r.stats, conn)
	}
	return r
}

// before waits for the replicas if a read comes after something else.
func (r *readership) before(t *testing.T, st step) {
	t.Helper()
	args := make([][]byte, len(st.args))
	for i, a := range st.args {
		args[i] = []byte(a)
	}
	if len(args) == 0 {
		r.wrote = true
		return
	}
	if _, class := command.Builtin().Classify(args); class != command.Read {
		r.wrote = true
		return
	}
	r.reads++
	if r.wrote {
		r.await(t)
		r.wrote = false
	}
}

// await waits until a replica answers a read that is about everything.
func (r *readership) await(t *testing.T) {
	t.Helper()
	testcluster.WaitFor(t, "a replica that has what was written", func() bool {
		before := r.calls(t)
		r.probe.do("DBSIZE")
		return r.calls(t) != before
	})
}

// calls is how often replicas have carried out DBSIZE.
func (r *readership) calls(t *testing.T) string {
	t.Helper()
	var all string
	for _, conn := range r.stats {
		text, err := redis.String(conn.Do("INFO", "commandstats"))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(text, "cmdstat_dbsize:")
		calls, _, _ := strings.Cut(rest, ",")
		all += calls + " "
	}
	return all
}

func TestAnErrorOfAScriptThatReplicasDoNotHaveIsTheClients(t *testing.T) {
	f := newFront(t, testcluster.New(t, 1), nil)
	sha, err := redis.String(must(t, f.master(), "SCRIPT", "LOAD", "return redis.error_reply('READONLY says the script')"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := f.dial()
	c.expect("-READONLY says the script", "EVALSHA_RO", sha, "0")
	c.expect("+OK", "WATCH", "a")
	c.expect("-READONLY says the script", "EVALSHA_RO", sha, "0")
}
