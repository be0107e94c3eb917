package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// asProgram in the environment makes the test binary the program itself, race detector included.
const asProgram = "TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// program is one run of understudy as a process.
type program struct {
	t    *testing.T
	home string // its home and folder for temporary files, which nobody else uses
	cmd  *exec.Cmd
	out  output // standard output
	err  output // standard error
	done chan struct{}
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

// start starts understudy with a home of its own and these further variables (NAME=value), and kills it at the end of
// the test if it still runs.
func start(t *testing.T, env []string, args ...string) *program {
	t.Helper()
	home := t.TempDir()
	p := &program{t: t, home: home, cmd: exec.Command(os.Args[0], args...), done: make(chan struct{})}
	p.cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "NO_COLOR=1"}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the status is looked at by exit
		close(p.done)
	}()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			if err := p.cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
			<-p.done
		}
		if t.Failed() {
			t.Logf("understudy %s\n%s%s", strings.Join(args, " "), p.out.String(), p.err.String())
		}
	})
	return p
}

// exit waits for the end of the process and returns its status.
func (p *program) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.t.Fatal("understudy does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// signal sends a signal to the process.
func (p *program) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// logged waits for a line of the log that has all these parts and returns it.
func (p *program) logged(parts ...string) (line string) {
	p.t.Helper()
	p.await(&p.err, &line, parts...)
	return line
}

// printed waits for a line of standard output that has all these parts and returns it.
func (p *program) printed(parts ...string) (line string) {
	p.t.Helper()
	p.await(&p.out, &line, parts...)
	return line
}

func (p *program) await(o *output, found *string, parts ...string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := testcluster.Poll(ctx, "a line with "+strings.Join(parts, ", "), func() error {
		for line := range strings.Lines(o.String()) {
			all := true
			for _, part := range parts {
				all = all && strings.Contains(line, part)
			}
			if all {
				*found = line
				return nil
			}
		}
		select {
		case <-p.done:
			cancel()
		default:
		}
		return errNoLine
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

var errNoLine = errors.New("there is none")

// field returns the value of key=value in a line of the log.
func field(t *testing.T, line, key string) string {
	t.Helper()
	for part := range strings.FieldsSeq(line) {
		if value, ok := strings.CutPrefix(part, key+"="); ok {
			return strings.Trim(value, `"`) // around one that has a = of its own
		}
	}
	t.Fatalf("the line has no %s: %s", key, line)
	return ""
}

// once runs understudy to its end.
func once(t *testing.T, env []string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	p := start(t, env, args...)
	status = p.exit()
	return status, p.out.String(), p.err.String()
}
