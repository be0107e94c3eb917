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
	if l.hello.master == "" || now.Sub(l.hello.at) >= helloLasts {
		return ""
	}
	return l.spelled(l.cfg.reachable(l.hello.master))
}
