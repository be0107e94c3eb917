package command

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzAnyRequestIsClassifiedWithKeysAmongItsArguments splits the input at newlines into the arguments of a request.
func FuzzAnyRequestIsClassifiedWithKeysAmongItsArguments(f *testing.F) {
	for _, list := range []string{keyShapes, malformed} {
		for line := range strings.Lines(list) {
			f.Add([]byte(strings.Join(strings.Fields(line), "\n")))
		}
	}
	for _, list := range shapes {
		for line := range strings.Lines(list) {
			f.Add([]byte(strings.Join(strings.Fields(line), "\n")))
		}
	}
	for c := range Builtin().All() {
		f.Add([]byte(strings.ReplaceAll(c.Name, "|", "\n")))
	}
	f.Fuzz(func(t *testing.T, request []byte) {
		args := bytes.Split(request, []byte("\n"))
		c, class := Builtin().Classify(args)
		if c == nil || int(class) >= classes {
			t.Fatalf("%q is %v of class %v", args, c, class)
		}
		if c.Flags.Has(FlagWrite) && (class == Read || class == Scan) {
			t.Errorf("%q writes and is of class %v", args, class)
		}
		if !c.Known() && class != Write {
			t.Errorf("%q is unknown and of class %v", args, class)
		}
		asRead := make([][]byte, len(args)) // by a server that finds names up to a NUL
		for i, a := range args {
			asRead[i], _, _ = bytes.Cut(a, []byte{0})
		}
		if is := laneless(asRead); is != "" && !c.Nameless(args) && laneless(args) == "" {
			t.Errorf("%q would be forwarded as %v, and a server may take it for %s", args, class, is)
		}
		c.Unbounded(args)
		for _, key := range c.Keys(nil, args) {
			found := false
			for _, a := range args {
				found = found || len(a) == len(key) && (len(a) == 0 || &a[0] == &key[0])
			}
			if !found {
				t.Errorf("%q has key %q, which is none of its arguments", args, key)
			}
		}
	})
}

// laneless names the command of a request that must not come to a shared connection; it is empty for others.
func laneless(args [][]byte) string {
	switch c, class := Builtin().Classify(args); class {
	case Read, Write, MasterRead, Scan, Info, Scripts:
		return ""
	default:
		return class.String() + " " + c.Name
	}
}

// FuzzAnyReplyToCommandMakesATableOrAnError feeds a reply and looks every command of its table up again.
func FuzzAnyReplyToCommandMakesATableOrAnError(f *testing.F) {
	f.Add([]byte(redis6Reply))
	f.Add([]byte("*1\r\n*10\r\n$6\r\nmy.get\r\n:-2\r\n*2\r\n+readonly\r\n+module\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*1\r\n+RO\r\n" +
		"$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n" +
		"$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n"))
	f.Fuzz(func(t *testing.T, reply []byte) {
		table, err := Builtin().Refresh(reply)
		if err != nil {
			return
		}
		for c := range table.All() {
			args := bytes.SplitN([]byte(c.Name), []byte("|"), 2)
			got := table.Lookup(args)
			if len(args) == 1 && got != c {
				t.Errorf("%q is found as %q", c.Name, got.Name)
			}
			for n := range 6 {
				full := append(args, make([][]byte, n)...)
				table.Classify(full)
				got.Keys(nil, full)
			}
		}
	})
}
