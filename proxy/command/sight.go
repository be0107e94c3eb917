package command

// takes are the commands that hand an element over to whoever comes first: what it is about was written by somebody else.
var takes = map[string]bool{
	"LPOP": true, "RPOP": true, "LMPOP": true, "LMOVE": true, "RPOPLPUSH": true, "SPOP": true,
	"ZPOPMIN": true, "ZPOPMAX": true, "ZMPOP": true,
	"BLPOP": true, "BRPOP": true, "BLMPOP": true, "BLMOVE": true, "BRPOPLPUSH": true,
	"BZPOPMIN": true, "BZPOPMAX": true, "BZMPOP": true,
	"XREADGROUP": true, "XCLAIM": true, "XAUTOCLAIM": true,
	"GETDEL": true, "HGETDEL": true,
}

// Takes reports whether the command takes an element away that somebody else has left: a job, a message, a token.
func (c *Command) Takes() bool { return c.takes }

// blind are the commands that are answered +OK whatever was there before.
var blind = map[string]bool{"SET": true, "SETEX": true, "PSETEX": true, "MSET": true, "HMSET": true}

// Blind reports whether this invocation, if it is answered +OK, tells nothing of what anybody has written: SET without a
// condition does, which is also how locks are taken with one.
func (c *Command) Blind(args [][]byte) bool {
	if !c.blind {
		return false
	}
	if c.Name != "SET" || len(args) <= 3 {
		return true
	}
	return len(args) == 5 && (EqualFold(args[3], "EX") || EqualFold(args[3], "PX")) ||
		len(args) == 4 && EqualFold(args[3], "KEEPTTL")
}

// conditional are the commands that change something on a condition, and say by nil or 0 that it was not met.
var conditional = map[string]bool{"SET": true, "SETNX": true, "MSETNX": true, "HSETNX": true, "RENAMENX": true, "COPY": true, "MOVE": true}

// Conditional reports whether this invocation, if it is answered by nil or 0, has changed nothing: SETNX of a key that there
// is, and SET NX. With GET, nil is the value before.
func (c *Command) Conditional(args [][]byte) bool {
	if !conditional[c.Name] {
		return false
	}
	return c.Name != "SET" || len(args) > 3 && !hasWord(args, 3, "GET")
}
