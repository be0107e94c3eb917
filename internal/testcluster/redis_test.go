package testcluster

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

func TestARedisStartsOnALoopbackPortAndAnswers(t *testing.T) {
	r := NewRedis(t)
	if host, _, err := net.SplitHostPort(r.Addr); err != nil || host != "127.0.0.1" {
		t.Errorf("address %q", r.Addr)
	}
	if r.Port < firstPort || r.Port > lastPort {
		t.Errorf("port %d", r.Port)
	}
	if reply, err := r.Do("PING"); err != nil || reply != "PONG" {
		t.Errorf("PING: %v, %v", reply, err)
	}
	if process, err := os.FindProcess(r.Pid()); err != nil || process.Signal(syscall.Signal(0)) != nil {
		t.Errorf("process %d does not exist", r.Pid())
	}
}

func TestAKilledRedisRefusesConnectionsAndReturnsOnItsPortWithItsData(t *testing.T) {
	r := NewRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	mustDo(t, r, "SET", "k", "v")
	before := r.Pid()
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	if r.Running() {
		t.Error("it still runs")
	}
	if _, err := r.Do("PING"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("PING to the dead: %v", err)
	}
	if err := r.Kill(); err != nil {
		t.Errorf("killing it again: %v", err)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := redis.String(r.Do("GET", "k")); err != nil || got != "v" {
		t.Errorf("GET after the restart: %q, %v", got, err)
	}
	if r.Pid() == before {
		t.Error("it is the same process")
	}
}

func TestWhatConfigRewriteSavedOutlivesARestart(t *testing.T) {
	r := NewRedis(t, "--maxmemory", "100mb")
	mustDo(t, r, "CONFIG", "SET", "maxmemory", "200mb")
	mustDo(t, r, "CONFIG", "REWRITE")
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := redis.Strings(r.Do("CONFIG", "GET", "maxmemory")); err != nil || got[1] != "209715200" {
		t.Errorf("maxmemory after the restart: %v, %v", got, err)
	}
}

func TestAPausedRedisAcceptsConnectionsButIsSilentUntilResumed(t *testing.T) {
	r := NewRedis(t)
	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", r.Addr, callLimit)
	if err != nil {
		t.Fatalf("connect while paused: %v", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 7)
	if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(reply); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read while paused: %q, %v", reply[:n], err)
	}
	if err := r.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(callLimit)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(reply); err != nil || string(reply[:n]) != "+PONG\r\n" {
		t.Errorf("read after resuming: %q, %v", reply[:n], err)
	}
}

func TestAPausedRedisCanBeStopped(t *testing.T) {
	r := NewRedis(t)
	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(); err != nil {
		t.Fatal(err)
	}
	if r.Running() {
		t.Error("it still runs")
	}
	if !strings.Contains(r.LogTail(), "bye bye") {
		t.Errorf("it did not end in order:\n%s", r.LogTail())
	}
}

func TestAPortInUseIsReportedAsSuch(t *testing.T) {
	other := NewRedis(t)
	_, err := StartRedis(t.Context(), Options{Dir: t.TempDir(), Port: other.Port})
	if !errors.Is(err, errPortTaken) {
		t.Fatalf("starting on the port of another: %v", err)
	}
}

func TestAnOptionThatRedisDoesNotKnowIsReportedWithItsLog(t *testing.T) {
	_, err := StartRedis(t.Context(), Options{Args: []string{"--no-such-option", "1"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Fatalf("%v", err)
	}
	for _, args := range [][]string{{"appendonly", "yes"}, {"--appendonly"}} {
		if _, err := StartRedis(t.Context(), Options{Args: args}); err == nil || !strings.Contains(err.Error(), args[0]) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestAMissingRedisServerIsReportedWithWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := StartRedis(t.Context(), Options{})
	if !errors.Is(err, ErrNoRedisServer) || !strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Errorf("%v", err)
	}
}

func TestAPasswordAmongTheOptionsIsUsedByDial(t *testing.T) {
	r := NewRedis(t, "--requirepass", `a "strange" pass\word`)
	mustDo(t, r, "SET", "k", "v")
	if conn, err := redis.Dial("tcp", r.Addr); err != nil {
		t.Error(err)
	} else {
		defer conn.Close()
		if _, err := conn.Do("GET", "k"); err == nil || !strings.HasPrefix(err.Error(), "NOAUTH") {
			t.Errorf("without the password: %v", err)
		}
	}
}

func TestCloseRemovesTheFolderItMadeAndNoOther(t *testing.T) {
	own, err := StartRedis(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "given")
	given, err := StartRedis(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(errors.Join(err, own.Close()))
	}
	if err := errors.Join(own.Close(), given.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(own.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its own folder: %v", err)
	}
	if _, err := os.Stat(given.Log()); err != nil {
		t.Errorf("the log in the given folder: %v", err)
	}
	if own.Running() || given.Running() {
		t.Error("a closed server runs")
	}
}

func TestTheLogIsCopiedToTheWriter(t *testing.T) {
	var log bytes.Buffer
	r, err := StartRedis(t.Context(), Options{Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "Ready to accept connections") {
		t.Errorf("%q", log.String())
	}
}

func TestAReservedPortIsGivenToNobodyElse(t *testing.T) {
	port, release, err := ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := lockPort(port); err == nil {
		again()
		t.Error("it was given twice")
	}
	release()
	again, err := lockPort(port)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	again()
}

func TestPollReportsWhatItWaitedForAndWhy(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	cause := errors.New("the moon is up")
	err := Poll(ctx, "the sun", func() error { return cause })
	if !errors.Is(err, cause) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "for the sun") {
		t.Errorf("%v", err)
	}
	calls := 0
	if err := Poll(t.Context(), "three calls", func() error {
		if calls++; calls < 3 {
			return cause
		}
		return nil
	}); err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func mustDo(t *testing.T, r *Redis, args ...any) {
	t.Helper()
	if _, err := r.Do(args...); err != nil {
		t.Fatal(err)
	}
}
