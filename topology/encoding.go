package topology

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNewerFormat is returned by Decode for a State that a newer build wrote. It must be left as it is.
	ErrNewerFormat = errors.New("topology: the state was written by a newer version of Understudy")
	// ErrCorrupt is returned by Decode for bytes that are no State, or one that contradicts itself.
	ErrCorrupt = errors.New("topology: the state is damaged")
)

// maxEpoch leaves room for as many changes of master as there can ever be.
const maxEpoch = 1 << 62

// Encode returns s as JSON, indented so that an operator can read it. It returns an error when s is not valid:
// nothing invalid is ever stored.
func Encode(s *State) ([]byte, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	written := *s
	if s.Durable != nil {
		written.Format = durableFormat
	}
	b, err := json.MarshalIndent(&written, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("topology: encode the state: %w", err)
	}
	return append(b, '\n'), nil
}

// Decode reads what Encode wrote. Fields that this build does not know are ignored, so that a newer build of the same
// Format may add some. It returns an error that wraps ErrNewerFormat or ErrCorrupt.
func Decode(b []byte) (*State, error) {
	// The format is read first and alone: of a newer one nothing else can be relied on.
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if head.Format > durableFormat {
		return nil, fmt.Errorf("%w: it has format %d, this version understands %d", ErrNewerFormat, head.Format, durableFormat)
	}
	var s State
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&s); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	if s.Format == durableFormat {
		s.Format = Format
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	return &s, nil
}

// Validate returns an error that names the first thing by which s contradicts itself: no cluster, epoch 0, an unknown
// phase, no master, an Outage while its place is taken, a node or an elector listed twice or out of order, a Failover that does not go with the phase.
func (s *State) Validate() error {
	switch {
	case s == nil:
		return errors.New("topology: no state")
	case s.Format != Format:
		return fmt.Errorf("topology: state has format %d, want %d", s.Format, Format)
	case s.Cluster == "":
		return errors.New("topology: state names no cluster")
	case s.Epoch == 0:
		return errors.New("topology: state has epoch 0; epochs begin at 1")
	case s.Epoch > maxEpoch:
		return fmt.Errorf("topology: state has epoch %d; no cluster comes that far, and the next one must be greater", s.Epoch)
	case s.Master.Addr == "":
		return errors.New("topology: state names no master")
	}
	if err := s.validatePhase(); err != nil {
		return err
	}
	if err := validateElectors(s.Electors); err != nil {
		return err
	}
	if err := s.Durable.validate(); err != nil {
		return err
	}
	return s.validateNodes()
}

func (s *State) validatePhase() error {
	switch s.Phase {
	case Stable:
		if s.Failover != nil {
			return errors.New("topology: state is stable and has a failover under way")
		}
		return nil
	case Fencing, Promoting:
		if s.Outage != nil {
			return fmt.Errorf("topology: state is %s and says that nobody takes the master's place", s.Phase)
		}
		if s.Failover == nil {
			return fmt.Errorf("topology: state is %s and says nothing of the failover", s.Phase)
		}
		if s.Phase == Promoting && s.Failover.Choice == "" {
			return errors.New("topology: state is promoting and names no choice")
		}
		return nil
	}
	return fmt.Errorf("topology: state has the unknown phase %q", s.Phase)
}

func (s *State) validateNodes() error {
	seen := map[string]bool{s.Master.Addr: true}
	add := func(list, addr, before string) error {
		switch {
		case addr == "":
			return fmt.Errorf("topology: state lists a node without an address under %s", list)
		case seen[addr]:
			return fmt.Errorf("topology: state lists %s twice", addr)
		case strings.Compare(before, addr) > 0:
			return fmt.Errorf("topology: state lists %s after %s under %s, which is sorted by address", addr, before, list)
		}
		seen[addr] = true
		return nil
	}
	before := ""
	for _, r := range s.Replicas {
		if err := add("replicas", r.Addr, before); err != nil {
			return err
		}
		switch r.Health {
		case Online, Loading, Syncing, Unlinked, Lagging:
		default:
			return fmt.Errorf("topology: state gives %s the unknown health %q", r.Addr, r.Health)
		}
		before = r.Addr
	}
	before = ""
	for _, n := range s.Unavailable {
		if err := add("unavailable", n.Addr, before); err != nil {
			return err
		}
		before = n.Addr
	}
	return nil
}

// Equal reports whether s and t say the same.
func (s *State) Equal(t *State) bool {
	if s == nil || t == nil {
		return s == t
	}
	a, errA := json.Marshal(s)
	b, errB := json.Marshal(t)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// Node returns the node with that address, whatever its part in s, and whether there is one.
func (s *State) Node(addr string) (Node, bool) {
	if s.Master.Addr == addr {
		return s.Master, true
	}
	if r, ok := s.Replica(addr); ok {
		return r.Node, true
	}
	for _, n := range s.Unavailable {
		if n.Addr == addr {
			return n, true
		}
	}
	return Node{}, false
}
