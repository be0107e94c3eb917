package agreement

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

// shared is the ensemble of all tests that do not break it; each has a chroot of its own.
var shared ensembleOnce

// ensembleOnce is an ensemble that is started when it is first asked for.
type ensembleOnce struct {
	once     sync.Once
	ensemble *testcluster.Ensemble
	err      error
}

func (e *ensembleOnce) get(t testing.TB) *testcluster.Ensemble {
	t.Helper()
	e.once.Do(func() {
		e.ensemble, e.err = testcluster.StartEnsemble(context.Background(), 3, testcluster.ZooKeeperOptions{})
	})
	if e.err != nil {
		t.Fatal(e.err)
	}
	return e.ensemble
}

// stop stops the ensemble if it was started.
func (e *ensembleOnce) stop() error {
	e.once.Do(func() {})
	if e.ensemble == nil {
		return nil
	}
	return e.ensemble.Stop()
}

// folder is where the program under test is built. It is removed at the end.
var folder string

func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = max(status, 1)
	}
	os.Exit(status)
}

func run(m *testing.M) (status int, err error) {
	if folder, err = os.MkdirTemp("", "understudy-agreement-"); err != nil {
		return 1, err
	}
	defer func() {
		if removed := os.RemoveAll(folder); err == nil {
			err = removed
		}
	}()
	status = m.Run()
	return status, shared.stop()
}

// program is the path of the program under test.
func program(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// built builds the program when a test first asks for it. This package does not import it, so go test would take a result
// from its cache although the program has changed: it looks only at what tests have opened. So what the program is made of
// is opened here, in a test, because go test does not hear of what is opened before the first one begins.
var built = sync.OnceValues(func() (string, error) {
	const command = "github.com/understudy/understudy/cmd/understudy"
	const sources = "{{with .Module}}{{if .Main}}{{$.Dir}}\n{{.GoMod}}{{end}}{{end}}"
	list, err := goTool("list", "-deps", "-f", sources, command)
	if err != nil {
		return "", err
	}
	for path := range strings.Lines(list) {
		f, err := os.Open(strings.TrimSuffix(path, "\n")) // of a folder the times of all files count
		if err != nil {
			return "", err
		}
		if err := f.Close(); err != nil {
			return "", err
		}
	}
	path := filepath.Join(folder, "understudy")
	_, err = goTool("build", "-buildvcs=false", "-o", path, command)
	return path, err
})

// goTool runs the go command and returns what it prints.
func goTool(args ...string) (string, error) {
	out, err := exec.Command("go", args...).Output()
	if failure := (*exec.ExitError)(nil); errors.As(err, &failure) {
		err = fmt.Errorf("go %s: %w\n%s", args[0], err, failure.Stderr)
	}
	return string(out), err
}
