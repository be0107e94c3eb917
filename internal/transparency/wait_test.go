package transparency

import (
	"fmt"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

// waitBlocked waits until that many clients block at a node.
func waitBlocked(t testing.TB, node *testcluster.Redis, n int) {
	t.Helper()
	testcluster.WaitFor(t, fmt.Sprintf("%d blocked clients", n), func() bool {
		info, err := node.Info("clients")
		return err == nil && info["blocked_clients"] == fmt.Sprint(n)
	})
}

// clientLines returns the lines of a node's CLIENT LIST that contain a text.
func clientLines(t testing.TB, node *testcluster.Redis, text string) []string {
	t.Helper()
	list, ok := must(t, node, "CLIENT", "LIST").([]byte)
	if !ok {
		t.Fatal("CLIENT LIST is no text")
	}
	var lines []string
	for line := range strings.Lines(string(list)) {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}
