package upstream

import (
	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/freshness"
)

// stamp notes that the n requests at the front, which are all alike, are over, before anybody hears of it: answered, or
// lost after they were sent. Who sent them may be gone.
func (c *Conn) stamp(n int) {
	first := c.queue.front()
	if first.Kind == Repeatable {
		return
	}
	p := c.group.pool
	f := p.cfg.Freshness
	p.marks = append(p.marks[:0], c.gathered...)
	for i := range n {
		if m := c.queue.at(i).Mark; m != freshness.Unknown {
			p.marks = append(p.marks, m)
		}
	}
	f.Answered(p.marks...)
	if first.Mark == freshness.Unknown { // then it is the only one
		request := c.log.Peek(first.Size)
		if request == nil {
			p.scratch = c.log.Front(p.scratch[:0], first.Size)
			request = p.scratch
		}
		f.Look(request)
	}
	if cap(p.scratch) > keptScratch {
		p.scratch = nil
	}
}

// keptScratch bounds the memory that is kept for looking at requests.
const keptScratch = 64 << 10

// Gather adds to what the next EXEC on a pin changes: this is one of the commands that are queued.
func (c *Conn) Gather(cmd *command.Command, args [][]byte) {
	if cmd.Class != command.Read && cmd.Class != command.MasterRead {
		c.gathered = c.group.pool.cfg.Freshness.AppendMarks(c.gathered, cmd, args)
	}
}

// GatherAnything is Gather for commands that are not looked at one by one.
func (c *Conn) GatherAnything() { c.gathered = append(c.gathered, freshness.Anything) }
