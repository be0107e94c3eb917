package command

// rule says how arguments decide the class of an invocation.
type rule uint8

const (
	ruleNone      rule = iota
	ruleSort           // STORE makes it a write
	ruleGeoStore       // STORE or STOREDIST make it a write
	ruleBitfield       // anything but GET makes it a write
	ruleXRead          // BLOCK among the options of XREAD or XREADGROUP
	ruleXInfoFull      // FULL shows what only the master knows
	ruleACLLog         // RESET forgets
	ruleConfigSet      // requirepass would cut us off
)

// Classify finds the command of a request and how this invocation of it is treated. args is the whole request; if it
// is empty the command is unknown. It does not allocate.
//
// SORT, GEORADIUS, GEORADIUSBYMEMBER and BITFIELD that only read are of class MasterRead, because a replica refuses
// them under that name.
func (t *Table) Classify(args [][]byte) (*Command, Class) {
	c := t.Lookup(args)
	if c.rule == ruleNone {
		return c, c.Class
	}
	return c, c.rule.class(c.Class, args)
}

func (r rule) class(class Class, args [][]byte) Class {
	switch r {
	case ruleConfigSet:
		for i := 2; i < len(args); i += 2 {
			if EqualFold(args[i], "REQUIREPASS") {
				return Refused
			}
		}
		return Write
	case ruleSort:
		if hasWord(args, 2, "STORE") {
			return Write
		}
		return MasterRead
	case ruleGeoStore:
		if hasWord(args, 5, "STORE") || hasWord(args, 5, "STOREDIST") {
			return Write
		}
		return MasterRead
	case ruleBitfield:
		if bitfieldOnlyGets(args) {
			return MasterRead
		}
		return Write
	case ruleXRead:
		if mayBlock(args) {
			return Blocking
		}
	case ruleXInfoFull:
		if hasWord(args, 3, "FULL") {
			return MasterRead
		}
	case ruleACLLog:
		if hasWord(args, 2, "RESET") {
			return Write
		}
	}
	return class
}

// hasWord reports whether an argument from this index on is the word. It does not parse options: a pattern of SORT that
// happens to be STORE makes a write of a read, which is safe.
func hasWord(args [][]byte, from int, word string) bool {
	for i := from; i < len(args); i++ {
		if EqualFold(args[i], word) {
			return true
		}
	}
	return false
}

// bitfieldOnlyGets reports whether BITFIELD key [GET encoding offset ...] has no other operation.
func bitfieldOnlyGets(args [][]byte) bool {
	for i := 2; i < len(args); i += 3 {
		if !EqualFold(args[i], "GET") {
			return false
		}
	}
	return true
}
