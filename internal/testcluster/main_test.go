package testcluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// orphanVariable makes the test program start a redis-server, print its address and wait until it is killed.
const orphanVariable = "TESTCLUSTER_LEAVE_AN_ORPHAN"

func leaveAnOrphan() {
	r, err := StartRedis(context.Background(), Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(r.Addr)
	select {}
}

// TestMain fails the whole run if a goroutine is left over at its end. Each child process has one that waits for it.
func TestMain(m *testing.M) {
	if os.Getenv(orphanVariable) != "" {
		leaveAnOrphan()
	}
	code := m.Run()
	if code == 0 {
		if leak := leaked(); leak != "" {
			fmt.Fprintf(os.Stderr, "left over after all tests:\n%s\n", leak)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked describes the goroutines of this package that do not end by themselves within a second.
func leaked() string {
	stacks := make([]byte, 1<<20)
	for deadline := time.Now().Add(time.Second); ; runtime.Gosched() {
		all := stacks[:runtime.Stack(stacks, true)]
		var ours [][]byte
		for _, stack := range bytes.Split(all, []byte("\n\n")) {
			if bytes.Contains(stack, []byte("testcluster.")) && !bytes.Contains(stack, []byte("testcluster.TestMain")) {
				ours = append(ours, stack)
			}
		}
		if len(ours) == 0 {
			return ""
		}
		if time.Now().After(deadline) {
			return string(bytes.Join(ours, []byte("\n\n")))
		}
	}
}
