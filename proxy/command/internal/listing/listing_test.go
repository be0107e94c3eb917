package listing

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// entry is a detailed entry of COMMAND with these key specifications, in RESP2.
func entry(name string, specs ...string) string {
	return fmt.Sprintf("*1\r\n*10\r\n$%d\r\n%s\r\n:-2\r\n*1\r\n+write\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*%d\r\n%s*0\r\n", len(name), name, len(specs), strings.Join(specs, ""))
}

// spec is a key specification whose beginning and enumeration are given as "type name number name number ...".
func spec(flags, begin, find string) string {
	var b strings.Builder
	names := strings.Fields(flags)
	fmt.Fprintf(&b, "*6\r\n+flags\r\n*%d\r\n", len(names))
	for _, f := range names {
		fmt.Fprintf(&b, "+%s\r\n", f)
	}
	for i, part := range []string{begin, find} {
		fields := strings.Fields(part)
		fmt.Fprintf(&b, "+%s\r\n*4\r\n+type\r\n+%s\r\n+spec\r\n*%d\r\n", []string{"begin_search", "find_keys"}[i], fields[0], len(fields)-1)
		for _, f := range fields[1:] {
			if strings.Trim(f, "-0123456789") == "" {
				fmt.Fprintf(&b, ":%s\r\n", f)
			} else {
				fmt.Fprintf(&b, "+%s\r\n", f)
			}
		}
	}
	return b.String()
}

func TestKeySpecificationsAreReadAsTheServerMeansThem(t *testing.T) {
	const index, keyRange = "index index 1", "range lastkey -1 keystep 1 limit 2"
	for _, c := range []struct{ want, text string }{
		{"index=1:range=-1,1,2", spec("RO", index, keyRange)},
		{"STREAMS@-2:range=-1,1,2", spec("RO", "keyword keyword streams startfrom -2", keyRange)},
		{"index=1:count=0,1,2", spec("RO", index, "keynum keynumidx 0 firstkey 1 keystep 2")},
		{"index=1:range=-1,1,2:notkey:incomplete", spec("not_key INCOMPLETE", index, keyRange)},
		{"unknown:incomplete", spec("RO", "unknown", "unknown")},
		{"unknown:notkey:incomplete", spec("not_key", "regex pattern x", keyRange)},
		{"unknown:incomplete", spec("RO", index, "tree depth 3")},
		{"unknown:incomplete", spec("RO", "index index 0", keyRange)},
		{"unknown:incomplete", spec("RO", index, "range lastkey 0 keystep 0 limit 0")},
		{"unknown:incomplete", spec("RO", index, "range lastkey 0 keystep -1 limit 0")},
		{"unknown:incomplete", spec("RO", index, "keynum keynumidx -5 firstkey 1 keystep 1")},
		{"unknown:incomplete", spec("RO", index, "keynum keynumidx 9223372036854775807 firstkey 1 keystep 1")},
		{"unknown:incomplete", spec("RO", index, "keynum keynumidx 1 firstkey 9223372036854775807 keystep 1")},
		{"unknown:incomplete", spec("RO", index, "range lastkey -9223372036854775808 keystep 1 limit 0")},
		{"unknown:incomplete", spec("RO", "keyword keyword x startfrom 9223372036854775807", keyRange)},
		{"unknown:incomplete", spec("RO", "index index 9223372036854775807", keyRange)},
		{"unknown:incomplete", spec("RO", index, "range lastkey 0 keystep 9223372036854775807 limit 0")},
		{"unknown:incomplete", spec("RO", "keyword keyword a:b startfrom 1", keyRange)},
		{"unknown:incomplete", spec("RO", "keyword startfrom 1 keyword", keyRange)},
		{"unknown:incomplete", spec("RO", "keyword keyword x startfrom 0", keyRange)},
		{"unknown:incomplete", spec("RO", index, "range lastkey 0 keystep 1 limit -1")},
		{"index=1:range=0,1,0", spec("RW access", index, "range lastkey 0 keystep 1 limit 0")},
		{"index=1:range=-1,1,2:incomplete", spec("incomplete", index, keyRange)},
		{"index=1048576:range=-1048576,1048576,16", spec("RO", "index index 1048576", "range lastkey -1048576 keystep 1048576 limit 16")},
	} {
		l, err := FromCommand([]byte(entry("x", c.text)))
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got := l.Entries[0].Keys[0].String(); got != c.want {
			t.Errorf("%q is read as %s, want %s", c.text, got, c.want)
		}
	}
}

func TestAKeySpecificationWithoutItsNumbersIsAnError(t *testing.T) {
	for _, text := range []string{
		spec("RO", "index", "range lastkey 0 keystep 1 limit 0"),
		spec("RO", "index index one", "range lastkey 0 keystep 1 limit 0"),
		spec("RO", "index index 1", "range lastkey 0 keystep 1"),
		spec("RO", "index index 1", "keynum keynumidx 0 firstkey 1"),
		spec("RO", "keyword keyword x", "range lastkey 0 keystep 1 limit 0"),
	} {
		if l, err := FromCommand([]byte(entry("x", text))); err == nil {
			t.Errorf("%q is read as %v", text, l.Entries)
		} else if !strings.Contains(err.Error(), "X: key specification: ") {
			t.Errorf("the error does not say where: %v", err)
		}
	}
}

func TestTheTextFormKeepsEverything(t *testing.T) {
	want := Listing{Detailed: true, Entries: []Entry{
		{Name: "A", Arity: -2, Group: "g", Since: "1.0", Flags: []string{"write", "fast"}, Keys: []KeySpec{
			{Start: 1, Find: FindRange, Last: -1, Step: 2, Limit: 3},
			{Keyword: "STORE", Start: -4, Find: FindCount, CountIndex: 1, First: 2, Step: 1, NotKey: true},
			{Incomplete: true},
		}},
		{Name: "A|B", Arity: 3},
	}}
	got, err := Parse("# comment\n\n" + want.Format())
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v became %+v", want, got)
	}
}

func TestALineThatIsNoEntryIsAnErrorWithItsNumber(t *testing.T) {
	for _, line := range []string{
		"A", "A 1 - -", "A x - - -", "A 1 - - - index", "A 1 - - - index=x:range=0,1,0", "A 1 - - - KEYS@x:range=0,1,0", "A 1 - - - index=1:range=0,1",
		"A 1 - - - index=1:range=0,1,0,0", "A 1 - - - index=1:range=0,0,0", "A 1 - - - index=1:range=0,x,0", "A 1 - - - index=1:wild", "A 1 - - - unknown:count=",
	} {
		if l, err := Parse("B 1 - - -\n" + line + "\n"); err == nil {
			t.Errorf("%q is read as %+v", line, l.Entries)
		} else if !strings.Contains(err.Error(), "line 2: ") {
			t.Errorf("%q: the error does not name the line: %v", line, err)
		}
	}
}

func TestDocumentationIsFoundForSubcommandsToo(t *testing.T) {
	l := Listing{Entries: []Entry{{Name: "A"}, {Name: "A|B"}, {Name: "C"}}}
	doc := func(since, rest string) string { return "+since\r\n+" + since + "\r\n+group\r\n+g\r\n" + rest }
	reply := "*2\r\n+a\r\n*6\r\n" + doc("1.0", "+subcommands\r\n*2\r\n+a|b\r\n*4\r\n"+doc("2.0", ""))
	if err := l.AddDocs([]byte(reply)); err != nil {
		t.Fatal(err)
	}
	want := []Entry{{Name: "A", Group: "g", Since: "1.0"}, {Name: "A|B", Group: "g", Since: "2.0"}, {Name: "C"}}
	if !reflect.DeepEqual(l.Entries, want) {
		t.Errorf("got %+v", l.Entries)
	}
	if err := l.AddDocs([]byte("*2\r\n")); err == nil {
		t.Error("a reply that is cut short is accepted")
	}
}
