// Package listing is what a Redis server says about its own commands: names, arity, flags and where keys stand among
// the arguments. It reads the replies of COMMAND and COMMAND DOCS and the text form in which they are checked in; it
// judges nothing. What the proxy does with a command is decided in proxy/command.
package listing
