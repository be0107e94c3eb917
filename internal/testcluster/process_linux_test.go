package testcluster

import (
	"bufio"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestNoChildOutlivesAParentThatIsKilled(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), orphanVariable+"=1", "TMPDIR="+t.TempDir())
	parent.Stderr = os.Stderr
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(out).ReadString('\n')
	addr := strings.TrimSpace(line)
	alive := false
	if conn, err := net.DialTimeout("tcp", addr, callLimit); err == nil {
		alive = conn.Close() == nil
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var killed *exec.ExitError
	if err := parent.Wait(); !errors.As(err, &killed) {
		t.Fatalf("the parent ended with %v", err)
	}
	if readErr != nil || !alive {
		t.Fatalf("no server at %q: %v", addr, readErr)
	}
	WaitFor(t, "the server to be gone", func() bool {
		conn, err := net.DialTimeout("tcp", addr, callLimit)
		if err == nil {
			err = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}
