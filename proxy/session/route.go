package session

import "github.com/understudy/understudy/proxy/command"

// destination is where a batch of ordinary requests goes.
type destination uint8

const (
	toAny     destination = iota // any node, or the proxy itself: PING
	toReplica                    // a replica; the master when there is none
	toMaster
)

// route decides where a request of that class may go, for a session with that policy. sticky says that the session
// has written a short time ago, so that its reads must see the master's data.
func route(class command.Class, policy Policy, sticky bool) destination {
	switch {
	case class == command.Session:
		return toAny
	case class != command.Read && class != command.Scan, policy == MasterOnly:
		return toMaster
	case sticky && policy != PreferReplica:
		return toMaster
	}
	return toReplica
}
