package monitor

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestMain fails the whole run if a goroutine of this package is left over at its end.
func TestMain(m *testing.M) {
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
			if bytes.Contains(stack, []byte("/monitor.")) && !bytes.Contains(stack, []byte("monitor.TestMain")) {
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
