package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// packages are the names that errors of this program's packages begin with, which say nothing to its users.
var packages = regexp.MustCompile(`(^|; |: )(?:(?:proxy|topology|monitor): )+`)

// sentence makes one line, for a user, of an error that may be several. What two packages say of one option is said once.
func sentence(err error) string {
	var said []string
	for line := range strings.Lines(strings.TrimSpace(err.Error())) {
		if line = packages.ReplaceAllString(strings.TrimSuffix(line, "\n"), "$1"); !slices.Contains(said, line) {
			said = append(said, line)
		}
	}
	return strings.ReplaceAll(strings.Join(said, "; "), ".; ", "; ") // some servers end their errors with a dot
}

// listenError is that an address for clients cannot be listened on.
type listenError struct{ error }

func (e listenError) Unwrap() error { return e.error }

// explainListen says what to do about a listenError; the address was given by option. Other errors stay as they are.
func explainListen(err error, option string) error {
	var listening listenError
	if !errors.As(err, &listening) {
		return err
	}
	what := listening.Error()
	var op *net.OpError
	var errno syscall.Errno
	if errors.As(err, &op) && errors.As(err, &errno) && op.Addr != nil {
		what = fmt.Sprintf("cannot listen on %s: %v", op.Addr, errno)
	}
	another := "choose another address with " + option
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		another = "stop the process that has it, or " + another
	case errors.Is(err, syscall.EACCES):
		another = "choose an address with " + option + " that this user may use"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		another = "it is no address of this machine; choose one that is with " + option
	case errors.Is(err, syscall.ENOENT):
		another = "create the folder, or " + another
	}
	return fmt.Errorf("%s: %s", what, another)
}

// explainState says what to do about a state file that cannot be used.
func explainState(err error, path string) error {
	dir := filepath.Dir(path)
	_, missing := os.Stat(dir)
	switch {
	case errors.Is(err, syscall.EISDIR):
		return fmt.Errorf("the state cannot be kept in %s: it is a folder; name a file with --state", path)
	case errors.Is(err, os.ErrNotExist) && missing == nil:
		return fmt.Errorf("the state cannot be kept in %s: no file can be made in %s; name another one with --state", path, dir)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("the state cannot be kept in %s: create the folder %s, or name another file with --state", path, dir)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("the state cannot be kept in %s: this user may not write there; change that, or name another file with --state", path)
	}
	return err
}

// missingUnit is what package time says of a duration that is a mere number.
var missingUnit = regexp.MustCompile(`time: (?:missing unit in|invalid) duration "[^"]*"`)

// missingValue is what the parser says of an option at the end of the line that has no value.
var missingValue = regexp.MustCompile(`expected \S+ value but got "EOL" \(<EOL>\)`)

// explainValue says what a duration looks like where one is not like that, and that a value is missing.
func explainValue(text string) string {
	text = missingValue.ReplaceAllString(text, "a value is missing behind it")
	return missingUnit.ReplaceAllString(text, "a duration has a unit, as in 100ms, 10s or 5m")
}

// joinNegatives turns "--name -1" into "--name=-1": the parser would take the number for a flag, where the range of
// the option is what there is to say.
func joinNegatives(args []string) []string {
	var joined []string
	for i := 0; i < len(args); i++ {
		if arg := args[i]; i+1 < len(args) && strings.HasPrefix(arg, "--") && !strings.Contains(arg, "=") && negative(args[i+1]) {
			joined = append(joined, arg+"="+args[i+1])
			i++
			continue
		}
		joined = append(joined, args[i])
	}
	return joined
}

func negative(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && arg[1] >= '0' && arg[1] <= '9'
}
