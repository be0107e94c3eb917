package command

import (
	"strings"
	"testing"
)

func TestEveryRuleIsForACommandThatTheTableHas(t *testing.T) {
	// These exist on newer servers or in modules only.
	elsewhere := map[string]bool{"COMMANDLOG|GET": true, "COMMANDLOG|LEN": true, "COMMANDLOG|HELP": true, "SCRIPT|SHOW": true, "CLUSTER|MYSHARDID": true,
		"CLUSTER|SLOT-STATS": true, "FT.AGGREGATE": true, "FT.CURSOR": true, "FT.CURSOR|READ": true, "FT.CURSOR|DEL": true, "BF.SCANDUMP": true, "CF.SCANDUMP": true}
	have := make(map[string]bool)
	for c := range Builtin().All() {
		have[c.Name] = true
		if (c.Class == Refused || c.Name == "CONFIG|SET") != strings.HasPrefix(c.Refusal(), "ERR ") {
			t.Errorf("%s is %v and its refusal is %q", c.Name, c.Class, c.Refusal())
		}
		if strings.ContainsAny(c.Refusal(), "{}\r\n") {
			t.Errorf("%s is refused by %q", c.Name, c.Refusal())
		}
	}
	seen := make(map[string]bool)
	for _, h := range handRules {
		for _, name := range h.names {
			if seen[name] {
				t.Errorf("%s has two rules", name)
			}
			seen[name] = true
			if !have[name] && !elsewhere[name] {
				t.Errorf("there is a rule for %s, which is not in the table", name)
			}
		}
	}
}
