package testcluster

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
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
	goleak.VerifyTestMain(m)
}
