package command

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestWordsEndAtTheirFirstNUL(t *testing.T) {
	for request, want := range map[string]Class{
		"XREAD BLOCK\x00 0 STREAMS k $":                  Blocking,
		"XREADGROUP GROUP g c block\x00x 0 STREAMS k >":  Blocking,
		"XREADGROUP GROUP\x00 g c BLOCK 0 STREAMS k >":   Blocking,
		"XREADGROUP COUNT\x00 BLOCK BLOCK 0 STREAMS k >": Blocking,
		"XREAD STREAMS\x00 BLOCK 0":                      Read,
		"XREAD BLOC\x00K 0 STREAMS k $":                  Read,
		"SORT k STORE\x00 d":                             Write,
		"GEORADIUS k 0 0 1 m storedist\x00\x00 d":        Write,
		"BITFIELD k GET\x00 u8 0":                        MasterRead,
		"BITFIELD k SET\x00 u8 0 1":                      Write,
		"XINFO STREAM k FULL\x00":                        MasterRead,
		"ACL LOG RESET\x00":                              Write,
	} {
		if _, got := Builtin().Classify(words(request)); got != want {
			t.Errorf("%q is %v, want %v", request, got, want)
		}
	}
}

// What blocks for ever and CLIENT UNBLOCK ends has blocked.
func TestNoReadOfStreamsThatAServerBlocksOnIsTakenForAnother(t *testing.T) {
	server := testcluster.NewRedis(t)
	if _, err := server.Do("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"); err != nil {
		t.Fatal(err)
	}
	reader, other := dial(t, server), dial(t, server)
	id, err := redis.Int(reader.Do("CLIENT", "ID"))
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	pieces := strings.Split("GROUP g c|BLOCK 0|block\x00 0|COUNT 1|NOACK|GROUP g COUNT|GROUP g BLOCK|STREAMS|BLOCK|COUNT|g|1|COUNT BLOCK|GROUP", "|")
	blocked := 0
	for range 2000 {
		name, last := "XREADGROUP", ">"
		if rnd.IntN(4) == 0 {
			name, last = "XREAD", "$"
		}
		request := name
		for range rnd.IntN(5) {
			request += " " + pieces[rnd.IntN(len(pieces))]
		}
		args := words(request + " STREAMS s " + last)
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			rest := make([]any, 0, len(args))
			for _, a := range args[1:] {
				rest = append(rest, a)
			}
			reader.Do(name, rest...) // an error is an answer as well
		}()
		if endsBlocking(t, other, id, answered) {
			blocked++
			if _, class := Builtin().Classify(args); class != Blocking {
				t.Errorf("the server blocks on %q, which is %v", args, class)
			}
		}
	}
	if blocked < 50 {
		t.Errorf("the server blocked on %d requests only", blocked)
	}
}

// endsBlocking has a client unblocked until it is answered, and reports whether it had blocked.
func endsBlocking(t *testing.T, conn redis.Conn, id int, answered <-chan struct{}) bool {
	t.Helper()
	for {
		select {
		case <-answered:
			return false
		default:
		}
		n, err := redis.Int(conn.Do("CLIENT", "UNBLOCK", id))
		if err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			<-answered
			return true
		}
	}
}
