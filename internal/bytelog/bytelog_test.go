package bytelog

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestALogBehavesLikeOneLongSlice runs random operations on a log and on a plain slice with two indices.
func TestALogBehavesLikeOneLongSlice(t *testing.T) {
	together, apart := 0, 0
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		pool := &Pool{}
		log := Log{Pool: pool}
		var all []byte
		front, sent := 0, 0
		for step := range 300 {
			switch rng.IntN(6) {
			case 0, 1:
				p := make([]byte, rng.IntN([]int{8, 500, 5000, 100_000}[rng.IntN(4)]))
				for i := range p {
					p[i] = byte(rng.Uint32())
				}
				log.Append(p)
				all = append(all, p...)
			case 2:
				n := rng.IntN(len(all) - sent + 1)
				log.Sent(n)
				sent += n
			case 3:
				n := rng.IntN(len(all) - front + 1)
				log.Release(n)
				front += n
				sent = max(sent, front)
			case 4:
				if rng.IntN(10) == 0 {
					log.Rewind()
					sent = front
				}
			case 5:
				n := rng.IntN(len(all) - front + 1)
				if got := log.Front(nil, n); !bytes.Equal(got, all[front:front+n]) {
					t.Fatalf("seed %d step %d: Front(%d) differs", seed, step, n)
				}
				switch got := log.Peek(n); {
				case got == nil && n > 0:
					apart++
				case !bytes.Equal(got, all[front:front+n]):
					t.Fatalf("seed %d step %d: Peek(%d) differs", seed, step, n)
				case n > 0:
					together++
				}
			}
			if log.Len() != len(all)-front || log.Unsent() != len(all)-sent {
				t.Fatalf("seed %d step %d: Len %d, want %d; Unsent %d, want %d", seed, step, log.Len(), len(all)-front, log.Unsent(), len(all)-sent)
			}
			if got := bytes.Join(log.Next(nil, 1<<20), nil); !bytes.Equal(got, all[sent:]) {
				t.Fatalf("seed %d step %d: the unsent part differs", seed, step)
			}
		}
	}
	if together == 0 || apart == 0 {
		t.Errorf("what was looked at lay together %d times and apart %d times", together, apart)
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	log := Log{Pool: &Pool{}}
	p := make([]byte, 100)
	step := func() {
		for range 100 {
			log.Append(p)
		}
		log.Sent(log.Unsent())
		for range 100 {
			log.Release(len(p))
		}
	}
	step()
	if n := testing.AllocsPerRun(100, step); n != 0 {
		t.Errorf("%v allocations for 100 appends and releases, want 0", n)
	}
}
