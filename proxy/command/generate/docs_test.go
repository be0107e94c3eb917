package main

import (
	"os"
	"strings"
	"testing"

	"github.com/understudy/understudy/proxy/command"
)

func TestTheDocumentationIsThatOfTheBuiltInTable(t *testing.T) {
	have, err := os.ReadFile("../../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != docs(command.Builtin()) {
		t.Error("docs/commands.md is out of date: run go generate ./proxy/command")
	}
}

func TestTheListingIsThatOfAServerOfItsVersion(t *testing.T) {
	have, err := os.ReadFile("../commands.txt")
	if err != nil {
		t.Fatal(err)
	}
	want, err := list(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	installed, _, _ := strings.Cut(want, "\n")
	listed, _, _ := strings.Cut(string(have), "\n")
	if installed != listed {
		t.Skipf("commands.txt is the listing of a redis-server of another version (put one of its version first in PATH to compare): %q is installed, instead of %q", installed, listed)
	}
	if string(have) != want {
		t.Error("commands.txt is out of date: run go generate ./proxy/command")
	}
}

func TestEveryClassAndNoteOfTheDocumentationIsInUse(t *testing.T) {
	used := make(map[command.Class]bool)
	names := make(map[string]bool)
	for c := range command.Builtin().All() {
		used[c.Class] = true
		names[c.Name] = true
	}
	for _, c := range classTexts {
		if !used[c.class] {
			t.Errorf("no command is %s", c.title)
		}
		if c.title != c.class.String() {
			t.Errorf("%v is called %q", c.class, c.title)
		}
		delete(used, c.class)
	}
	for c := range used {
		t.Errorf("%v is not explained", c)
	}
	for name := range notes {
		if !names[name] {
			t.Errorf("there is a note about %s, which is not in the table", name)
		}
	}
}
