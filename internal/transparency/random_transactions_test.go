package transparency

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

// transactional are commands from which random conversations are made, weighted by repetition, and faulty those that
// abort a transaction or are refused. None waits for long.
var (
	transactional = strings.Split(`MULTI|MULTI|MULTI|MULTI|EXEC|EXEC|EXEC|EXEC|DISCARD|WATCH k|WATCH k j|UNWATCH|SET k 1|SET j 2|INCR k|INCR k|INCR n|GET k|GET n|MGET k j n`+
		`|LPUSH l x y|LPUSH k x|DEL k|DEL l j|TYPE k|EXISTS k j l|PING|PING hello|ECHO x|SELECT 0|SELECT 1|SELECT 99|CLIENT GETNAME|CLIENT SETNAME me|CLIENT GETREDIR`+
		`|AUTH default x|AUTH nobody x|HELLO 2|HELLO 3|HELLO 4|HELLO 3 SETNAME you|HELLO 2 AUTH nobody x|RESET`+
		`|BLPOP none 0.001|BLPOP l 0.001|BLMOVE l m LEFT RIGHT 0.001|XREAD BLOCK 1 STREAMS s $|XREAD BLOCK 1 STREAMS s 0|XADD s 5-5 f v|XADD s 6-* f v`+
		`|PUBLISH ch m|EVAL return(redis.call('INCR',KEYS[1])) 1 n|EVAL return(1) 0|DBSIZE|FLUSHDB|SWAPDB 0 1|COPY k j REPLACE|SORT l ALPHA|HSET h f v|HGETALL h`, "|")
	faulty = strings.Split("NOSUCH a b|GET|SET k|EXEC x|MULTI x|DISCARD x|WATCH|RESET x|CLIENT SETNAME|CLIENT NOPE|SELECT x|HELLO 2 x|AUTH|BLPOP k", "|")
)

func TestRandomTransactionsAreAnsweredTheSame(t *testing.T) {
	const rounds = 250
	f := newFront(t, testcluster.New(t, 2), nil)
	id := regexp.MustCompile(`id\r\n:\d+`)
	for seed := range uint64(2) {
		var said [2][]string
		for i, addr := range []string{f.master().Addr, f.addr} {
			clean(t, f)
			g := rand.New(rand.NewPCG(*firstSeed+seed, 0))
			clients := []*client{dial(t, "tcp", addr), dial(t, "tcp", addr)}
			for range rounds {
				// One client is in the middle of something most of the time, the other changes what it watches.
				c, n := clients[g.IntN(4)/3], 1+g.IntN(8)
				var all []byte
				var batch []string
				for range n {
					command := transactional[g.IntN(len(transactional))]
					if g.IntN(30) == 0 {
						command = faulty[g.IntN(len(faulty))]
					}
					batch = append(batch, command)
					all = append(all, request(strings.Fields(command)...)...)
				}
				for len(all) > 0 {
					k := len(all)
					if g.IntN(3) == 0 {
						k = min(k, 1+g.IntN(60))
					}
					c.send(all[:k])
					all = all[k:]
				}
				for _, command := range batch {
					said[i] = append(said[i], command, fmt.Sprintf("    %q", id.ReplaceAllString(c.reply(), "id\r\n:N")))
				}
			}
			for _, c := range clients {
				c.conn.Close()
			}
		}
		executed := strings.Count(strings.Join(said[0], "\n"), "EXEC\n    \"*")
		if executed < rounds/40 {
			t.Errorf("only %d transactions were carried out: they prove little", executed)
		}
		t.Logf("seed %d: %d transactions were carried out", *firstSeed+seed, executed)
		compare(t, said[0], said[1])
	}
}
