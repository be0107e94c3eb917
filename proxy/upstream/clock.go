package upstream

import (
	"bytes"
	"strconv"
	"time"
)

// clockInterval is how often a node's clock is looked at while samples are taken.
const clockInterval = 10 * time.Second

var askTime = []byte("*1\r\n$4\r\nTIME\r\n")

// clock is how much a node's clock is ahead of this machine's, as far as a question and its answer tell.
type clock struct {
	asked time.Time
	known bool
	ahead time.Duration
	error time.Duration // at most
}

// askClock sends TIME if that is due, and reports whether it did. A replica's clock decides when keys expire there, so
// one that differs much shows keys that the master has no more, or misses some that it has.
func (p *probe) askClock(now time.Time) bool {
	if p.sampler.maxSkew == 0 || !p.clock.asked.IsZero() && now.Sub(p.clock.asked) < clockInterval {
		return false
	}
	p.clock.asked = now
	p.asked = true
	p.conn.Send(p, Repeatable, tagTime, askTime, 1)
	return true
}

// told takes in the answer to TIME. A user who may not ask, or a server that has no such command, tells nothing.
func (p *probe) told(frame []byte) {
	now := p.sampler.pool.loop.Now()
	at, ok := serverTime(frame)
	if p.clock.known = ok; ok {
		trip := now.Sub(p.clock.asked)
		p.clock.ahead, p.clock.error = at.Sub(p.clock.asked.Add(trip/2)), trip/2
	}
	if p.fresh != nil {
		p.compareClocks()
	}
	p.ask(now)
}

// compareClocks keeps reads away from a replica whose clock is too far from the master's, for certain.
func (p *probe) compareClocks() {
	m := &p.sampler.master.clock
	skew := (p.clock.ahead - m.ahead).Abs() - p.clock.error - m.error
	apart := p.clock.known && m.known && skew > p.sampler.maxSkew
	if apart != p.fresh.Apart() {
		p.fresh.SetApart(apart)
		if apart {
			p.sampler.pool.log.Warn("a replica serves no reads: its clock differs from the master's, so that keys expire at other times", "node", p.node.addr,
				"difference", skew.Round(time.Millisecond), "bound", p.sampler.maxSkew, "do", "set the clock of its machine, for example by NTP")
		} else {
			p.sampler.pool.log.Info("the clock of a replica is right again; it serves reads", "node", p.node.addr)
		}
	}
}

// serverTime reads the answer to TIME: seconds and microseconds as strings.
func serverTime(frame []byte) (time.Time, bool) {
	parts := bytes.Split(frame, []byte("\r\n"))
	if len(parts) != 6 || string(parts[0]) != "*2" {
		return time.Time{}, false
	}
	seconds, err1 := strconv.ParseInt(string(parts[2]), 10, 64)
	micros, err2 := strconv.ParseInt(string(parts[4]), 10, 64)
	return time.Unix(seconds, micros*1000), err1 == nil && err2 == nil
}
