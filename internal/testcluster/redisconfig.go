package testcluster

import (
	"fmt"
	"strconv"
	"strings"
)

// redisConfiguration writes the configuration of a server: defaults that make tests quick, then the options given as
// on redis-server's command line. They go to the file and not to the command line because there they would win, at
// every restart, over what CONFIG REWRITE left in the file. password is the value of requirepass.
func redisConfiguration(ip string, port int, dir string, args []string) (text, password string, err error) {
	var b strings.Builder
	line := func(name string, values ...string) {
		b.WriteString(name)
		for _, value := range values {
			b.WriteByte(' ')
			b.WriteString(quoteConfig(value))
		}
		b.WriteByte('\n')
	}
	line("bind", ip)
	line("protected-mode", "no") // nobody else is on a host
	line("port", strconv.Itoa(port))
	line("dir", dir)
	line("save", "")
	line("logfile", "") // standard output
	// Replicas get their first copy within 0.1 s. Through a file, because after a diskless copy the master waits for
	// an acknowledgement before it streams, and a replica with little data sends the first one too early and the
	// next one a second later. The delay is for those who switch diskless copies on: no wait for further replicas.
	line("repl-diskless-sync", "no")
	line("repl-diskless-sync-delay", "0")

	if password = optionValue(args, "--requirepass"); password != "" {
		line("masterauth", password) // before the options, where an explicit one overrides it
	}
	for len(args) > 0 {
		name, isOption := strings.CutPrefix(args[0], "--")
		if !isOption || name == "" {
			return "", "", fmt.Errorf("%q is no option of redis-server: it must begin with --", args[0])
		}
		values := 1
		for values < len(args) && !strings.HasPrefix(args[values], "--") {
			values++
		}
		if values == 1 {
			return "", "", fmt.Errorf("the option %q of redis-server has no value", args[0])
		}
		line(name, args[1:values]...)
		args = args[values:]
	}
	return b.String(), password, nil
}

// optionValue is the first value of the last occurrence of an option, or empty.
func optionValue(args []string, option string) string {
	for i := len(args) - 2; i >= 0; i-- {
		if strings.EqualFold(args[i], option) {
			return args[i+1]
		}
	}
	return ""
}

// quoteConfig writes a value the way redis-server's configuration parser reads it back, whatever bytes it holds.
func quoteConfig(value string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(value) {
		switch c := value[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
