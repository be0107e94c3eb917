package upstream

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/understudy/understudy/resp"
)

// handshake is what a new connection says before it carries requests, all in one write, and what each answer means.
type handshake struct {
	steps    []step
	answered bool // at least one of them was
}

// step is one command of the handshake, by what its failure means.
type step uint8

const (
	stepRequired step = iota // HELLO, AUTH, SELECT: without it the connection is not what its users need
	stepOptional             // CLIENT SETNAME, CLIENT NO-EVICT: a user may lack the permission
	stepWished               // CLIENT NO-TOUCH: the server may not have it
	stepIdentity             // INFO server
	stepNumber               // CLIENT ID of a pin, by which what blocks on it can be ended; servers before 5 have none
)

// introduce writes the handshake. It is far smaller than an empty socket buffer.
func (c *Conn) introduce() error {
	key, pool := c.group.key, c.group.pool
	var b []byte
	say := func(s step, args ...string) {
		b = resp.AppendRequestStrings(b, args...)
		c.shake.steps = append(c.shake.steps, s)
	}
	switch {
	case key.Proto == 3 && key.User != "":
		say(stepRequired, "HELLO", "3", "AUTH", key.User, key.Password)
	case key.Proto == 3 && key.Password != "":
		say(stepRequired, "HELLO", "3", "AUTH", "default", key.Password)
	case key.Proto == 3:
		say(stepRequired, "HELLO", "3")
	case key.User != "":
		say(stepRequired, "AUTH", key.User, key.Password)
	case key.Password != "":
		say(stepRequired, "AUTH", key.Password)
	}
	if key.DB != 0 {
		say(stepRequired, "SELECT", strconv.Itoa(key.DB))
	}
	say(stepOptional, "CLIENT", "SETNAME", pool.cfg.ClientName)
	say(stepOptional, "CLIENT", "NO-EVICT", "on")
	if key.NoTouch {
		say(stepWished, "CLIENT", "NO-TOUCH", "on")
	}
	if c.pin {
		say(stepNumber, "CLIENT", "ID")
	}
	say(stepIdentity, "INFO", "server")
	n, err := c.net.Write(b)
	if err == nil && n < len(b) {
		err = fmt.Errorf("only %d of %d bytes were taken", n, len(b))
	}
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	return nil
}

// introduced handles the answer to one step; after the last, requests flow.
func (c *Conn) introduced(frame []byte) {
	if frame[0] == '>' {
		return
	}
	s := c.shake.steps[0]
	first := !c.shake.answered
	c.shake.answered = true
	if first && bytes.HasPrefix(frame, []byte("-ERR max number of clients")) {
		c.end(fmt.Errorf("handshake: %s", bytes.TrimSpace(frame[1:])), true)
		return
	}
	failed := frame[0] == '-'
	if s == stepRequired && failed {
		c.refused(frame)
		return
	}
	if s == stepOptional && c.group.key.anonymous() && !c.frank {
		c.heardOfAuth(frame)
		if c.ended {
			return
		}
	}
	if s == stepNumber && frame[0] == ':' {
		c.id = string(bytes.TrimSpace(frame[1:]))
	}
	if s == stepIdentity && !failed && c.node.runID != "" && !bytes.Contains(frame, []byte("run_id:"+c.node.runID)) {
		c.end(errIdentity, true)
		return
	}
	if s == stepIdentity && !failed {
		c.node.version = serverVersion(frame)
	}
	if s == stepIdentity && failed && !c.node.master && !c.node.serves {
		// Only iterations come here, and while a replica is not in sync State may still have the run before a restart. A
		// user who may not ask which run this is could be given elements in another order.
		c.end(errIdentity, true)
		return
	}
	if c.shake.steps = c.shake.steps[1:]; len(c.shake.steps) == 0 {
		c.shake.steps = nil
		c.patience.Stop()
		c.ready = true
		c.opened()
		c.node.connected()
		if c.probe {
			c.end(errRetired, false)
			return
		}
		if c.Up != nil {
			c.Up()
		}
		if c.ended {
			return
		}
		c.net.Flush()
		c.arrive()
		c.settle()
	}
}

// serverVersion returns the version of a server of which INFO says this: 702 is 7.2; 0 if it does not say.
func serverVersion(info []byte) int {
	_, version, _ := bytes.Cut(info, []byte("redis_version:"))
	var major, minor int
	if n, err := fmt.Sscanf(string(version[:min(len(version), 16)]), "%d.%d", &major, &minor); n != 2 || err != nil {
		return 0
	}
	return 100*major + minor
}

// heardOfAuth learns from the answer to a connection without credentials whether the cluster wants them. The master
// decides; a replica that wants a password while the master does not is passed over.
func (c *Conn) heardOfAuth(frame []byte) {
	required := bytes.HasPrefix(frame, []byte("-NOAUTH"))
	switch pool := c.group.pool; {
	case c.node.master:
		pool.requireAuth(required)
	case required && !pool.authHeard: // most likely the master, which has not answered yet, wants the same
		c.group.passOver(c.node)
		c.end(errRetired, false)
	case required && !pool.authRequired:
		c.group.refusedBy(c.node, frame)
		c.end(errRetired, false)
	}
}

// refused ends a connection whose HELLO, AUTH or SELECT the server has declined. From the master that is the answer
// to everything that waits here, and from any node where that is what was asked; otherwise a replica that refuses what the
// master accepts is passed over.
func (c *Conn) refused(frame []byte) {
	if c.node.master || c.frank && bytes.HasPrefix(frame, []byte("-WRONGPASS")) {
		c.rejected = bytes.HasPrefix(frame, []byte("-WRONGPASS"))
		for c.queue.n > 0 && !c.ended {
			e := c.queue.front()
			for e.Replies > 0 {
				e.Replies--
				e.Owner.Reply(c, e, frame)
				if c.ended {
					return
				}
			}
			c.answer(1, e.Size)
		}
		if c.Passthrough && c.Listener != nil && !c.ended {
			c.Listener.Push(c, frame) // nothing is queued there
		}
		c.end(errRetired, false)
		return
	}
	c.group.refusedBy(c.node, frame)
	c.end(errRetired, false)
}
