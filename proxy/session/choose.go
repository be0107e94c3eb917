package session

import (
	"github.com/understudy/understudy/proxy/freshness"
	"github.com/understudy/understudy/proxy/upstream"
)

// choose returns the lane for requests to dest, or nil: then the session drains, holds, or has given up holding.
func (s *Session) choose(dest destination) *upstream.Conn {
	writes := 0
	if dest == toMaster {
		writes = 1
	}
	return s.chooseFresh(dest, 0, 1, writes)
}

// chooseFresh is choose for a number of requests, some of them writes. The reads need a replica which is fresh as of a
// sample, for the sake of their keys.
func (s *Session) chooseFresh(dest destination, need uint64, requests, writes int) *upstream.Conn {
	if s.track != nil {
		s.refusal = freshness.ByTracking
		return s.chooseTracked()
	}
	want := s.want(need)
	if s.outstanding > 0 {
		if s.lane.Master() {
			if s.group.Takes(s.lane, writes > 0) && s.fits(s.lane, requests, writes) {
				return s.lane
			}
		} else if dest != toMaster && s.lane.Usable() && s.lane.Fresh() != nil && want.Allows(s.lane.Fresh()) {
			return s.lane
		}
		s.draining = true
		return nil
	}
	s.refusal = freshness.NoReplica
	if dest != toMaster && s.move(&want) {
		return nil
	}
	if dest != toMaster {
		c, refusal := s.group.Replica(&want)
		if c != nil {
			s.catchUp.stuck = 0
			return s.instead(c, &want)
		}
		if refusal == freshness.BySession && s.awaitReplica() {
			return nil
		}
		s.refusal = refusal
	}
	lane := s.group.MasterReads
	if writes > 0 {
		lane = s.group.Master
	}
	if c := lane(); c != nil {
		s.release()
		return s.instead(c, &want)
	}
	s.hold()
	return nil
}
