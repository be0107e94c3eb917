package monitor

import (
	"log/slog"
	"strings"
	"time"

	"github.com/understudy/understudy/topology"
)

// tellWrite logs what the new State means.
func (l *loop) tellWrite(was *topology.State, a action, took, phase time.Duration, late []string) {
	s := a.next
	log := l.log.With("epoch", s.Epoch, "write", took)
	switch {
	case s.Phase == topology.Stable && was.Phase == topology.Fencing && !was.Failover.Planned:
		log.Warn("failover: followed", "because", a.why, "master", s.Master.Addr, "was", was.Master.Addr, "duration", time.Since(l.failovers.began()))
	case s.Phase == topology.Stable && was.Phase == topology.Fencing && s.Master.Addr == was.Master.Addr:
		log.Warn("switchover: given up before it began", "because", a.why, "master", s.Master.Addr)
	case s.Phase == topology.Fencing && s.Failover.Aborted != "" && was.Failover.Aborted == "":
		log.Warn("switchover: given up", "because", s.Failover.Aborted, "master", s.Master.Addr)
	case s.Phase == topology.Fencing && was.Phase == topology.Stable && s.Failover.Planned:
		log.Warn("switchover: fencing", "cause", a.why, "master", s.Master.Addr, "target", s.Failover.Target)
	case s.Phase == topology.Promoting && s.Failover.Planned && s.Failover.Aborted == "":
		if len(late) > 0 {
			log.Warn("switchover: members did not acknowledge the fence in time", "members", strings.Join(late, ","))
		}
		log.Info("switchover: fenced", "target", s.Failover.Target, "fence", phase)
	case was.Phase != topology.Stable && s.Phase == topology.Stable && was.Failover.Planned:
		log.Warn("switchover: over", "master", s.Master.Addr, "was", was.Master.Addr, "swap", phase,
			"duration", time.Since(l.failovers.began()))
	case was.Paused == nil && s.Paused != nil, was.Paused != nil && s.Paused == nil:
		log.Warn(a.why)
	case s.Phase == topology.Fencing && was.Phase == topology.Stable:
		log.Warn("failover: fencing", "cause", a.why, "master", s.Master.Addr,
			"candidates", strings.Join(s.Failover.Candidates, ","))
	case s.Phase == topology.Fencing:
		log.Warn("failover: fencing again", "because", a.why, "candidates", strings.Join(s.Failover.Candidates, ","))
	case s.Phase == topology.Promoting:
		if len(late) > 0 {
			log.Warn("failover: members did not acknowledge the fence in time", "members", strings.Join(late, ","))
		}
		if a.loss != "" {
			log.Warn("failover: data is given up: "+a.loss, "choice", s.Failover.Choice)
		}
		if a.doubt != "" {
			log.Warn("failover: data may be given up: "+a.doubt, "choice", s.Failover.Choice)
		}
		log.Info("failover: candidate chosen", "choice", s.Failover.Choice, "why", a.why, "fence", phase)
	case was.Phase == topology.Stable && was.Epoch != s.Epoch:
		log.Warn("paused: " + a.why)
	case was.Phase != topology.Stable:
		log.Warn("failover: complete", "master", s.Master.Addr, "was", was.Master.Addr, "promotion", phase,
			"duration", time.Since(l.failovers.began()))
	default:
		level := slog.LevelInfo
		if serving(was) > 0 && serving(s) == 0 || (was.Outage == nil) != (s.Outage == nil) {
			level = slog.LevelWarn // no replica is left to take over, or clients wait
		}
		log.Log(l.ctx, level, "state: "+a.why)
		log.Debug("state written", "state", describe(s))
	}
}

// tellRewrite logs that a node could not save its role. One that has no file to save it in is mentioned once.
func (l *loop) tellRewrite(log *slog.Logger, r *record, err error) {
	const what = "the node cannot save its new role: a restart of it would bring the old one back"
	switch {
	case !strings.Contains(err.Error(), "without a config file"):
		log.Error(what, "error", err)
	case r != nil && !r.noFile:
		r.noFile = true
		log.Warn(what, "error", err)
	}
}
