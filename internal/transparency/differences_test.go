package transparency

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// difference is a kind of reply that need not be the same bytes directly and through the proxy, with what is taken
// out of it before it is compared.
type difference struct {
	command string // as it begins, in upper case; "HELLO", "CLIENT ID"
	reason  string // one line, which also stands in docs/compatibility.md
	strip   func(frame string) string
}

// replace returns a function that puts a text in place of every match.
func replace(pattern, with string) func(string) string {
	re := regexp.MustCompile(pattern)
	return func(frame string) string { return re.ReplaceAllString(frame, with) }
}

const clientDiffers = "the client described is the proxy's, whose number, addresses, age and buffers are other ones"

// described drops of the description of clients what may differ: numbers, addresses, times and sizes.
func described(frame string) string {
	return replace(`^[$=]\d+`, "text")(replace(`\b(id|addr|laddr|fd|age|idle|qbuf|qbuf-free|argv-mem|multi-mem|rbs|rbp|obl|oll|omem|tot-mem|events)=\S*`, "$1=")(
		replace(`redir=[1-9]\d*`, "redir=N")(frame)))
}

const scanOrder = "the cursor also says which node it belongs to, and each node has an order of its own"

// scanned drops the cursor of a reply to a scan, unless it is 0, and the order of the elements.
func scanned(frame string) string {
	rest, array := strings.CutPrefix(frame, "*2\r\n$")
	if !array {
		return frame
	}
	_, rest, _ = strings.Cut(rest, "\r\n")
	cursor, rest, _ := strings.Cut(rest, "\r\n")
	if cursor != "0" {
		cursor = "N"
	}
	lines := strings.Split(rest, "\r\n")
	slices.Sort(lines)
	return cursor + strings.Join(lines, " ")
}

// differences are all that is allowed. Everything else must be the same bytes.
var differences = []difference{
	{"HELLO", "the id is the client's number at the proxy", replace(`id\r\n:\d+`, "id\r\n:N")},
	{"CLIENT ID", "the id is the client's number at the proxy", replace(`\d+`, "N")},
	{"CLIENT INFO", clientDiffers, described},
	{"CLIENT LIST ID", clientDiffers, described},
	{"CLIENT LIST", "the clients listed are the proxy's", func(string) string { return "a list" }},
	{"INFO", "counters and times; a section of Understudy's own at the end", func(frame string) string {
		body := regexp.MustCompile(`^[$=]\d+\r\n(txt:)?`).ReplaceAllString(frame, "")
		body, _, _ = strings.Cut(body, "\r\n# Understudy")
		var names []string
		for line := range strings.Lines(body) {
			name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
			// Which commands have been called, and which errors given, depends on who asked.
			if name != "" && !strings.HasPrefix(name, "cmdstat_") && !strings.HasPrefix(name, "latency_") && !strings.HasPrefix(name, "errorstat_") {
				names = append(names, name)
			}
		}
		return fmt.Sprint(names)
	}},
	{"TIME", "time passes", func(string) string { return "now" }},
	{"LASTSAVE", "time passes", func(string) string { return "then" }},
	{"XADD", "ids made from the clock", replace(`^\$\d+\r\n\d{13}-\d+`, "id")},
	{"XINFO", "times since something happened", replace(`(idle|inactive|seen-time|active-time)\r\n:-?\d+`, "$1\r\n:N")},
	{"MONITOR", "times, and the address is the proxy's", replace(`\+\d+\.\d+ \[(\d+) [^]]*\]`, "+time [$1 address]")},
	{"SLOWLOG GET", "times, and the address is the proxy's", func(string) string { return "a list" }},
	{"MEMORY", "memory of the server at that moment", func(frame string) string { return frame[:1] }},
	{"ACL LOG", "times and ids, and the client described is a connection of the proxy", func(string) string { return "a list" }},
	{"ROLE", "the replication offset grows", replace(`\d+`, "N")},
	{"SCAN", scanOrder, scanned}, {"HSCAN", scanOrder, scanned}, {"SSCAN", scanOrder, scanned}, {"ZSCAN", scanOrder, scanned},
	{"COMMAND", "the order in which a server lists its commands and their subcommands changes from call to call", func(frame string) string {
		lines := strings.Split(frame, "\r\n")
		slices.Sort(lines)
		return strings.Join(lines, " ")
	}},
}

// normalise takes out of a reply what may differ.
func normalise(args []string, frame []byte) []byte {
	if len(args) == 0 {
		return frame
	}
	name := strings.ToUpper(strings.Join(args, " ")) + " "
	for _, d := range differences {
		if strings.HasPrefix(name, d.command+" ") {
			return []byte(d.strip(string(frame)))
		}
	}
	return frame
}

func TestEveryAllowedDifferenceStandsInTheDocumentation(t *testing.T) {
	doc, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	_, chapter, found := strings.Cut(string(doc), "## Allowed differences")
	if !found {
		t.Fatal("docs/compatibility.md has no chapter \"Allowed differences\"")
	}
	chapter, _, _ = strings.Cut(chapter, "\n## ")
	var listed []string
	for line := range strings.Lines(chapter) {
		if cells := strings.Split(line, "|"); len(cells) == 4 {
			listed = append(listed, strings.TrimSpace(cells[1])+": "+strings.TrimSpace(cells[2]))
		}
	}
	for _, d := range differences {
		if !slices.Contains(listed, fmt.Sprintf("`%s`: %s", d.command, d.reason)) {
			t.Errorf("docs/compatibility.md does not list | `%s` | %s |", d.command, d.reason)
		}
	}
}
