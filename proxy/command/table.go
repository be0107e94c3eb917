package command

import (
	_ "embed" // for commands.txt
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/understudy/understudy/proxy/command/internal/listing"
)

//go:embed commands.txt
var commandsText string

// Table is an immutable set of commands, safe for use by any number of goroutines.
type Table struct {
	names    *index
	commands []*Command // by name, subcommands behind their container
}

// Builtin is the table made from commands.txt. It is built at the first call.
func Builtin() *Table { return builtin().table }

// builtinListing is what Builtin was made of; Refresh completes an older server's listing with it.
type builtinListing struct {
	table   *Table
	entries []listing.Entry
}

var builtin = sync.OnceValue(makeBuiltin)

func makeBuiltin() builtinListing {
	l, err := listing.Parse(commandsText + supplement)
	if err != nil {
		// Both texts are compiled in and every test reads them.
		panic(fmt.Sprintf("command: %v", err))
	}
	return builtinListing{newTable(l.Entries), l.Entries}
}

// Lookup finds the command that a request invokes, whatever its case. If the command has subcommands and the second
// argument is one of them that is the result, otherwise the container. A command that is not in the table, or an empty
// request, gives a command of class Write that is not [Command.Known]. The result is never nil. It does not allocate.
func (t *Table) Lookup(args [][]byte) *Command {
	if len(args) == 0 {
		return unknown
	}
	c := t.names.find(args[0])
	if c == nil {
		return unknown
	}
	if c.subs != nil && len(args) > 1 {
		if sub := c.subs.find(args[1]); sub != nil {
			return sub
		}
	}
	return c
}

// All yields every command and subcommand, sorted by name.
func (t *Table) All() iter.Seq[*Command] { return slices.Values(t.commands) }

// newTable builds a table. Where a name appears twice the later entry counts.
func newTable(entries []listing.Entry) *Table {
	byName := make(map[string]*Command, len(entries))
	for i := range entries {
		byName[entries[i].Name] = newCommand(&entries[i])
	}
	subcommands := make(map[string]int) // by container
	for name := range byName {
		if container, _, ok := strings.Cut(name, "|"); ok {
			subcommands[container]++
		}
	}
	t := &Table{commands: make([]*Command, 0, len(byName)), names: newIndex(len(byName))}
	for name, c := range byName {
		t.commands = append(t.commands, c)
		container, sub, ok := strings.Cut(name, "|")
		if !ok {
			t.names.add(name, c)
			continue
		}
		if parent := byName[container]; parent != nil {
			if parent.subs == nil {
				parent.subs = newIndex(subcommands[container])
				parent.plain = false // without a subcommand that it has, it is looked at
			}
			parent.subs.add(sub, c)
		}
	}
	slices.SortFunc(t.commands, func(a, b *Command) int { return strings.Compare(a.Name, b.Name) })
	return t
}

func newCommand(e *listing.Entry) *Command {
	c := &Command{Name: e.Name, Arity: e.Arity, Flags: flagsOf(e.Flags), Group: e.Group, Since: e.Since, finder: keyFinders[e.Name]}
	for _, s := range e.Keys {
		if s.NotKey {
			continue
		}
		c.partial = c.partial || s.Incomplete || s.Find == listing.FindUnknown
		c.specs = append(c.specs, s)
	}
	if c.finder != nil {
		c.partial = false
	}
	module := c.Flags.Has(FlagModule)
	c.script = scripts[c.Name] || module
	c.partial = c.partial || scripts[c.Name] || module && !slices.ContainsFunc(boundedModules, func(p string) bool { return strings.HasPrefix(c.Name, p) })
	c.soils = !core()[c.Name] && c.Flags&(FlagPubSub|FlagNoAuth) != 0
	c.takes, c.blind = takes[c.Name], blind[c.Name]
	if h := ruleFor(c.Name); h == nil {
		c.Class = byFlags(c.Name, c.Flags)
	} else {
		c.Class, c.rule = h.class, h.rule
		c.refusal = strings.ReplaceAll(h.refusal, "{name}", strings.ReplaceAll(c.Name, "|", " "))
	}
	c.alone = slices.Contains([]string{"CONFIG|SET", "ACL|SETUSER", "ACL|DELUSER", "ACL|LOAD"}, c.Name)
	c.plain = (c.Class == Read || c.Class == Write) && c.rule == ruleNone && !c.script && !c.alone
	if !c.partial && c.finder == nil && len(c.specs) == 1 {
		c.sole = soleKey(&c.specs[0])
	}
	return c
}
