package topology

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// BenchmarkMembers measures what a number of members costs an ensemble of three servers, all at default settings: at
// rest, and when a fence asks all of them to acknowledge. Run it with
//
//	go test ./topology -run '^$' -bench Members -benchtime 10x
func BenchmarkMembers(b *testing.B) {
	for _, n := range []int{1, 3, 10, 50, 200} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { benchmarkMembers(b, n) })
	}
}

func benchmarkMembers(b *testing.B, n int) {
	// Sessions of the default length need servers with the default tick.
	ensemble, err := testcluster.StartEnsemble(context.Background(), 3, testcluster.ZooKeeperOptions{Tick: DefaultTick})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := ensemble.Stop(); err != nil {
			b.Error(err)
		}
	})
	servers := strings.Join(ensemble.Hosts(), ",")
	ctx := context.Background()
	var leader *ZooKeeper
	for i := range n {
		z, err := OpenZooKeeper(ctx, ZooKeeperConfig{Servers: servers, Cluster: "shop", ID: fmt.Sprintf("m%03d", i), Addr: fmt.Sprintf("127.0.0.1:%d", 20000+i)})
		if err != nil {
			b.Fatal(err)
		}
		defer z.Close()
		if i == 0 {
			leader = z
			if err := z.Update(ctx, z.Snapshot().Version, stable(1)); err != nil {
				b.Fatal(err)
			}
		}
		defer z.Watch(func(s Snapshot) {
			if s.State.Phase == Fencing {
				if err := z.Acknowledge(ctx, s.State.Epoch); err != nil {
					b.Errorf("acknowledge: %v", err)
				}
			}
		})()
	}

	const rest = 10 * time.Second
	before := serverLoad(b, ensemble)
	<-time.After(rest)
	after := serverLoad(b, ensemble)

	var fences, resumes []time.Duration
	epoch := uint64(1)
	for b.Loop() {
		epoch++
		began := time.Now()
		if err := leader.Update(ctx, leader.Snapshot().Version, fencing(stable(epoch-1))); err != nil {
			b.Fatal(err)
		}
		for {
			members, err := leader.Members(ctx)
			if err != nil {
				b.Fatal(err)
			}
			if len(members) == n && !slices.ContainsFunc(members, func(m Member) bool { return m.Fenced < epoch }) {
				break
			}
			<-leader.MembersChanged()
		}
		fences = append(fences, time.Since(began))
		began = time.Now()
		if err := leader.Update(ctx, leader.Snapshot().Version, stable(epoch)); err != nil {
			b.Fatal(err)
		}
		resumes = append(resumes, time.Since(began))
	}
	for what, times := range map[string][]time.Duration{"fence": fences, "stable": resumes} {
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, what+"-ms-median")
		b.ReportMetric(float64(times[len(times)-1].Microseconds())/1000, what+"-ms-max")
	}
	b.ReportMetric(float64(after.received-before.received)/rest.Seconds(), "requests/s")
	b.ReportMetric(float64(after.cpu-before.cpu)/float64(time.Millisecond)/rest.Seconds(), "server-ms/s")
	b.ReportMetric(float64(after.watches), "watches")
	b.ReportMetric(0, "ns/op") // the time of a round is in the figures above
}

// load is what an ensemble has done since it began.
type load struct {
	received int           // packets
	watches  int           // of all sessions, now
	cpu      time.Duration // of all servers
}

func serverLoad(b *testing.B, e *testcluster.Ensemble) (sum load) {
	b.Helper()
	for _, z := range e.Servers {
		figures := monitoring(b, z.Addr)
		sum.received += figures["zk_packets_received"]
		sum.watches += figures["zk_watch_count"]
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", z.Pid()))
		if err != nil {
			if runtime.GOOS != "linux" {
				b.Skip("what servers use is known on Linux only: run it there")
			}
			b.Fatal(err)
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		for _, field := range fields[11:13] { // utime, stime
			ticks, err := strconv.Atoi(field)
			if err != nil {
				b.Fatal(err)
			}
			sum.cpu += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return sum
}

// monitoring returns the whole numbers of a server's mntr.
func monitoring(b *testing.B, addr string) map[string]int {
	b.Helper()
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("mntr")); err != nil {
		b.Fatal(err)
	}
	figures := make(map[string]int)
	for lines := bufio.NewScanner(c); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "\t")
		if n, err := strconv.Atoi(value); err == nil {
			figures[name] = n
		}
	}
	return figures
}
