package command

import (
	"bytes"
	"strings"

	"github.com/understudy/understudy/proxy/command/internal/listing"
)

// maxAsked is how long a name may be that a server is asked about. It needs to be no longer than any name of a command is.
const maxAsked = 512

// Askable reports whether a server can be asked whether it has a command of this name, as COMMAND INFO name. A name with a NUL
// cannot: for a server it ends there when it is compared, and not when it is looked for, so now and then it is another
// command's name. A bar stands between the names of a container and a subcommand.
func Askable(name []byte) bool {
	return len(name) > 0 && len(name) <= maxAsked && bytes.IndexByte(name, 0) < 0 && bytes.IndexByte(name, '|') < 0
}

// Learn makes a table that also has the command that a server has under a name, going by its raw reply to COMMAND INFO name.
// It is nil if the server has none. The receiver is not changed.
//
// COMMAND lists every command under the name that Redis gave it. So the name of a command that redis.conf has renamed is known
// only to who asks about that very name. Such a command is treated as what it is, as far as it is sent to the master as it
// came; one that the proxy has a part in is refused. It is never sent to a replica, which may have renamed nothing, or have
// loaded no module yet.
func (t *Table) Learn(name, reply []byte) (*Table, error) {
	ls, err := listing.FromInfo(reply, 1)
	if err != nil || len(ls[0].Entries) == 0 {
		return nil, err
	}
	said := asciiUpper(name)
	learned := &Table{commands: t.commands, names: newIndex(t.names.n + 1)}
	for _, s := range t.names.slots {
		if s.cmd != nil {
			learned.names.add(s.full, s.cmd)
		}
	}
	learned.names.add(said, under(said, ls[0]))
	return learned, nil
}

// under is what a server has under a name in upper case, going by what it says of that very name.
func under(said string, l listing.Listing) *Command {
	own := l.Entries[0].Name
	only := newTable(append(l.Entries, complete(&l, func(string) bool { return false })...))
	for _, c := range only.commands {
		c.confine(own != said)
	}
	return only.names.find([]byte(own))
}

// confine makes of a command what it may be before its server's whole listing is known, or under another name.
func (c *Command) confine(renamed bool) {
	switch c.Class {
	case Write, MasterRead, Blocking, Refused:
	case Read:
		c.Class, c.plain = MasterRead, false
	default:
		if renamed {
			c.Class, c.rule, c.plain = Refused, ruleNone, false
			c.refusal = strings.ReplaceAll(refuseRenamed, "{name}", strings.ReplaceAll(c.Name, "|", " "))
		}
	}
}
