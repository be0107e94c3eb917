package listing

// Entry is one command or subcommand as a server lists it.
type Entry struct {
	Name  string   // upper case, a subcommand with its container: "GET", "CONFIG|GET"
	Arity int      // number of arguments with the command's own name(s); negative: at least that many
	Group string   // as in COMMAND DOCS, "string" for example; empty if not known
	Since string   // version of Redis that brought it; empty if not known
	Flags []string // as the server spells them, in its order
	Keys  []KeySpec
}

// Find says how a KeySpec goes on once it has found where keys begin.
type Find uint8

const (
	// FindUnknown means that the server cannot tell where the keys are.
	FindUnknown Find = iota
	// FindRange is a run of keys with a fixed or relative end.
	FindRange
	// FindCount is a run of keys whose number is itself an argument.
	FindCount
)

// KeySpec is one key specification: first a place to begin, either a fixed index or the argument after a keyword, then
// a way to enumerate the keys from there. The meaning of the numbers is that of Redis's "key specifications".
type KeySpec struct {
	Keyword    string // begin after this argument, upper case; empty: begin at index Start
	Start      int    // the index, or where the search for Keyword starts (negative: from the end, backwards)
	Find       Find
	Last       int  // FindRange: the last key, relative to the first; negative: relative to the end of the arguments
	Limit      int  // FindRange with a negative Last: keys are the first 1/Limit of what is left (0 and 1: all of it)
	CountIndex int  // FindCount: where the number stands, relative to the beginning
	First      int  // FindCount: where the first key stands, relative to the beginning
	Step       int  // distance from one key to the next, at least 1
	NotKey     bool // the arguments are not keys but are sharded like keys (channels of SPUBLISH)
	Incomplete bool // the server says that this specification may miss keys
}

// Listing is everything one server lists.
type Listing struct {
	Entries []Entry // a container stands before its subcommands
	// Detailed says that the server listed subcommands and key specifications (Redis 7 and later). Without, Keys come
	// from the older first, last and step, and containers stand alone.
	Detailed bool
}
