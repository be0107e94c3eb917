package command

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

// words splits a request at spaces; "" stands for an empty argument.
func words(request string) [][]byte {
	var args [][]byte
	for _, w := range strings.Fields(request) {
		if w == `""` {
			w = ""
		}
		args = append(args, []byte(w))
	}
	return args
}

// call sends a request and returns the reply; an error reply is the error.
func call(conn redis.Conn, args [][]byte) (any, error) {
	rest := make([]any, 0, len(args))
	for _, a := range args[1:] {
		rest = append(rest, a)
	}
	return conn.Do(string(args[0]), rest...)
}

func dial(t *testing.T, r *testcluster.Redis) redis.Conn {
	t.Helper()
	conn, err := r.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// rawReply is the raw reply of a server to inline commands, followed by that to QUIT.
func rawReply(t *testing.T, r *testcluster.Redis, commands string) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, commands+"\r\nQUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	reply, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestEveryCommandOfARealServerIsBuiltInWithItsArityAndFlags(t *testing.T) {
	server := testcluster.NewRedis(t)
	conn := dial(t, server)
	var check func(entries []any)
	n := 0
	check = func(entries []any) {
		for _, e := range entries {
			fields := e.([]any)
			name := strings.ToUpper(string(fields[0].([]byte)))
			arity := int(fields[1].(int64))
			var flags []string
			for _, f := range fields[2].([]any) {
				flags = append(flags, f.(string))
			}
			var args [][]byte
			for _, part := range strings.Split(name, "|") {
				args = append(args, []byte(part))
			}
			c := Builtin().Lookup(args)
			if c.Name != name {
				t.Errorf("%s is not in the built-in table", name)
				continue
			}
			if c.Arity != arity {
				t.Errorf("%s has arity %d in the table and %d on the server", name, c.Arity, arity)
			}
			have := strings.Fields(c.Flags.String())
			slices.Sort(have)
			slices.Sort(flags)
			if !slices.Equal(have, flags) {
				t.Errorf("%s has flags %v in the table and %v on the server", name, have, flags)
			}
			n++
			check(fields[9].([]any))
		}
	}
	list, err := redis.Values(conn.Do("COMMAND"))
	if err != nil {
		t.Fatal(err)
	}
	check(list)
	if n < 350 {
		t.Errorf("only %d commands were compared", n)
	}
}

func TestAReplicaAcceptsEveryCommandThatMayBeSentToOne(t *testing.T) {
	cluster := testcluster.New(t, 1)
	conn := dial(t, cluster.Replicas()[0])
	n := 0
	accepted := func(c *Command, name string) bool {
		var args [][]byte
		for _, part := range strings.Split(name, "|") {
			args = append(args, []byte(part))
		}
		for len(args) < c.Arity || len(args) < -c.Arity {
			args = append(args, []byte("1"))
		}
		_, err := call(conn, args)
		if err != nil && strings.Contains(err.Error(), "wrong number of arguments") {
			t.Errorf("%s with %d arguments was not even considered: %v", name, len(args), err)
		}
		n++
		return err == nil || !strings.HasPrefix(err.Error(), "READONLY")
	}
	for c := range Builtin().All() {
		switch {
		case c.Class == Read, c.Class == Scan:
			if !accepted(c, c.Name) {
				t.Errorf("a replica refuses %s", c.Name)
			}
		case c.rule == ruleSort, c.rule == ruleGeoStore, c.rule == ruleBitfield:
			if accepted(c, c.Name) {
				t.Errorf("a replica accepts %s, which could be sent there", c.Name)
			}
		}
	}
	if n < 85 {
		t.Errorf("only %d commands were tried", n)
	}
}

func TestAServerHangsUpOnTheWordsOfHTTP(t *testing.T) {
	server := testcluster.NewRedis(t)
	for _, word := range []string{"POST", "Host:"} {
		conn := dial(t, server)
		if _, err := conn.Do(word, "/"); err != io.EOF {
			t.Errorf("%s was answered by %v instead of the end of the connection", word, err)
		}
		if c := Builtin().Lookup(words(word)); c.Class != Refused {
			t.Errorf("%s is of class %v", word, c.Class)
		}
	}
}

func TestCountingAHyperLogLogOnAReplicaGivesTheMastersCount(t *testing.T) {
	cluster := testcluster.New(t, 1)
	master, err := cluster.Master()
	if err != nil {
		t.Fatal(err)
	}
	replica := cluster.Replicas()[0]
	for _, element := range []string{"a", "b", "c", "d"} {
		// PFCOUNT keeps its result inside the value, also on a replica; the next element must still count there.
		if _, err := master.Do("PFADD", "seen", element); err != nil {
			t.Fatal(err)
		}
		if err := cluster.WaitInSync(t.Context()); err != nil {
			t.Fatal(err)
		}
		onReplica, err := redis.Int(replica.Do("PFCOUNT", "seen"))
		if err != nil {
			t.Fatal(err)
		}
		onMaster, err := redis.Int(master.Do("PFCOUNT", "seen"))
		if err != nil {
			t.Fatal(err)
		}
		if onReplica != onMaster {
			t.Errorf("after %s: %d on the replica, %d on the master", element, onReplica, onMaster)
		}
	}
}

func TestARequestOfTheWrongLengthIsRefusedInTheServersWords(t *testing.T) {
	conn := dial(t, testcluster.NewRedis(t))
	n := 0
	for c := range Builtin().All() {
		args := words(strings.ReplaceAll(c.Name, "|", " "))
		if c.Arity > 0 && c.Accepts(len(args)) {
			args = append(args, []byte("x"))
		}
		if c.Accepts(len(args)) {
			continue
		}
		_, err := call(conn, args)
		if err == nil {
			t.Errorf("%s is accepted", args)
			continue
		}
		if c.Since == "" || strings.HasPrefix(c.Since, "7.2") {
			continue // newer than the server, or not Redis at all
		}
		n++
		if err.Error() != c.ArityError() {
			t.Errorf("%s is refused by %q, not by %q", args, err, c.ArityError())
		}
	}
	if n < 250 {
		t.Errorf("only %d commands were tried", n)
	}
}
