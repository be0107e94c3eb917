package monitor

import (
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// sentinelPattern matches the channel on which Sentinels tell one another, at every node they watch, which master
	// they have agreed on. As a pattern, so that those who count the channel's subscribers do not take one who follows
	// for a Sentinel.
	sentinelPattern = "__sentinel__:hell[o]"
	// helloLasts is for how long what they told is believed. They repeat it every two seconds.
	helloLasts = 30 * time.Second
	// followPause is the longest time between two INFO of a node whose role others may change.
	followPause = 100 * time.Millisecond
)

// hello is what a Sentinel told of the master.
type hello struct {
	at     time.Time
	master string // host:port, as Sentinel has it
	epoch  uint64 // Sentinel's; it grows with every change of master
}

// parseHello reads a message that came by sentinelPattern:
// ip,port,runid,current_epoch,master_name,master_ip,master_port,master_config_epoch.
func parseHello(reply any, at time.Time) (hello, bool) {
	message, isArray := reply.([]any)
	if !isArray || len(message) != 4 {
		return hello{}, false
	}
	kind, _ := message[0].([]byte)
	pattern, _ := message[1].([]byte)
	payload, _ := message[3].([]byte)
	fields := strings.Split(string(payload), ",")
	if string(kind) != "pmessage" || string(pattern) != sentinelPattern || len(fields) != 8 {
		return hello{}, false
	}
	epoch, err := strconv.ParseUint(fields[7], 10, 64)
	if err != nil || fields[5] == "" || fields[6] == "" {
		return hello{}, false
	}
	return hello{at: at, master: net.JoinHostPort(fields[5], fields[6]), epoch: epoch}, true
}

// greeted takes in what a Sentinel told. One that was cut off from the others repeats what was so before.
func (l *loop) greeted(h hello) {
	if h.epoch < l.hello.epoch && h.at.Sub(l.hello.at) < helloLasts {
		return
	}
	l.hello = h
	l.named(h.master)
}

// appointed returns the master that Sentinels tell of, as it is watched; "" if none do.
func (l *loop) appointed(now time.Time) string {
	if l.hello.master == "" || now.Sub(l.hello.at) >= helloLasts || l.isOverruled(l.hello) {
		return ""
	}
	return l.watchedAs(l.hello)
}

// watchedAs returns the address by which the master that Sentinels told of is watched.
func (l *loop) watchedAs(h hello) string { return l.spelled(l.cfg.reachable(h.master)) }

// meant reports whether Sentinels told of the node at addr.
func (l *loop) meant(h hello, addr string) bool {
	a := l.watchedAs(h)
	return h.master != "" && (a == addr || l.announced[addr] == a)
}

// overrule takes note that State has another master since now, which is watched at addr. For about a second Sentinels
// still tell of the one before, also of one that was down and has come back as a master: that is no appointment of it.
func (l *loop) overrule(addr string, now time.Time) {
	l.overruled = hello{}
	if l.hello.master != "" && !l.meant(l.hello, addr) {
		l.overruled = hello{at: now, master: l.hello.master, epoch: l.hello.epoch}
	}
}

// isOverruled reports whether what Sentinels told is older than State's master. Every appointment has an epoch of its own.
// What they go on repeating counts again after a while: Sentinel may have been set up anew.
func (l *loop) isOverruled(h hello) bool {
	o := l.overruled
	return o.master != "" && h.epoch <= o.epoch && h.at.Sub(o.at) < helloLasts && !l.meant(h, l.snapshot.State.Master.Addr)
}
