package testcluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shell is a program that says hello in a file, and lives until it is ended.
func shell(t *testing.T, script string) (ProgramOptions, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "program")
	greeting := filepath.Join(dir, "greeting")
	return ProgramOptions{
		Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"WORD=hello", "PATH=" + os.Getenv("PATH")}, Dir: dir,
		Ready: func() error {
			if text, err := os.ReadFile(greeting); err != nil || !strings.Contains(string(text), "hello") {
				return errors.New("it says nothing")
			}
			return nil
		},
	}, greeting
}

func TestAProgramIsStartedKilledAndStartedAgain(t *testing.T) {
	opts, greeting := shell(t, `echo $WORD > greeting; exec sleep 1000`)
	p, err := StartProgram(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	first := p.Pid()
	if err := p.Kill(); err != nil || p.Running() {
		t.Fatalf("it was killed (%v), and runs: %v", err, p.Running())
	}
	if err := os.Remove(greeting); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(t.Context()); err != nil || !p.Running() || p.Pid() == first {
		t.Fatalf("it was restarted (%v), runs: %v, as process %d after %d", err, p.Running(), p.Pid(), first)
	}
	if err := p.Stop(); err != nil || p.Running() {
		t.Fatalf("it was stopped (%v), and runs: %v", err, p.Running())
	}
}

func TestAProgramThatEndsInsteadOfBeingReadyIsShownWithItsLog(t *testing.T) {
	opts, _ := shell(t, `echo no mood >&2; exit 3`)
	_, err := StartProgram(t.Context(), opts)
	if err == nil || !strings.Contains(err.Error(), "no mood") || !strings.Contains(err.Error(), "the process ended") {
		t.Errorf("the error is %v", err)
	}
}
