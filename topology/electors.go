package topology

import (
	"fmt"
	"slices"
	"time"
)

// MaxElectors is how many electors a State has at most: each member that writes without ZooKeeper asks them all.
const MaxElectors = 9

// Elector is a member that may lead, and that others ask for its promise not to while they write without ZooKeeper.
type Elector struct {
	ID   string `json:"id"`
	Addr string `json:"addr"` // where it is asked
	// Limit is how long after its last contact with ZooKeeper its last promise ends.
	Limit time.Duration `json:"limit_ns"`
}

// Elector returns the elector with that id.
func (s *State) Elector(id string) (Elector, bool) {
	i := slices.IndexFunc(s.Electors, func(e Elector) bool { return e.ID == id })
	if i < 0 {
		return Elector{}, false
	}
	return s.Electors[i], true
}

// elects reports whether the member with that id is an elector of s.
func (s *State) elects(id string) bool {
	if s == nil {
		return false
	}
	_, found := s.Elector(id)
	return found
}

// mayLead reports whether the member with that id and address may lead from s to the next State. Another address under
// the same id is another process: the one that was made an elector may still live, and promise.
func (s *State) mayLead(id, addr string) bool {
	if s == nil || len(s.Electors) == 0 {
		return true
	}
	e, found := s.Elector(id)
	return found && e.Addr == addr
}

func validateElectors(electors []Elector) error {
	if len(electors) > MaxElectors {
		return fmt.Errorf("topology: state has %d electors, at most %d can be", len(electors), MaxElectors)
	}
	before := ""
	for _, e := range electors {
		switch {
		case e.ID == "" || e.Addr == "" || e.Limit <= 0:
			return fmt.Errorf("topology: state has an elector without id, address or limit (%q, %q, %v)", e.ID, e.Addr, e.Limit)
		case e.ID <= before:
			return fmt.Errorf("topology: state lists the elector %s after %s; they are sorted by id, each once", e.ID, before)
		}
		before = e.ID
	}
	return nil
}
