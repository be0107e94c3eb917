package command

import (
	"slices"
	"strings"

	"github.com/understudy/understudy/proxy/command/internal/listing"
)

// Refresh makes a table from a server's raw reply to COMMAND (Redis 4 and later, RESP2 or RESP3). The receiver is not
// changed. What the server lists counts, and what it does not list is unknown, except for commands that the proxy
// answers itself. The rules of this package win over the server's flags. A server before Redis 7 lists neither
// subcommands nor key specifications; these are taken from the built-in listing. The error says what is wrong with the
// reply.
func (t *Table) Refresh(reply []byte) (*Table, error) {
	live, err := listing.FromCommand(reply)
	if err != nil {
		return nil, err
	}
	missing := complete(&live, ours)
	return newTable(slices.Concat(live.Entries, missing)), nil
}

// complete adds to entries what no server tells, and what servers before Redis 7 do not. It returns the entries of the built-in
// listing that are to be added: those that are wanted in any case, and the subcommands that such a server does not list.
func complete(live *listing.Listing, wanted func(name string) bool) (missing []listing.Entry) {
	have := make(map[string]*listing.Entry, len(live.Entries))
	listed := make(map[string]bool) // commands of which there are subcommands in it
	for i := range live.Entries {
		have[live.Entries[i].Name] = &live.Entries[i]
		if container, _, ok := strings.Cut(live.Entries[i].Name, "|"); ok {
			listed[container] = true
		}
	}
	for _, e := range builtin().entries {
		switch known := have[e.Name]; {
		case known != nil:
			known.Group, known.Since = e.Group, e.Since
			if !live.Detailed {
				known.Keys = e.Keys
			}
		case lacks(live, &e, have, listed):
		case wanted(e.Name), !live.Detailed && isSubcommand(e.Name, have):
			missing = append(missing, e)
		}
	}
	return missing
}

// ours reports whether the proxy answers a command whether or not the server has it.
func ours(name string) bool {
	h := ruleFor(name)
	if h == nil {
		return false
	}
	switch h.class {
	case Session, Refused, Failover, Proxy:
		return true
	default:
		return false
	}
}

// lacks reports whether a server certainly does not have a subcommand that it does not list. CLIENT and what it lacks is answered
// by the proxy, so nothing is sent by mistake. Servers before Redis 7 list no subcommands, and do not have those that came later.
func lacks(live *listing.Listing, e *listing.Entry, have map[string]*listing.Entry, listed map[string]bool) bool {
	if container, _, _ := strings.Cut(e.Name, "|"); container != "CLIENT" || !isSubcommand(e.Name, have) {
		return false
	}
	return listed["CLIENT"] || !live.Detailed && (e.Since == "" || e.Since >= "7")
}

// isSubcommand reports whether the name is a subcommand of a command that the server has.
func isSubcommand(name string, have map[string]*listing.Entry) bool {
	container, _, ok := strings.Cut(name, "|")
	return ok && have[container] != nil
}
