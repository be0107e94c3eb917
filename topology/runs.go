package topology

import "hash/fnv"

// MaxRun is the largest number that a run of a node can have. It has to fit, beside the cursor of a server, into the 53
// bits that a client may keep of a cursor.
const MaxRun = 1<<17 - 1

// NumberRuns gives every run of a node that s knows a number from 1 to MaxRun, by which members can speak of it in less
// than its forty digits. was is the State that s replaces; nil if there is none. A run keeps its number whatever its node
// becomes; a node that was restarted has a new run, and gets a new number. Numbers are given in turn, so that the number
// of a run that is over is not used again before MaxRun others were.
//
// A build that does not know of numbers drops them, and so does who loses the State. Therefore the first number is not
// always the same: it follows from the runs there are, so that numbers given before mean nothing afterwards, rather than
// another node.
func (s *State) NumberRuns(was *State) {
	taken := map[uint32]bool{}
	given := map[string]uint32{} // by run
	last := s.Runs
	if was != nil {
		last = was.Runs
		for n := range was.nodes {
			if n.Run != 0 && n.RunID != "" {
				given[n.RunID] = n.Run
			}
		}
	}
	if last == 0 {
		last = s.anyNumber()
	}
	for n := range s.nodes {
		if n.Run = given[n.RunID]; n.Run != 0 {
			taken[n.Run] = true
		}
	}
	for n := range s.nodes {
		for n.RunID != "" && n.Run == 0 {
			if last = last%MaxRun + 1; !taken[last] {
				n.Run = last
			}
		}
	}
	s.Runs = last
}

// anyNumber is a number that follows from the nodes, their order and their runs.
func (s *State) anyNumber() uint32 {
	h := fnv.New32a()
	for n := range s.nodes {
		h.Write([]byte(n.Addr + " " + n.RunID + "\n")) // never fails
	}
	return h.Sum32()%MaxRun + 1
}

// nodes yields every node of s, to be changed in place.
func (s *State) nodes(yield func(*Node) bool) {
	if !yield(&s.Master) {
		return
	}
	for i := range s.Replicas {
		if !yield(&s.Replicas[i].Node) {
			return
		}
	}
	for i := range s.Unavailable {
		if !yield(&s.Unavailable[i]) {
			return
		}
	}
}
