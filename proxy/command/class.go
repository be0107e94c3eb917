package command

import "strconv"

// Class is how the proxy treats a command.
type Class uint8

const (
	// Write goes to the master and is never repeated once it was sent. What is not in a table has this class as well, and
	// must not be forwarded: see Command.Nameless.
	Write Class = iota
	// Read may go to a replica, and may be repeated.
	Read
	// MasterRead changes no data, and may be repeated, but only the master gives the right answer: its access times,
	// configuration, statistics, script cache.
	MasterRead
	// Blocking may keep its connection from answering anything else for a while, or (SCRIPT KILL, FUNCTION KILL) must
	// not wait behind other requests on a shared connection. Either way it needs a connection of its own to the master
	// until it is answered, and is not repeated.
	Blocking
	// Wait is WAIT and WAITAOF, whose meaning depends on the writes made over the same connection.
	Wait
	// Subscribe is SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their opposites.
	Subscribe
	// Transaction is MULTI, EXEC, DISCARD, WATCH and UNWATCH.
	Transaction
	// Session is answered or tracked by the proxy itself.
	Session
	// Pinned leaves state in the server's connection for the rest of the session, or asks about such state.
	Pinned
	// Scan is a cursor iteration, which has to stay on the node where it began.
	Scan
	// Scripts is what concerns the scripts that servers keep, each for itself: SCRIPT LOAD, EXISTS and FLUSH; and what must
	// not wait behind a running script: SCRIPT KILL, FUNCTION KILL, FUNCTION STATS.
	Scripts
	// Info is INFO.
	Info
	// Refused is answered by an error, [Command.Refusal], and sent nowhere.
	Refused
	// Failover asks for a switchover.
	Failover
	// Proxy is PROXY, the proxy's own command.
	Proxy

	classes = iota
)

var classNames = [classes]string{
	Write: "write", Read: "read", MasterRead: "master read", Blocking: "blocking", Wait: "wait", Subscribe: "subscribe",
	Transaction: "transaction", Session: "session", Pinned: "pinned", Scan: "scan", Scripts: "scripts", Info: "info", Refused: "refused",
	Failover: "failover", Proxy: "proxy",
}

// String is the class in words: "master read".
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "class " + strconv.Itoa(int(c))
}
