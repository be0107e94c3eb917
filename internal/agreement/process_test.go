package agreement

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

// process is one run of the program.
type process struct {
	cmd    *exec.Cmd
	output output
	done   chan struct{} // closed when it has ended
}

// output keeps what a process writes; it may be read meanwhile.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// launch starts the program with a home of its own and sees to it that it does not outlive the test.
func launch(t testing.TB, args ...string) *process {
	t.Helper()
	return launchOn(t, nil, args...)
}

// launchOn is launch on a host of a network.
func launchOn(t testing.TB, host *testcluster.Host, args ...string) *process {
	t.Helper()
	home := t.TempDir()
	p := &process{cmd: exec.Command(program(t), args...), done: make(chan struct{})}
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "NO_COLOR=1"}
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = childAttributes()
	started := make(chan error, 1)
	go func() {
		// The parent-death signal comes when the thread ends that forked.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		running := false
		err := host.Enter(func() error {
			if err := p.cmd.Start(); err != nil {
				return err
			}
			running = true
			started <- nil
			_ = p.cmd.Wait() // whoever cares looks at the status
			close(p.done)
			return nil
		})
		if !running {
			started <- err
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("understudy %s\n%s", strings.Join(args, " "), p.output.String())
		}
	})
	return p
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// kill ends the process at once and returns when it is gone.
func (p *process) kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	return nil
}

// ends has the program end in order.
func (p *process) ends(t testing.TB) {
	t.Helper()
	must(t, p.signal(syscall.SIGTERM))
	if code := p.exit(t); code != 0 {
		t.Errorf("it ended with status %d", code)
	}
}

// exit waits for the end of the process and returns its status.
func (p *process) exit(t testing.TB) int {
	t.Helper()
	testcluster.WaitFor(t, "the end of the process", func() bool { return !p.running() })
	return p.cmd.ProcessState.ExitCode()
}

// ready waits until the process says that it serves clients.
func (p *process) ready(t testing.TB) {
	t.Helper()
	testcluster.WaitFor(t, "the process to be ready", func() bool {
		if !p.running() {
			t.Fatalf("it ended:\n%s", p.output.String())
		}
		return strings.Contains(p.output.String(), "msg=ready")
	})
}
