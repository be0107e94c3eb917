package command

import (
	"slices"
	"strings"

	"github.com/understudy/understudy/proxy/command/internal/listing"
)

// Names are all names in the table that a server can be asked about in one COMMAND INFO, in upper case and sorted: those of
// commands, not of subcommands.
func (t *Table) Names() []string {
	var names []string
	for _, s := range t.names.slots {
		if s.cmd != nil && Askable([]byte(s.full)) {
			names = append(names, s.full)
		}
	}
	slices.Sort(names)
	return names
}

// Renamed is a name under which a server has another command than the one that Redis gave that name.
type Renamed struct {
	Name    string // in upper case, as clients say it
	Command string // what it is
}

// Confirm makes a table of what a server really has under each of names, going by its raw reply to COMMAND INFO names. The
// receiver is not changed.
//
// COMMAND lists a command that redis.conf has renamed under the name that it had before, which may be another command's by
// now: with GET and SELECT exchanged it lists both, and a GET would put a shared connection into another database. So what
// is listed is believed only as far as the server says the same when it is asked about that name. A name that it gives
// to another command is treated as in [Table.Learn]. One that it has given away is unknown, unless the proxy answers to it by itself.
func (t *Table) Confirm(names []string, reply []byte) (*Table, []Renamed, error) {
	ls, err := listing.FromInfo(reply, len(names))
	if err != nil {
		return nil, nil, err
	}
	told := make(map[string]*Command, len(names)) // nil: the server has none
	var renamed []Renamed
	for i, name := range names {
		switch {
		case len(ls[i].Entries) == 0:
			told[name] = nil
		case ls[i].Entries[0].Name == name, ruleFor(name) != nil && ruleFor(name).class == Proxy:
			told[name] = t.names.find([]byte(name))
		default:
			told[name] = under(name, ls[i])
			renamed = append(renamed, Renamed{name, ls[i].Entries[0].Name})
		}
	}
	confirmed := &Table{names: newIndex(t.names.n)}
	for _, s := range t.names.slots {
		if s.cmd == nil {
			continue
		}
		c, asked := told[s.full]
		if c == nil && (!asked || ours(s.full)) {
			c = s.cmd
		}
		if c != nil {
			confirmed.names.add(s.full, c)
		}
	}
	confirmed.commands = slices.DeleteFunc(slices.Clone(t.commands), func(c *Command) bool {
		name, _, _ := strings.Cut(c.Name, "|")
		has := confirmed.names.find([]byte(name))
		return has == nil || has.Name != name
	})
	return confirmed, renamed, nil
}
