package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/admin"
	"github.com/understudy/understudy/topology"
)

// authorised is a world whose permission to write rests on something else.
type authorised struct {
	*world
	authority topology.Authority
}

func (a *authorised) Authority() topology.Authority { return a.authority }

func TestAMasterThatIsNotUsedOrNotReplacedIsTroubleInWords(t *testing.T) {
	const m = "master 10.0.0.2:6379 "
	for _, c := range []struct {
		name   string
		grant  topology.Source
		change func(s *topology.State, n *admin.Node)
		want   string
		alarms int // besides that of the monitor
	}{
		{"a healthy one", topology.Leased, func(*topology.State, *admin.Node) {}, "", 0},
		{"down while ZooKeeper is away", topology.Promised, func(_ *topology.State, n *admin.Node) { n.Down, n.Reason = true, "connection refused" },
			m + "is down as this member sees it (connection refused), and there is no failover until ZooKeeper is back: what needs it waits", 1},
		{"the same without promises", topology.NoGrant, func(_ *topology.State, n *admin.Node) { n.Down, n.Reason = true, "connection refused" },
			m + "is down as this member sees it (connection refused), and there is no failover until ZooKeeper is back: what needs it waits", 1},
		{"down for this member alone", topology.Leased, func(_ *topology.State, n *admin.Node) { n.Down, n.Reason = true, "connection refused" },
			m + "is down as this member sees it (connection refused), and was not given up: others may reach it", 0},
		{"down for all", topology.Leased, func(s *topology.State, n *admin.Node) {
			n.Down, s.Outage = true, &topology.Outage{Since: time.Now(), Reason: "connection refused"}
		}, "", 0},
		{"silent for a moment", topology.Leased, func(_ *topology.State, n *admin.Node) { n.Silent = 900 * time.Millisecond }, "", 0},
		{"silent, and not held down yet", topology.Leased, func(_ *topology.State, n *admin.Node) { n.Silent = 3700 * time.Millisecond },
			m + "has not answered for 3s: it hangs, or is busy with one command; it is held down when that lasts for 6s (stall-after)", 0},
		{"restarted while paused", topology.Leased, func(s *topology.State, n *admin.Node) { n.RunID, s.Paused = "new", &topology.Paused{} },
			m + "answers and is not used, because it was restarted and may lack data; nobody decides while paused: understudy resume (PROXY RESUME)", 0},
		{"made a replica", topology.Leased, func(_ *topology.State, n *admin.Node) { n.Follows = "10.0.0.3:6379" },
			m + "answers and is not used, because it has been made a replica of 10.0.0.3:6379", 0},
	} {
		w := &authorised{afterFailover(), topology.Authority{Source: c.grant}}
		w.report.StallAfter = 6 * time.Second
		c.change(w.state, &w.report.Nodes[1])
		a := w.adminOf(w)
		o := a.Overview()
		a.Close()
		if o.MasterTrouble != c.want || lines(t, a.Info())["master_trouble"] != c.want {
			t.Errorf("%s: %q, want %q", c.name, o.MasterTrouble, c.want)
		}
		if len(o.Alarms) != 1+c.alarms || c.alarms > 0 && o.Alarms[1] != c.want {
			t.Errorf("%s: the alarms are %q", c.name, o.Alarms)
		}
	}
}

func TestAMemberWithOtherWriteAcksThanTheLeaderIsAnAlarm(t *testing.T) {
	for _, c := range []struct {
		own, agreed int
		want        string
	}{
		{0, 0, ""},
		{1, 1, ""},
		{1, 0, "write-acks is 1 here and 0 in the state: every write here may be answered UNREPLICATED"},
		{0, 1, "write-acks is 0 here and 1 in the state, because another member wants that or did a moment ago: what is answered here is not durable"},
		{1, 2, "write-acks is 1 here and 2 in the state, which is what counts"},
	} {
		w := afterFailover()
		w.Local = newLocal(t)
		if c.agreed > 0 {
			w.state.Durable = &topology.Durable{Acks: c.agreed}
		}
		a := admin.New(admin.Identity{Version: "v1", Cluster: "shop", ID: "web-1", WriteAcks: c.own}, w, w)
		alarms := strings.Join(a.Overview().Alarms[1:], "; ")
		a.Close()
		if !strings.HasPrefix(alarms, c.want) || c.want == "" && alarms != "" {
			t.Errorf("own %d, agreed %d: %q, want %q", c.own, c.agreed, alarms, c.want)
		}
	}
}
