package command

import "strings"

// Flags are the flags a server gives a command in its reply to COMMAND, as a set of bits.
type Flags uint32

// The flags of Redis 6 and 7, named and meant as in Redis's documentation of COMMAND.
const (
	FlagWrite Flags = 1 << iota
	FlagReadOnly
	FlagDenyOOM
	FlagModule
	FlagAdmin
	FlagPubSub
	FlagNoScript
	FlagRandom
	FlagSortForScript
	FlagBlocking
	FlagLoading
	FlagStale
	FlagSkipMonitor
	FlagSkipSlowlog
	FlagAsking
	FlagFast
	FlagNoAuth
	FlagMayReplicate
	FlagMovableKeys
	FlagNoMandatoryKeys
	FlagProtected
	FlagAllowBusy
	FlagNoAsyncLoading
	FlagNoMulti
)

// flagNames are the server's spellings, in the order of the bits.
var flagNames = [...]string{
	"write", "readonly", "denyoom", "module", "admin", "pubsub", "noscript", "random", "sort_for_script", "blocking",
	"loading", "stale", "skip_monitor", "skip_slowlog", "asking", "fast", "no_auth", "may_replicate", "movablekeys",
	"no_mandatory_keys", "protected", "allow_busy", "no_async_loading", "no_multi",
}

// Has reports whether all of these flags are set.
func (f Flags) Has(flags Flags) bool { return f&flags == flags }

// String lists the flags as the server spells them, separated by a space, or is empty.
func (f Flags) String() string {
	var names []string
	for i, name := range flagNames {
		if f.Has(1 << i) {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// flagsOf makes the set from the server's spellings. A flag that is not known, of a future server, has no bearing on
// routing and is left out.
func flagsOf(names []string) Flags {
	var f Flags
	for _, have := range names {
		for i, name := range flagNames {
			if have == name {
				f |= 1 << i
				break
			}
		}
	}
	return f
}
