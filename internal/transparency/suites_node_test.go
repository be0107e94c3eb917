package transparency

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var suiteSources = flag.String("sources", "", "with -suites: a folder with the sources of clients for Node.js, each in a folder by its name (ioredis, bullmq); without it git fetches them")

// nodeSuiteLimit is how long one run of a suite of a client for Node.js may take. BullMQ's waits a lot.
const nodeSuiteLimit = 25 * time.Minute

// serverPort is the port of Redis where sources name it.
var serverPort = regexp.MustCompile(`\b6379\b`)

// nodeTests are tests of a client for Node.js. They are in its sources only, not in what npm installs.
type nodeTests struct {
	repository string            // that git can clone
	tag        string            // the version
	folders    []string          // of the repository that the tests need, besides the files at its top
	name       string            // of the folder in -sources
	files      map[string]string // that are put beside them, by their names
	install    []string          // the command that installs what the tests need
	prepare    [][]string        // those that make the sources ready then
	port       []string          // folders and files that name the server's port: what a copy of them says is changed to ours
	command    []string          // runs them; the file that it writes the report to is appended to the last word
	env        []string
	outcomes   func(*testing.T, []byte) outcomes // reads that report
}

// build gets the sources, installs what they need, and puts the port of our server in place of the usual one.
func (n nodeTests) build(t *testing.T, port int) program {
	t.Helper()
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("the tests of %s need Node.js and npm; install them: %v", n.name, err)
		}
	}
	folder := filepath.Join(t.TempDir(), n.name)
	version := n.fetch(t, folder)
	for name, text := range n.files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range append([][]string{n.install}, n.prepare...) {
		if out, err := inFolder(t.Context(), folder, nil, command...); err != nil {
			t.Fatalf("%s: %s: %v\n%s", n.name, strings.Join(command, " "), err, out)
		}
	}
	n.readdress(t, folder, port)
	env := append([]string{"REDIS_PORT=" + strconv.Itoa(port)}, n.env...)
	return program{version: version, run: func(t *testing.T) outcomes { return n.run(t, folder, env) }}
}

// fetch copies the sources into a folder that is not there yet, and returns which version they are.
func (n nodeTests) fetch(t *testing.T, folder string) string {
	t.Helper()
	if *suiteSources != "" {
		source := filepath.Join(*suiteSources, n.name)
		if _, err := os.Stat(filepath.Join(source, "package.json")); err != nil {
			t.Fatalf("-sources %s: %s has no sources of %s %s (%s): %v", *suiteSources, source, n.name, n.tag, n.repository, err)
		}
		if out, err := exec.CommandContext(t.Context(), "cp", "-R", source, folder).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %v\n%s", source, err, out)
		}
		return n.tag
	}
	// Only what is needed: BullMQ has clients of other languages beside it.
	for _, command := range [][]string{
		{"git", "-c", "advice.detachedHead=false", "clone", "-q", "--depth", "1", "--branch", n.tag, "--filter=blob:none", "--sparse", n.repository, folder},
		append([]string{"git", "-C", folder, "sparse-checkout", "set"}, n.folders...),
	} {
		if out, err := inFolder(t.Context(), ".", []string{"GIT_TERMINAL_PROMPT=0"}, command...); err != nil {
			t.Fatalf("the tests of %s are in its sources only, and git cannot fetch them: %v\n%s\n"+
				"Put %s of %s into a folder %s, and name the folder above it with -sources.", n.name, err, out, n.tag, n.repository, n.name)
		}
	}
	return n.tag
}

// readdress puts our server's port into the sources.
func (n nodeTests) readdress(t *testing.T, folder string, port int) {
	t.Helper()
	changed := 0
	for _, name := range n.port {
		err := filepath.WalkDir(filepath.Join(folder, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil || !serverPort.Match(text) {
				return err
			}
			changed++
			return os.WriteFile(path, serverPort.ReplaceAll(text, strconv.AppendInt(nil, int64(port), 10)), 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if changed == 0 {
		t.Fatalf("nothing in %v of %s names the port 6379", n.port, n.name)
	}
}

// run runs the tests to their end.
func (n nodeTests) run(t *testing.T, folder string, env []string) outcomes {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodeSuiteLimit)
	defer cancel()
	path := filepath.Join(t.TempDir(), "report.json")
	command := append([]string{}, n.command...)
	command[len(command)-1] += path
	out, err := inFolder(ctx, folder, env, command...)
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) { // they end with 1 when a test has failed
		t.Fatal(err)
	}
	tail := out[max(0, len(out)-2000):]
	if ctx.Err() != nil {
		t.Fatalf("%s did not end within %v:\n%s", n.name, nodeSuiteLimit, tail)
	}
	report, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%s wrote no report: %v\n%s", n.name, err, tail)
	}
	found := n.outcomes(t, report)
	if len(found) == 0 {
		t.Fatalf("%s ran no test:\n%s", n.name, tail)
	}
	return found
}

// inFolder runs a program in a folder, in the environment and what is added to it, and returns what it prints.
func inFolder(ctx context.Context, folder string, env []string, command ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = 10 * time.Second // children may hold its output
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.Bytes(), err
}

// mochaOutcomes reads the report of mocha's reporter "json".
func mochaOutcomes(t *testing.T, text []byte) outcomes {
	t.Helper()
	type test struct {
		FullTitle string
		Err       struct{ Message string }
	}
	var report struct{ Passes, Failures, Pending []test }
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	found := outcomes{}
	for _, of := range []struct {
		result string
		tests  []test
	}{{"pass", report.Passes}, {"skip", report.Pending}, {"fail", report.Failures}} {
		for _, test := range of.tests {
			found.add(test.FullTitle, outcome{of.result, test.Err.Message})
		}
	}
	return found
}

// vitestOutcomes reads the report of vitest's reporter "json".
func vitestOutcomes(t *testing.T, text []byte) outcomes {
	t.Helper()
	var report struct {
		TestResults []struct {
			Name, Message    string
			AssertionResults []struct {
				FullName, Status string
				FailureMessages  []string
			}
		}
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	results := map[string]string{"passed": "pass", "failed": "fail", "pending": "skip", "skipped": "skip", "todo": "skip", "disabled": "skip"}
	found := outcomes{}
	for _, file := range report.TestResults {
		if len(file.AssertionResults) == 0 { // it could not be loaded
			found.add(filepath.Base(file.Name), outcome{"fail", file.Message})
		}
		for _, test := range file.AssertionResults {
			result, known := results[test.Status]
			if !known {
				t.Fatalf("vitest calls the result of %s %q", test.FullName, test.Status)
			}
			found.add(test.FullName, outcome{result, strings.Join(test.FailureMessages, "\n")})
		}
	}
	return found
}
