package command

import (
	"bytes"
	"strings"

	"github.com/understudy/understudy/proxy/command/internal/listing"
)

// Command is one command or subcommand of a [Table]. It is immutable and shared.
type Command struct {
	// Name in upper case; a subcommand with its container: "GET", "CONFIG|GET". Empty for unknown commands.
	Name string
	// Arity is the number of arguments with the name itself (for a subcommand both names); negative: at least that
	// many; 0: not known.
	Arity int
	// Flags as the server lists them.
	Flags Flags
	// Class is how the command is treated whatever its arguments are; [Table.Classify] knows better for one invocation.
	Class Class
	// Group is the chapter of Redis's documentation: "string", "sorted-set". Empty if not known.
	Group string
	// Since is the version of Redis that brought the command. Empty if not known.
	Since string

	rule    rule              // how arguments change Class
	specs   []listing.KeySpec // where keys are, without those that are not keys
	finder  keyFinder         // used instead of specs if not nil
	sole    int               // see SoleKey
	plain   bool              // see Plain
	alone   bool              // see Alone
	partial bool              // may touch keys that are not found
	script  bool
	takes   bool
	blind   bool
	soils   bool
	refusal string
	subs    *index // subcommands of a container, else nil
}

// unknown is what commands that are not in a table have in common.
var unknown = &Command{Class: Write, partial: true, script: true}

// Known reports whether the table has this command. One that it does not have is a Write.
func (c *Command) Known() bool { return c != unknown }

// Lacks reports whether the command is a container and a request of n arguments names a subcommand that it does not have.
func (c *Command) Lacks(n int) bool { return c.subs != nil && n > 1 }

// Nameless reports whether a request for this command must not be forwarded, because the table does not have what it names: a
// server may know it as anything. A subcommand that a container does not have may be, because a server has none either, but
// not with a NUL in it: see [Askable].
func (c *Command) Nameless(args [][]byte) bool {
	return !c.Known() || c.Lacks(len(args)) && bytes.IndexByte(args[1], 0) >= 0
}

// Keyed reports whether this is a data command with keys among its arguments and nothing to it beyond that: it may be
// part of a block MULTI ... EXEC on a shared connection. Scans are not, though they have keys, because their cursors
// must be translated; neither are WATCH and the subscriptions.
func (c *Command) Keyed() bool {
	switch c.Class {
	case Write, Read, MasterRead, Blocking:
		return len(c.specs) > 0
	default:
		return false
	}
}

// Plain reports whether there is nothing to know of the command beyond its class, which is Read or Write whatever the
// arguments are, and its keys: it runs no code of a user.
func (c *Command) Plain() bool { return c.plain }

// Alone reports whether the command changes settings or users of the server that it reaches, which no other one hears of.
func (c *Command) Alone() bool { return c.alone }

// SoleKey returns which argument is the only key of every invocation, if there is one such, as for GET and SET; otherwise
// 0. An invocation with fewer arguments, which a server refuses, has none.
func (c *Command) SoleKey() int { return c.sole }

// Script reports whether the command runs code of a user: EVAL, FCALL, their variants, commands of modules, unknown
// commands. Such code can return any error, so an error of these proves nothing about the server.
func (c *Command) Script() bool { return c.script }

// Soils reports whether the command may leave its connection another one than it was: in the name of another user, or
// subscribed. It gets a connection of its own, which nobody else gets after it.
func (c *Command) Soils() bool { return c.soils }

// Refusal is the error to answer a command of class Refused with, beginning with "ERR ", without CRLF. It is empty for
// commands of which no invocation is of that class.
func (c *Command) Refusal() string { return c.refusal }

// Accepts reports whether a request of n arguments, names included, has a length the command allows.
func (c *Command) Accepts(n int) bool {
	if c.Arity < 0 {
		return n >= -c.Arity
	}
	return n == c.Arity || c.Arity == 0
}

// ArityError is the error a server gives when [Command.Accepts] is false, without CRLF. For EXEC it says that the
// transaction is discarded, which is true of any error that EXEC gives.
func (c *Command) ArityError() string {
	text := "wrong number of arguments for '" + strings.ToLower(c.Name) + "' command"
	if c.Name == "EXEC" {
		return "EXECABORT Transaction discarded because of: " + text
	}
	return "ERR " + text
}
