package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/topology"
)

// listenOption is the value of --listen.
type listenOption proxy.Listen

// UnmarshalText reads ADDR[,policy=POLICY][,mode=MODE].
func (l *listenOption) UnmarshalText(text []byte) error {
	addr, rest, more := strings.Cut(string(text), ",")
	*l = listenOption{Network: "tcp", Addr: addr}
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		l.Network, l.Addr = "unix", path
	}
	if l.Addr == "" {
		return fmt.Errorf("listen is %q: it must be host:port, :port or unix:/path", text)
	}
	if !more {
		return nil
	}
	for part := range strings.SplitSeq(rest, ",") {
		if !l.set(part) {
			return fmt.Errorf("listen is %q: what follows the address must be policy= and one of %s, or mode= and the permissions of a unix socket, as in mode=0660",
				text, strings.Join(session.PolicyNames(), ", "))
		}
	}
	return nil
}

// set takes in one of the parts that follow the address.
func (l *listenOption) set(part string) (ok bool) {
	switch name, value, _ := strings.Cut(part, "="); name {
	case "policy":
		l.Policy, ok = session.ParsePolicy(value)
	case "mode":
		mode, err := strconv.ParseUint(value, 8, 9)
		l.Mode, ok = fs.FileMode(mode), err == nil && mode > 0 && l.Network == "unix"
	}
	return ok
}

// legacyRoot is the value of --publish-redis-failover: a path in ZooKeeper, or "" for none. The flag alone means the
// path that the gem has by default; so does true, and false means none, where a value must be given (in a file, or as a
// variable).
type legacyRoot string

var _ kong.BoolMapperValue = (*legacyRoot)(nil)

// IsBool lets the flag stand alone.
func (*legacyRoot) IsBool() bool { return true }

// Decode implements kong.MapperValue.
func (r *legacyRoot) Decode(ctx *kong.DecodeContext) error {
	text := "true"
	if ctx.Scan.Peek().Type == kong.FlagValueToken {
		token, err := ctx.Scan.PopValue("path")
		if err != nil {
			return err
		}
		text = fmt.Sprint(token.Value)
	}
	switch {
	case text == "true":
		*r = topology.DefaultLegacyRoot
	case text == "false", text == "":
		*r = ""
	case strings.HasPrefix(text, "/"):
		*r = legacyRoot(text)
	default:
		return fmt.Errorf("%q is no path: it must begin with a slash, as %s does", text, topology.DefaultLegacyRoot)
	}
	return nil
}

// ensemble is the value of --zookeeper. Whoever gives it, if only as an empty variable, does not mean to have none: without it
// this process keeps the State by itself, beside all others.
type ensemble string

// UnmarshalText refuses what is empty; the rest is seen to by validate.
func (e *ensemble) UnmarshalText(text []byte) error {
	if len(bytes.TrimSpace(text)) == 0 {
		return errors.New("it is empty: name the servers as in host:port[,host:port...][/chroot], or leave zookeeper out altogether")
	}
	*e = ensemble(text)
	return nil
}

// size is a number of bytes, written as in redis.conf: 1k is 1000, 1kb is 1024, and so on for m and g.
type size int64

var units = []struct {
	suffix string
	bytes  int64
}{
	{"gb", 1 << 30}, {"mb", 1 << 20}, {"kb", 1 << 10}, {"g", 1e9}, {"m", 1e6}, {"k", 1e3}, {"b", 1}, {"", 1},
}

// UnmarshalText reads a number with one of the units, in either case.
func (s *size) UnmarshalText(text []byte) error {
	lower := strings.ToLower(string(text))
	for _, u := range units {
		digits, ok := strings.CutSuffix(lower, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.bytes {
			break
		}
		*s = size(n * u.bytes)
		return nil
	}
	return fmt.Errorf("%q is no size: it must be a number of bytes, or a number with the unit k, kb, m, mb, g or gb", text)
}

// String writes the number with the largest unit that leaves it whole.
func (s size) String() string {
	for _, u := range units[:3] {
		if s > 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
