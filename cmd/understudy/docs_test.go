package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var rewrite = flag.Bool("rewrite", false, "write the tables of options into the documents")

// Documents hold tables between these marks.
const (
	tableBegins = "<!-- options: go test ./cmd/understudy -run Documents -rewrite -->\n"
	tableEnds   = "<!-- end of options -->\n"
)

// runFlags returns the options of run in the order of its help, by group.
func runFlags(t *testing.T) (groups []kong.Group, flags map[string][]*kong.Flag) {
	t.Helper()
	parser, err := newParser(&cli{}, &fileResolver{}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	flags = map[string][]*kong.Flag{}
	for _, command := range parser.Model.Children {
		if command.Name == "run" {
			for _, f := range command.Flags {
				if f.Group == nil {
					t.Fatalf("--%s has no group", f.Name)
				}
				flags[f.Group.Key] = append(flags[f.Group.Key], f)
			}
		}
	}
	return optionGroups, flags
}

// defaultText is the default of an option as documents show it: none for what differs between machines.
func defaultText(f *kong.Flag) string {
	if f.Default == "" || f.Name == "id" {
		return ""
	}
	return "`" + f.Default + "`"
}

// shortTable has a row for each option.
func shortTable(t *testing.T) string {
	var b strings.Builder
	groups, flags := runFlags(t)
	b.WriteString("| option | default | meaning |\n|---|---|---|\n")
	for _, g := range groups {
		for _, f := range flags[g.Key] {
			fmt.Fprintf(&b, "| `--%s` | %s | %s |\n", f.Name, defaultText(f), strings.ReplaceAll(f.Help, "|", `\|`))
		}
	}
	return b.String()
}

// longTable has a heading for each group, and tells the variables.
func longTable(t *testing.T) string {
	var b strings.Builder
	groups, flags := runFlags(t)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n### %s\n\n| flag and key | variable | default | meaning |\n|---|---|---|---|\n", strings.TrimSuffix(g.Title, ":"))
		for _, f := range flags[g.Key] {
			fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", f.Name, f.Envs[0], defaultText(f), strings.ReplaceAll(f.Help, "|", `\|`))
		}
	}
	return b.String() + "\n"
}

func TestDocumentsListTheOptionsThereAre(t *testing.T) {
	for path, table := range map[string]string{"README.md": shortTable(t), "docs/configuration.md": longTable(t)} {
		path = filepath.Join("..", "..", path)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, begins := strings.Cut(string(text), tableBegins)
		was, after, ends := strings.Cut(rest, tableEnds)
		if !begins || !ends {
			t.Errorf("%s has no place for the options", path)
			continue
		}
		if was == table {
			continue
		}
		if !*rewrite {
			t.Errorf("the options in %s are not current: go test ./cmd/understudy -run Documents -rewrite", path)
			continue
		}
		if err := os.WriteFile(path, []byte(before+tableBegins+table+tableEnds+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheExampleFileOfTheDocumentsIsValid(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begins := strings.Cut(string(text), "```yaml\n")
	example, _, ends := strings.Cut(rest, "```\n")
	if !begins || !ends {
		t.Fatal("docs/configuration.md has no example")
	}
	o := optionsOf(t, "--config", write(t, example))
	if err := o.validate(); err != nil {
		t.Error(err)
	}
}
