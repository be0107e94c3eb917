package topology

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Holder is a run of a replica whose word counts for durable writes: what it has, it has as long as that process lives.
type Holder struct {
	Addr  string `json:"addr"`
	RunID string `json:"run_id"`
}

// Durable says what an answered durable write rests on, and with it who may be promoted.
//
// A write is answered when Acks of Holders have it. So as long as fewer than Acks of all that may have been counted
// cannot be asked, one of those that can has every answered write, and the one with the largest offset has them all:
// replication keeps the order. This is what Kafka calls in-sync replicas.
//
// A holder that is taken off may be the only one that has some write which was answered while it counted. It stays in
// Former, where it is not counted any more but still asked for, until two things are sure: nobody counts it, and Acks of
// the remaining Holders have all that the master had by then.
type Durable struct {
	Acks    int      `json:"acks"`    // at least 1
	Holders []Holder `json:"holders"` // sorted by address and run
	Former  []Holder `json:"former,omitempty"`
	// FormerAcks is the least number of acknowledgements under which a write may have been answered that is not sure yet
	// to be held by Acks of Holders; 0 where that is true of none.
	FormerAcks int `json:"former_acks,omitempty"`
}

// Needed returns how many holders at the least have every answered write.
func (d *Durable) Needed() int {
	if d.FormerAcks > 0 {
		return min(d.Acks, d.FormerAcks)
	}
	return d.Acks
}

// All returns Holders and Former, each once.
func (d *Durable) All() []Holder {
	all := slices.Concat(d.Holders, d.Former)
	slices.SortFunc(all, compareHolders)
	return slices.Compact(all)
}

// Settled reports whether everything that was answered is held by Acks of Holders.
func (d *Durable) Settled() bool { return len(d.Former) == 0 && d.FormerAcks == 0 }

// Counts reports whether what this run of a replica has counts for the answer to a write.
func (d *Durable) Counts(addr, runID string) bool {
	return runID != "" && slices.Contains(d.Holders, Holder{addr, runID})
}

// Clone returns a deep copy; nil of nil.
func (d *Durable) Clone() *Durable {
	if d == nil {
		return nil
	}
	c := *d
	c.Holders, c.Former = slices.Clone(d.Holders), slices.Clone(d.Former)
	return &c
}

// SortHolders puts holders into the order in which a State lists them.
func SortHolders(list []Holder) { slices.SortFunc(list, compareHolders) }

func compareHolders(a, b Holder) int {
	return cmp.Or(cmp.Compare(a.Addr, b.Addr), cmp.Compare(a.RunID, b.RunID))
}

// validate returns an error that names the first thing by which d contradicts itself.
func (d *Durable) validate() error {
	switch {
	case d == nil:
		return nil
	case d.Acks < 1 || d.FormerAcks < 0:
		return fmt.Errorf("topology: state wants %d acknowledgements, and %d before; at least 1 is needed", d.Acks, d.FormerAcks)
	case len(d.Former) > 0 && d.FormerAcks == 0:
		return errors.New("topology: state has former holders and does not say how many were counted")
	}
	for _, list := range [][]Holder{d.Holders, d.Former} {
		for i, h := range list {
			if h.Addr == "" || h.RunID == "" {
				return fmt.Errorf("topology: state has a holder without address or run (%q, %q)", h.Addr, h.RunID)
			}
			if i > 0 && compareHolders(list[i-1], h) >= 0 {
				return fmt.Errorf("topology: state lists the holder %s after %s; they are sorted, each once", h.Addr, list[i-1].Addr)
			}
		}
	}
	return nil
}
