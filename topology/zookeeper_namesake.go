package topology

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// reminder is how often the log says again that another process has this member's id.
const reminder = time.Minute

// namesake is what a member that wants to register knows of the process that has its id. It may be a predecessor that was
// killed: then its session ends by itself. If it does not, two processes were given one id, and one of them is of no use.
type namesake struct {
	began time.Time // when it was first met
	told  time.Time // when the log said so last
}

// meets takes note that the id is taken, by what is written there under a session.
func (n *namesake) meets(z *ZooKeeper, data []byte, owner int64, now time.Time) {
	waits := fmt.Sprintf("for the end of the ZooKeeper session %#x, in which a process that was here before, or is still, has the id %s: writes go on, and this one may "+
		"lead, at most %v after that process was killed", owner, z.cfg.ID, z.cfg.SessionTimeout*3/2)
	z.waits.Store(&waits)
	if now.Sub(n.began) <= z.cfg.SessionTimeout*3/2 {
		return
	}
	var other Member
	if err := json.Unmarshal(data, &other); err != nil {
		other = Member{} // what cannot be read has the id all the same
	}
	text := fmt.Sprintf("another process has the id %s: %s, at %s, with the ZooKeeper session %#x; as long as it runs, this one neither "+
		"writes nor leads: give one of them another --id, or end the other", z.cfg.ID, cmp.Or(other.Process, "of an older version"), cmp.Or(other.Addr, "an address that it does not tell"), owner)
	z.namesake.Store(&text)
	if n.told.IsZero() || now.Sub(n.told) >= reminder {
		n.told = now
		z.cfg.Log.Warn(text)
	}
}

// whereabouts tells people where this process runs.
func whereabouts() string {
	host, err := os.Hostname()
	if err != nil {
		host = "a host without a name"
	}
	return fmt.Sprintf("process %d on %s", os.Getpid(), host)
}
