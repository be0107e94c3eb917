package demo

import (
	"context"

	"github.com/understudy/understudy/proxy/admin/client"
)

// asked is one Understudy that is asked what it sees.
type asked struct {
	addr string

	conn *client.Client
	err  error // why it does not answer

	info    client.Fields
	nodes   []client.Fields
	members []client.Fields

	// By the counters of the last line: what the Understudy had sent to each node, and taken from clients. A restarted one
	// begins anew.
	sent  map[string]int64
	taken int64
	known bool
}

// ask asks for everything.
func (a *asked) ask(ctx context.Context) error {
	if a.err = a.learn(ctx); a.err != nil {
		a.hangUp()
	}
	return a.err
}

func (a *asked) learn(ctx context.Context) (err error) {
	if a.conn == nil {
		if a.conn, err = client.Dial(ctx, a.addr, "", ""); err != nil {
			a.conn = nil
			return err
		}
	}
	if a.info, err = a.conn.Info(); err != nil {
		return err
	}
	if a.nodes, err = a.conn.Nodes(); err != nil {
		return err
	}
	if a.members, err = a.conn.Members(); err != nil {
		return err
	}
	if !a.known {
		a.settle() // what it did before is not of the next second
	}
	return nil
}

func (a *asked) hangUp() {
	if a.conn != nil {
		// It is given up because it failed or because the show is over; how it closes is of no interest.
		_ = a.conn.Close()
	}
	a.conn, a.known, a.info, a.nodes, a.members = nil, false, nil, nil, nil
}

// settle begins the next second.
func (a *asked) settle() {
	a.known, a.sent, a.taken = true, requests(a.nodes), a.info.Int("requests")
}

// sentTo is how many requests went to a node since settle.
func (a *asked) sentTo(node string) int64 {
	was, known := a.sent[node]
	if !a.known || !known {
		return 0
	}
	return max(0, requests(a.nodes)[node]-was)
}

// took is how many requests came from clients since settle.
func (a *asked) took() int64 {
	if !a.known {
		return 0
	}
	return max(0, a.info.Int("requests")-a.taken)
}

// requests returns how many requests each node has got so far.
func requests(nodes []client.Fields) map[string]int64 {
	sent := make(map[string]int64, len(nodes))
	for _, n := range nodes {
		sent[n["addr"]] = n.Int("requests")
	}
	return sent
}
