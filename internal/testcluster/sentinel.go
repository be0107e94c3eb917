package testcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// SentinelMaster is what Sentinels started here call the master that they look after.
const SentinelMaster = "mymaster"

// Sentinels are redis-servers in the mode that looks after other ones. The methods are for one goroutine.
type Sentinels struct {
	Addrs []string // of those that run

	dir      string
	procs    []*process
	releases []func()
}

// StartSentinels starts this number of Sentinels that look after master and hold it down when it is silent for
// downAfter; more than half of them must agree. It returns when all of them know one another and the replicas. ctx limits
// that (20 s at most).
func StartSentinels(ctx context.Context, number int, master *Redis, replicas int, downAfter time.Duration) (*Sentinels, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	dir, err := os.MkdirTemp("", "understudy-sentinels-")
	if err != nil {
		return nil, err
	}
	s := &Sentinels{dir: dir}
	for range number {
		if err := s.startOne(ctx, number, master, downAfter); err != nil {
			return nil, errors.Join(err, s.Stop())
		}
	}
	for i := range s.procs {
		err := s.procs[i].await(ctx, "Sentinel at "+s.Addrs[i]+" to know the others", func() error {
			return s.acquainted(s.Addrs[i], number-1, replicas)
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%w\n%s", err, logTail(s.log(i), tailLines)), s.Stop())
		}
	}
	return s, nil
}

func (s *Sentinels) log(i int) string {
	return filepath.Join(s.dir, "sentinel"+strconv.Itoa(i)+".log")
}

// startOne starts another one and waits until it answers.
func (s *Sentinels) startOne(ctx context.Context, number int, master *Redis, downAfter time.Duration) error {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrNoRedisServer, err)
	}
	port, release, err := ReservePort()
	if err != nil {
		return err
	}
	s.releases = append(s.releases, release)
	i := len(s.procs)
	text := fmt.Sprintf(`bind %[1]s
port %[2]d
dir %[3]q
sentinel monitor %[4]s %[1]s %[5]d %[6]d
sentinel down-after-milliseconds %[4]s %[7]d
sentinel failover-timeout %[4]s 10000
`, loopback, port, s.dir, SentinelMaster, master.Port, number/2+1, downAfter.Milliseconds())
	if master.password != "" {
		text += fmt.Sprintf("sentinel auth-pass %s %s\n", SentinelMaster, master.password)
	}
	path := filepath.Join(s.dir, "sentinel"+strconv.Itoa(i)+".conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(program, path, "--sentinel")
	cmd.Dir = s.dir
	proc, err := startProcess(nil, cmd, s.log(i), nil)
	if err != nil {
		return fmt.Errorf("start %s as a Sentinel: %w", program, err)
	}
	s.procs = append(s.procs, proc)
	addr := address(port)
	s.Addrs = append(s.Addrs, addr)
	err = proc.await(ctx, "Sentinel at "+addr, func() error {
		_, err := sentinelDo(addr, "PING")
		return err
	})
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, logTail(s.log(i), tailLines))
	}
	return err
}

// acquainted returns nil once a Sentinel knows this number of others, and of replicas.
func (s *Sentinels) acquainted(addr string, others, replicas int) error {
	known, err := redis.StringMap(sentinelDo(addr, "SENTINEL", "MASTER", SentinelMaster))
	if err != nil {
		return err
	}
	if known["num-other-sentinels"] != strconv.Itoa(others) || known["num-slaves"] != strconv.Itoa(replicas) {
		return fmt.Errorf("it knows %s Sentinels and %s replicas, not %d and %d", known["num-other-sentinels"], known["num-slaves"], others, replicas)
	}
	return nil
}

// Do sends one command to one of the Sentinels over a connection of its own and returns its reply.
func (s *Sentinels) Do(args ...any) (any, error) { return sentinelDo(s.Addrs[0], args...) }

// Master returns the address that the Sentinels give for the master.
func (s *Sentinels) Master() (string, error) {
	at, err := redis.Strings(s.Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SentinelMaster))
	if err != nil {
		return "", err
	}
	return strings.Join(at, ":"), nil
}

func sentinelDo(addr string, args ...any) (any, error) {
	conn, err := redis.Dial("tcp", addr,
		redis.DialConnectTimeout(callLimit), redis.DialReadTimeout(callLimit), redis.DialWriteTimeout(callLimit))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.Do(fmt.Sprint(args[0]), args[1:]...)
}

// Stop kills all Sentinels and removes what they left.
func (s *Sentinels) Stop() error {
	var failures []error
	for _, p := range s.procs {
		failures = append(failures, p.kill())
	}
	for _, release := range s.releases {
		release()
	}
	return errors.Join(append(failures, os.RemoveAll(s.dir))...)
}

// NewSentinels starts Sentinels for a test, as StartSentinels does, and stops them at its end.
func NewSentinels(t T, number int, master *Redis, replicas int, downAfter time.Duration) *Sentinels {
	t.Helper()
	s, err := StartSentinels(context.Background(), number, master, replicas, downAfter)
	if err != nil {
		t.Fatalf("start %d Sentinels: %v", number, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for i := range s.procs {
				t.Logf("--- log of the Sentinel at %s:\n%s", s.Addrs[i], logTail(s.log(i), tailLines))
			}
		}
		if err := s.Stop(); err != nil {
			t.Errorf("stop the Sentinels: %v", err)
		}
	})
	return s
}
