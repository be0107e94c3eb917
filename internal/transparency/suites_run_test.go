package transparency

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
)

// suiteLimit is how long one run of a suite may take.
const suiteLimit = 10 * time.Minute

// outcome is how a test of a suite ended.
type outcome struct {
	result string // pass, fail, skip
	said   string // what it printed, or why it failed
}

// outcomes are those of a whole run, by the tests' names. A test that has subtests is not there, they are.
type outcomes map[string]outcome

// add keeps how a test ended. Names need not be unique: what has failed once has failed.
func (o outcomes) add(name string, how outcome) {
	if o[name].result != "fail" {
		o[name] = how
	}
}

// goTests are tests of a client for Go, from a module in the version of go.mod.
type goTests struct {
	module string
	folder string // in the module
	addr   string // as the tests spell the address of their server: what a copy of them says is changed to ours
	ours   string // what is put in its place, with %d for the port
	args   func(t *testing.T, port int) []string
	env    []string
	ginkgo bool // the names are those in ginkgo's own report
}

// goProgram is tests that have been compiled.
type goProgram struct {
	tests  goTests
	path   string
	folder string // where it is run
	args   []string
}

// build fetches the module, copies it, puts the address of our server in place of the one in its tests, and compiles
// them.
func (g goTests) build(t *testing.T, port int) program {
	t.Helper()
	var module struct{ Dir, Version, Error string }
	if err := json.Unmarshal(goTool(t, ".", "mod", "download", "-json", g.module), &module); err != nil || module.Error != "" {
		t.Fatalf("fetch %s: %s %v", g.module, module.Error, err)
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(module.Dir)); err != nil {
		t.Fatal(err)
	}
	p := goProgram{tests: g, folder: filepath.Join(folder, g.folder), args: g.args(t, port)}
	if g.addr != "" {
		p.readdress(t, fmt.Sprintf(g.ours, port))
	}
	p.path = filepath.Join(folder, "suite.test")
	goTool(t, p.folder, "test", "-c", "-o", p.path, ".")
	return program{version: module.Version, run: p.run}
}

// readdress puts our server's address into the tests.
func (p goProgram) readdress(t *testing.T, ours string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(text, []byte(p.tests.addr)) {
			continue
		}
		changed++
		if err := os.Chmod(file, 0o600); err != nil { // modules are kept read-only
			t.Fatal(err)
		}
		if err := os.WriteFile(file, bytes.ReplaceAll(text, []byte(p.tests.addr), []byte(ours)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if changed == 0 {
		t.Fatalf("no test of %s names the address %s", p.tests.module, p.tests.addr)
	}
}

// goTool runs the go command in a folder and returns what it prints.
func goTool(t *testing.T, folder string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = folder
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		t.Fatalf("go %s: %v\n%s%s", strings.Join(args, " "), err, out.Bytes(), messages.Bytes())
	}
	return out.Bytes()
}

// run runs the suite to its end.
func (p goProgram) run(t *testing.T) outcomes {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), suiteLimit)
	defer cancel()
	report := filepath.Join(t.TempDir(), "report.json")
	args := append([]string{"tool", "test2json", p.path, "-test.v=test2json"}, p.args...)
	if p.tests.ginkgo {
		args = append(args, "-ginkgo.json-report="+report)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = p.folder
	cmd.Env = append(os.Environ(), p.tests.env...)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s did not end within %v:\n%s", p.tests.module, suiteLimit, out[max(0, len(out)-2000):])
	}
	var found outcomes
	if p.tests.ginkgo {
		found = ginkgoOutcomes(t, report)
	} else {
		found = goOutcomes(t, out)
	}
	if len(found) == 0 {
		t.Fatalf("%s ran no test: %v\n%s", p.tests.module, err, out)
	}
	return found
}

// goOutcomes reads what go tool test2json says.
func goOutcomes(t *testing.T, out []byte) outcomes {
	t.Helper()
	found := outcomes{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var event struct{ Action, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		if event.Test == "" {
			continue
		}
		o := found[event.Test]
		switch event.Action {
		case "pass", "fail", "skip":
			o.result = event.Action
		case "output":
			o.said += event.Output
		}
		found[event.Test] = o
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for name := range found {
		for parent := name; strings.Contains(parent, "/"); {
			parent = parent[:strings.LastIndexByte(parent, '/')]
			delete(found, parent)
		}
	}
	return found
}

// ginkgoOutcomes reads a report of ginkgo.
func ginkgoOutcomes(t *testing.T, path string) outcomes {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var suites []struct {
		SpecReports []struct {
			ContainerHierarchyTexts           []string
			LeafNodeType, LeafNodeText, State string
			Failure                           struct{ Message string }
		}
	}
	if err := json.Unmarshal(text, &suites); err != nil {
		t.Fatal(err)
	}
	results := map[string]string{"passed": "pass", "skipped": "skip", "pending": "skip"}
	found := outcomes{}
	for _, suite := range suites {
		for _, spec := range suite.SpecReports {
			if spec.LeafNodeType != "It" {
				continue
			}
			result := results[spec.State]
			if result == "" {
				result = "fail"
			}
			name := strings.Join(append(slices.Clone(spec.ContainerHierarchyTexts), spec.LeafNodeText), " ")
			found.add(name, outcome{result, spec.Failure.Message})
		}
	}
	return found
}

// serverElsewhere is a program to run instead of redis-server for tests that insist on starting one: it starts what they
// ask for on another port, and leaves theirs to the server that is there.
func serverElsewhere(t *testing.T) string {
	t.Helper()
	port, release, err := testcluster.ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	path := filepath.Join(t.TempDir(), "redis-server")
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = --version ]; then exec redis-server --version; fi\nexec redis-server \"$@\" --port %d\n", port)
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}
