package command

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

// keyShapes are requests of many forms with valid syntax as far as keys go.
const keyShapes = `
	GET k
	SET k v EX 10
	MGET a b c
	MSET a 1 b 2 c 3
	MSETNX a 1 b 2
	DEL a b a
	UNLINK a
	EXISTS a b
	TOUCH a b
	RENAME a b
	COPY a b DB 2 REPLACE
	MOVE k 1
	DUMP k
	RESTORE k 0 x REPLACE
	OBJECT ENCODING k
	OBJECT FREQ k
	MEMORY USAGE k SAMPLES 5
	LPUSH k a b c
	LMOVE a b LEFT RIGHT
	RPOPLPUSH a b
	BLPOP a b c 0
	BRPOP a 0
	BLMOVE a b LEFT RIGHT 0
	BRPOPLPUSH a b 0
	LMPOP 2 a b LEFT COUNT 3
	LMPOP 1 a RIGHT
	BLMPOP 0 2 a b LEFT
	LCS a b LEN
	SINTER a b c
	SINTERSTORE d a b
	SINTERCARD 2 a b LIMIT 1
	SDIFF a
	SMOVE a b m
	SSCAN k 0
	HSET k f v
	HSCAN k 0 MATCH x
	ZADD k 1 a 2 b
	ZUNION 2 a b WEIGHTS 1 2 WITHSCORES
	ZINTER 1 a
	ZDIFF 3 a b c
	ZUNIONSTORE d 2 a b AGGREGATE MAX
	ZINTERSTORE d 1 a
	ZDIFFSTORE d 2 a b
	ZINTERCARD 2 a b LIMIT 3
	ZRANGESTORE d s 0 -1
	ZMPOP 2 a b MIN
	BZMPOP 1 2 a b MAX COUNT 1
	BZPOPMIN a b 0
	PFCOUNT a b
	PFMERGE d a b
	PFDEBUG ENCODING k
	BITOP AND d a b
	BITOP NOT d a
	BITFIELD k GET u8 0
	BITFIELD_RO k GET u8 0
	GEOADD k 0 0 m
	GEOSEARCHSTORE d s FROMLONLAT 0 0 BYRADIUS 1 m
	GEORADIUS k 0 0 1 m
	GEORADIUS k 0 0 1 m WITHDIST COUNT 3 ASC STORE d
	GEORADIUS k 0 0 1 m storedist d
	GEORADIUS k 0 0 1 m STORE d STOREDIST e
	GEORADIUSBYMEMBER k m 1 m
	GEORADIUSBYMEMBER k STORE 1 m STOREDIST d
	GEORADIUS_RO k 0 0 1 m
	SORT k
	SORT k BY w_* LIMIT 0 10 GET # GET o_* DESC ALPHA
	SORT k BY w_* STORE d
	SORT k store d STORE e
	SORT k BY store
	SORT k GET store STORE d
	SORT k LIMIT store 1
	SORT_RO k BY w_* GET o_*
	XADD k * f v
	XREAD STREAMS a 0
	XREAD COUNT 1 STREAMS a b 0 0
	XREAD BLOCK 0 streams a b c 0 0 0
	XREAD STREAMS STREAMS 0
	XREADGROUP GROUP g c STREAMS a >
	XREADGROUP GROUP STREAMS c COUNT 1 NOACK STREAMS a b > >
	XREADGROUP GROUP g STREAMS STREAMS a >
	XGROUP CREATE k g 0
	XGROUP DELCONSUMER k g c
	XINFO STREAM k FULL
	XINFO CONSUMERS k g
	XPENDING k g
	XAUTOCLAIM k g c 0 0
	EVAL s 0
	EVAL s 0 a b
	EVAL s 2 a b c
	EVAL_RO s 1 a
	EVALSHA s 3 a b c
	EVALSHA_RO s 1 a x
	FCALL f 2 a b c
	EVAL s 02 a b c
	FCALL_RO f 1 a
	MIGRATE h 1 k 0 10
	MIGRATE h 1 k 0 10 COPY REPLACE AUTH keys
	MIGRATE h 1 "" 0 10
	MIGRATE h 1 "" 0 10 COPY
	MIGRATE h 1 "" 0 10 KEYS a b
	MIGRATE h 1 "" 0 10 COPY AUTH KEYS KEYS a b
	MIGRATE h 1 "" 0 10 AUTH2 KEYS KEYS keys a keys b
	WATCH a b
	SPUBLISH c m
	SSUBSCRIBE c d
	PUBLISH c m
	PING
	FLUSHALL
	CONFIG GET maxmemory
	RESTORE-ASKING k 0 x`

// malformed are requests that the server refuses because of the way their keys are given.
const malformed = `
	EVAL s 5 a
	EVAL s -1 a
	EVAL s +1 a
	EVAL s x a
	EVAL s 1a a
	EVAL s 99999999999999999999 a
	EVAL s 2147483648 a
	LMPOP 0 LEFT
	LMPOP -1 a LEFT
	ZUNION 3 a b
	ZUNIONSTORE d 9 a b
	XREADGROUP GROUP g c COUNT 1 x y`

func TestKeysAreThoseThatTheServerFinds(t *testing.T) {
	conn := dial(t, testcluster.NewRedis(t))
	for line := range strings.Lines(keyShapes) {
		args := words(line)
		if len(args) == 0 {
			continue
		}
		want, err := redis.ByteSlices(call(conn, append(words("COMMAND GETKEYS"), args...)))
		if err != nil && !noKeys(err) {
			t.Errorf("%s is not understood by the server: %v", strings.TrimSpace(line), err)
			continue
		}
		c := Builtin().Lookup(args)
		if got := c.Keys(nil, args); !equalSlices(got, want) {
			t.Errorf("keys of %s are %q, the server finds %q", strings.TrimSpace(line), got, want)
		}
		switch c.Class {
		case Write, Read, MasterRead, Blocking:
			if err == nil && !c.Keyed() {
				t.Errorf("%s is not keyed but the server finds keys %q", strings.TrimSpace(line), want)
			}
		}
	}
}

// noKeys reports whether the server says that there are no keys, in one of the ways it does.
func noKeys(err error) bool {
	return strings.Contains(err.Error(), "has no key arguments") || strings.Contains(err.Error(), "wrong number of arguments for 'command|getkeys'")
}

func TestARequestThatTheServerRefusesHasNoInventedKeys(t *testing.T) {
	conn := dial(t, testcluster.NewRedis(t))
	for line := range strings.Lines(malformed) {
		args := words(line)
		if len(args) == 0 {
			continue
		}
		if reply, err := call(conn, args); err == nil {
			t.Errorf("%s is answered by %q", strings.TrimSpace(line), reply)
		}
		c := Builtin().Lookup(args)
		for _, key := range c.Keys(nil, args) {
			if !strings.HasPrefix(c.Name, "ZUNIONSTORE") || string(key) != "d" {
				t.Errorf("%s gives key %q", strings.TrimSpace(line), key)
			}
		}
	}
}

func equalSlices(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func TestOfSeveralDestinationsEachIsAKey(t *testing.T) {
	args := words("GEORADIUS k 0 0 1 m STORE a STORE b COUNT 1 STOREDIST c STORE")
	if got := Builtin().Lookup(args).Keys(nil, args); !equalSlices(got, words("k a b c")) {
		t.Errorf("keys are %q", got)
	}
}

func TestADestinationIsAKeyThoughItsSourcesAreMissing(t *testing.T) {
	// The server creates an empty counter, though its COMMAND GETKEYS refuses the request.
	args := words("PFMERGE d")
	if got := Builtin().Lookup(args).Keys(nil, args); !equalSlices(got, words("d")) {
		t.Errorf("keys are %q", got)
	}
}

func TestKeysAreAppended(t *testing.T) {
	args := words("DEL b c")
	buf := make([][]byte, 0, 8)
	buf = append(buf, []byte("a"))
	got := Builtin().Lookup(args).Keys(buf, args)
	if !equalSlices(got, words("a b c")) || &got[0] != &buf[0] {
		t.Errorf("keys are %q", got)
	}
}

func TestUnboundedRequestsReachBeyondTheirKeys(t *testing.T) {
	for request, want := range map[string]bool{
		"GET k": false, "SET k v": false, "RENAME a b": false, "MIGRATE h 1 k 0 0": false, "GEORADIUS k 0 0 1 m STORE d": false,
		"SORT k": false, "SORT k BY nosort GET #": false, "SORT k BY w_*": true, "SORT_RO k GET o_*": true, "SORT_RO k LIMIT * * ALPHA": false,
		"SORT k GET": false, "SORT k STORE a*": false, "SORT k BY w_* STORE d": true,
		"KEYS *": true, "DBSIZE": true, "RANDOMKEY": true, "SCAN 0": true, "HSCAN k 0": false, "FLUSHALL": true, "SWAPDB 0 1": true,
		"EVAL s 1 k": true, "EVAL_RO s 1 k": true, "FCALL f 0": true, "NOSUCH k": true, "PUBLISH c m": false, "SPUBLISH c m": false,
	} {
		args := words(request)
		if got := Builtin().Lookup(args).Unbounded(args); got != want {
			t.Errorf("Unbounded of %s is %v", request, got)
		}
	}
}

func TestTheSoleKeyOfACommandIsWhatItsInvocationsName(t *testing.T) {
	sole := 0
	for c := range Builtin().All() {
		i := c.SoleKey()
		if i == 0 {
			continue
		}
		sole++
		for n := 1; n < 12; n++ {
			args := make([][]byte, n)
			for k := range args {
				args[k] = fmt.Appendf(nil, "%d", k)
			}
			var want [][]byte
			if i < n {
				want = args[i : i+1]
			}
			if got := c.Keys(nil, args); !slices.EqualFunc(got, want, bytes.Equal) || c.Unbounded(args) {
				t.Errorf("%s with %d arguments names %q, and more: %t; its sole key is argument %d", c.Name, n, got, c.Unbounded(args), i)
			}
		}
	}
	for _, name := range []string{"GET", "SET", "INCR", "HGET", "OBJECT|ENCODING"} {
		if c := Builtin().Lookup(bytes.Split([]byte(name), []byte("|"))); c.SoleKey() == 0 {
			t.Errorf("%s has no sole key", name)
		}
	}
	if sole < 100 {
		t.Errorf("%d commands have a sole key", sole)
	}
}

func TestWhatIsPlainIsReadOrWriteWhateverItsArgumentsAre(t *testing.T) {
	for c := range Builtin().All() {
		if c.Plain() && (c.Script() || !c.Known() || c.rule != ruleNone || c.Class != Read && c.Class != Write) {
			t.Errorf("%s is plain", c.Name)
		}
	}
	for _, name := range []string{"GET", "SET", "MGET", "DEL", "LPOP"} {
		if !Builtin().Lookup([][]byte{[]byte(name)}).Plain() {
			t.Errorf("%s is not plain", name)
		}
	}
	for _, name := range []string{"EVAL", "SORT", "SCAN", "PING", "BLPOP", "NONSENSE"} {
		if Builtin().Lookup([][]byte{[]byte(name)}).Plain() {
			t.Errorf("%s is plain", name)
		}
	}
}
