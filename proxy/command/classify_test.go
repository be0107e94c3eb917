package command

import (
	"strings"
	"testing"
)

// shapes are requests and how each is to be treated.
var shapes = map[Class]string{
	Write: `
		SET k v
		set k v
		GETEX k
		GETDEL k
		GETSET k v
		DEL k
		UNLINK k
		INCR k
		MSET a 1 b 2
		EXPIRE k 10
		LPUSH k v
		RPOPLPUSH a b
		LMPOP 2 a b LEFT
		ZADD k 1 m
		ZPOPMIN k
		ZRANGESTORE d s 0 -1
		ZUNIONSTORE d 2 a b
		SDIFFSTORE d a b
		SPOP k
		HSET k f v
		XADD k * f v
		XACK k g 1-1
		XDEL k 1-1
		XGROUP CREATE k g $
		XGROUP DESTROY k g
		xgroup setid k g 0
		XREADGROUP GROUP g c STREAMS k >
		XREADGROUP GROUP g c COUNT 10 NOACK STREAMS k >
		XREADGROUP GROUP BLOCK BLOCK STREAMS k >
		XREADGROUP GROUP g c STREAMS BLOCK 0
		XREADGROUP NOACK COUNT BLOCK GROUP g c STREAMS k >
		XREADGROUP COUNT 1 GROUP g BLOCK STREAMS k >
		XCLAIM k g c 0 1-1
		XAUTOCLAIM k g c 0 0
		PFADD k e
		PFMERGE d a b
		PFDEBUG ENCODING k
		SETBIT k 1 1
		BITOP AND d a b
		BITFIELD k SET u8 0 1
		BITFIELD k GET u8 0 INCRBY u8 0 1
		BITFIELD k OVERFLOW FAIL GET u8 0
		GEOADD k 0 0 m
		GEOSEARCHSTORE d s FROMLONLAT 0 0 BYRADIUS 1 m
		GEORADIUS k 0 0 1 m STORE d
		GEORADIUS k 0 0 1 m ASC storedist d
		GEORADIUSBYMEMBER k m 1 m STORE d
		SORT k STORE d
		SORT k BY w_* GET # LIMIT 0 10 store d
		COPY a b
		RENAME a b
		MOVE k 1
		RESTORE k 0 x
		RESTORE-ASKING k 0 x
		MIGRATE h 1 k 0 100
		FLUSHALL
		FLUSHDB ASYNC
		SWAPDB 0 1
		EVAL s 0
		EVALSHA s 1 k
		FCALL f 0
		FUNCTION LOAD s
		FUNCTION DELETE l
		FUNCTION FLUSH
		FUNCTION RESTORE x
		PUBLISH c m
		SPUBLISH c m
		CONFIG SET maxmemory 0
		CONFIG REWRITE
		CONFIG RESETSTAT
		CONFIG
		CONFIG NOSUCH
		MEMORY PURGE
		LATENCY RESET
		SLOWLOG RESET
		ACL SETUSER u
		ACL DELUSER u
		ACL SAVE
		ACL LOAD
		ACL LOG RESET
		acl log reset
		MODULE LOAD m
		MODULE UNLOAD m
		SAVE
		BGSAVE
		BGREWRITEAOF
		NOSUCHCOMMAND a b
		GETX k
		GE k`,
	Read: `
		GET k
		get k
		gEt k
		MGET a b
		EXISTS k
		TYPE k
		TTL k
		PTTL k
		EXPIRETIME k
		DUMP k
		KEYS *
		DBSIZE
		RANDOMKEY
		LOLWUT VERSION 5
		STRLEN k
		GETRANGE k 0 1
		SUBSTR k 0 1
		LCS a b
		LRANGE k 0 -1
		LPOS k v
		SMEMBERS k
		SINTERCARD 2 a b
		SRANDMEMBER k
		HGETALL k
		HRANDFIELD k
		ZRANGE k 0 -1
		ZUNION 2 a b
		ZINTERCARD 2 a b
		ZRANDMEMBER k
		XRANGE k - +
		XLEN k
		XPENDING k g
		XINFO STREAM k
		XREAD STREAMS k 0
		XREAD COUNT 1 STREAMS a b 0 0
		XREAD STREAMS BLOCK 0
		PFCOUNT a b
		BITCOUNT k
		BITPOS k 1
		GETBIT k 1
		BITFIELD_RO k GET u8 0
		GEOPOS k m
		GEODIST k a b
		GEOSEARCH k FROMMEMBER m BYRADIUS 1 m
		GEORADIUS_RO k 0 0 1 m
		GEORADIUSBYMEMBER_RO k m 1 m
		SORT_RO k
		OBJECT ENCODING k
		OBJECT REFCOUNT k
		object encoding k
		MEMORY USAGE k
		EVAL_RO s 0
		FCALL_RO f 1 k`,
	MasterRead: `
		TOUCH k
		OBJECT FREQ k
		OBJECT IDLETIME k
		OBJECT HELP
		XINFO STREAM k FULL
		XINFO STREAM k full COUNT 1
		XINFO CONSUMERS k g
		XINFO GROUPS k
		SORT k
		SORT k BY nosort GET # DESC ALPHA
		GEORADIUS k 0 0 1 m
		GEORADIUSBYMEMBER k m 1 m WITHDIST
		BITFIELD k
		BITFIELD k GET u8 0
		BITFIELD k get u8 0 GET u8 8
		EVALSHA_RO s 0
		FUNCTION LIST
		FUNCTION DUMP
		TIME
		LASTSAVE
		ROLE
		CONFIG GET *
		config get maxmemory
		MEMORY STATS
		MEMORY DOCTOR
		LATENCY LATEST
		LATENCY HISTOGRAM
		SLOWLOG GET 10
		SLOWLOG LEN
		MODULE LIST
		ACL WHOAMI
		ACL LIST
		ACL LOG
		ACL LOG 10
		ACL GETUSER u
		COMMAND
		COMMAND COUNT
		COMMAND DOCS get
		COMMAND INFO get
		COMMAND GETKEYS get k
		PUBSUB CHANNELS
		PUBSUB NUMSUB c
		CLUSTER INFO
		CLUSTER SLOTS
		CLUSTER KEYSLOT k
		CLUSTER NODES`,
	Blocking: `
		BLPOP a b 0
		brpop a 0
		BRPOPLPUSH a b 0
		BLMOVE a b LEFT RIGHT 0
		BLMPOP 0 2 a b LEFT
		BZPOPMIN a 0
		BZPOPMAX a 0
		BZMPOP 0 1 a MIN
		XREAD BLOCK 0 STREAMS k $
		xread count 5 block 100 streams k 0
		XREADGROUP GROUP g c BLOCK 0 STREAMS k >
		XREADGROUP GROUP g c COUNT 1 BLOCK 0 NOACK STREAMS k >
		XREADGROUP GROUP STREAMS STREAMS BLOCK 0 STREAMS k >
		XREADGROUP BLOCK 0 GROUP g c STREAMS k >
		XREADGROUP COUNT 1 BLOCK 0 GROUP g c STREAMS k >
		XREADGROUP NOACK GROUP g COUNT BLOCK 0 STREAMS k >
		XREADGROUP GROUP COUNT STREAMS NOACK block 0 STREAMS k >
		XREADGROUP GROUP g c CLAIM 100 BLOCK 0 STREAMS k >
		XREADGROUP GROUP g c BLOCK
		XREAD COUNT 1 BLOCK 0 STREAMS k $`,
	Scripts: `
		SCRIPT LOAD s
		SCRIPT EXISTS s
		SCRIPT FLUSH ASYNC
		SCRIPT KILL
		FUNCTION KILL
		FUNCTION STATS`,
	Wait: `
		WAIT 1 100
		WAITAOF 1 1 100`,
	Subscribe: `
		SUBSCRIBE c
		PSUBSCRIBE p*
		SSUBSCRIBE c
		UNSUBSCRIBE
		PUNSUBSCRIBE
		SUNSUBSCRIBE c`,
	Transaction: `
		MULTI
		EXEC
		DISCARD
		WATCH k
		UNWATCH`,
	Session: `
		PING
		ping hello
		ECHO hello
		SELECT 1
		AUTH password
		HELLO 3
		QUIT
		RESET
		READONLY
		READWRITE
		ASKING
		CLIENT
		CLIENT NOSUCH
		CLIENT MAINT_NOTIFICATIONS ON
		CLIENT SETNAME n
		CLIENT GETNAME
		CLIENT ID
		CLIENT INFO
		CLIENT LIST
		CLIENT KILL ID 1
		CLIENT SETINFO lib-name x
		CLIENT NO-EVICT on
		CLIENT NO-TOUCH ON
		CLIENT PAUSE 100
		CLIENT UNPAUSE
		CLIENT UNBLOCK 1
		CLIENT HELP`,
	Pinned: `
		MONITOR
		CLIENT TRACKING ON
		client tracking off
		CLIENT TRACKINGINFO
		CLIENT GETREDIR
		CLIENT CACHING YES
		CLIENT REPLY OFF`,
	Scan: `
		SCAN 0
		HSCAN k 0
		SSCAN k 0
		ZSCAN k 0`,
	Info: `
		INFO
		INFO replication
		info all`,
	Refused: `
		SCRIPT DEBUG YES
		REPLICAOF h 1
		SLAVEOF NO ONE
		SHUTDOWN
		SHUTDOWN NOSAVE
		DEBUG SLEEP 1
		PSYNC ? -1
		SYNC
		REPLCONF ACK 0
		CLUSTER RESET
		CLUSTER MEET h 1
		CLUSTER FAILOVER
		cluster replicate x
		POST /
		Host: x`,
	Failover: `
		FAILOVER
		FAILOVER TO h 1
		failover abort`,
	Proxy: `
		PROXY NODES
		proxy help`,
}

func TestEachRequestHasTheClassThatItsEffectAsksFor(t *testing.T) {
	n := 0
	for want, requests := range shapes {
		for request := range strings.Lines(requests) {
			args := words(request)
			if len(args) == 0 {
				continue
			}
			n++
			if _, got := Builtin().Classify(args); got != want {
				t.Errorf("%s is %v, want %v", strings.TrimSpace(request), got, want)
			}
		}
	}
	if n < 250 {
		t.Errorf("only %d requests were classified", n)
	}
	if len(shapes) != classes {
		t.Errorf("%d of %d classes are tried", len(shapes), classes)
	}
}

func TestACommandThatTheServerCallsAWriteIsNeverRead(t *testing.T) {
	n := 0
	for c := range Builtin().All() {
		if !c.Flags.Has(FlagWrite) {
			continue
		}
		n++
		args := words(strings.ReplaceAll(c.Name, "|", " "))
		for range 12 {
			if _, class := Builtin().Classify(args); class == Read || class == Scan {
				t.Errorf("%s is of class %v", args, class)
			}
			args = append(args, []byte("GET"))
		}
	}
	if n < 100 {
		t.Errorf("only %d writes were tried", n)
	}
}

func TestConfigSetIsRefusedWhereItSetsThePassword(t *testing.T) {
	for request, want := range map[string]Class{"CONFIG SET requirepass x": Refused, "config set maxmemory 1 RequirePass": Refused,
		"CONFIG SET requirepass\x00 x": Refused, "CONFIG SET maxmemory 1": Write, "CONFIG SET dbfilename requirepass": Write} {
		if _, got := Builtin().Classify(words(request)); got != want {
			t.Errorf("%s is %v, want %v", request, got, want)
		}
	}
}
