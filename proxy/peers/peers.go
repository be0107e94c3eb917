package peers

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/peer"
	"github.com/understudy/understudy/proxy/pubsub"
	"github.com/understudy/understudy/topology"
)

const (
	// patience is how long the others may take to answer. Those whom they keep waiting are clients of this member.
	patience = 250 * time.Millisecond
	// listAge is how old the list of members may be, and listPause how long after a failure it is not asked for again.
	listAge   = time.Second
	listPause = 5 * time.Second
	// silencePause is how long a member that has not answered is left alone.
	silencePause = 2 * time.Second
)

// Cluster is what is agreed on: who the members are, and what only they know.
type Cluster interface {
	Members(ctx context.Context) ([]topology.Member, error)
	Identity() string
}

// Peers implements session.Peers.
type Peers struct {
	self    string
	cluster Cluster
	log     *slog.Logger
	conns   peer.Conns

	mu     sync.Mutex // guards the rest, and beginning to run against Close
	list   []topology.Member
	again  time.Time            // when the list is asked for again
	silent map[string]time.Time // members that have not answered, by id, and until when they are left alone

	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New returns the Peers of the member with the id self. They use no connection until somebody asks.
func New(self string, cluster Cluster, log *slog.Logger) *Peers {
	p := &Peers{self: self, cluster: cluster, log: log, silent: make(map[string]time.Time)}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// Close ends what is under way: who has asked gets no answer. It returns once nothing runs any more.
func (p *Peers) Close() {
	p.mu.Lock()
	p.stop()
	p.mu.Unlock()
	p.running.Wait()
	p.conns.Close()
}

// Name implements session.Peers.
func (p *Peers) Name(identity []byte) (id string, ok bool) {
	known := p.cluster.Identity()
	return p.self, known != "" && subtle.ConstantTimeCompare([]byte(known), identity) == 1
}

// Listeners implements session.Peers.
func (p *Peers) Listeners(kind pubsub.Kind, names []string, done func(counts []pubsub.Count, missing int)) {
	word := "CHANNEL"
	if kind == pubsub.Shard {
		word = "SHARD"
	}
	args := []any{"LISTENERS", word}
	for _, name := range names {
		args = append(args, name)
	}
	counts := make([]pubsub.Count, len(names))
	p.ask(args, func(reply any) error {
		told, err := redis.Ints(reply, nil)
		if err == nil && len(told) != 2*len(names) {
			err = fmt.Errorf("%d numbers for %d names", len(told), len(names))
		}
		if err != nil {
			return err
		}
		for i := range counts {
			counts[i] = counts[i].Add(pubsub.Count{Clients: told[2*i], Connections: told[2*i+1]})
		}
		return nil
	}, func(missing int) { done(counts, missing) })
}

// ForgetScripts implements session.Peers.
func (p *Peers) ForgetScripts(done func(missing int)) {
	p.ask([]any{"FORGETSCRIPTS"}, func(any) error { return nil }, done)
}

// ask sends PROXY with args to all other members at once, gives take their replies one at a time, and calls done with how
// many of them have not given any in time that take has taken.
func (p *Peers) ask(args []any, take func(reply any) error, done func(missing int)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return // the clients are gone
	}
	p.running.Go(func() {
		others, missing := p.others()
		var all sync.WaitGroup
		var mu sync.Mutex
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		defer cancel()
		for _, m := range others {
			all.Go(func() {
				reply, err := p.askOne(ctx, m, args)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					err = take(reply)
				}
				if p.heard(m, err); err != nil {
					missing++
				}
			})
		}
		if all.Wait(); p.ctx.Err() == nil {
			done(missing)
		}
	})
}

// askOne asks one member, and no other that may have its address by now.
func (p *Peers) askOne(ctx context.Context, m topology.Member, args []any) (any, error) {
	greet := func(ctx context.Context, conn redis.Conn) error {
		id, err := redis.String(redis.DoContext(conn, ctx, "PROXY", "MEMBER", p.cluster.Identity()))
		if err == nil && id != m.ID {
			err = fmt.Errorf("%s is the address of %s", m.Addr, id)
		}
		return err
	}
	return p.conns.Do(ctx, m.ID, m.Addr, greet, "PROXY", args...)
}

// others returns the members to ask, and how many there are that are left alone.
func (p *Peers) others() (others []topology.Member, silent int) {
	now := time.Now()
	p.mu.Lock()
	due := !now.Before(p.again)
	p.mu.Unlock()
	if due {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		list, err := p.cluster.Members(ctx)
		cancel()
		p.mu.Lock()
		if p.again = now.Add(listAge); err != nil {
			p.again = now.Add(listPause) // ZooKeeper is away, and the last list is the best there is
		} else {
			p.list = list
			maps.DeleteFunc(p.silent, func(id string, _ time.Time) bool {
				return !slices.ContainsFunc(list, func(m topology.Member) bool { return m.ID == id })
			})
		}
		p.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.list {
		switch {
		case m.ID == p.self || m.Addr == "":
		case now.Before(p.silent[m.ID]):
			silent++
		default:
			others = append(others, m)
		}
	}
	return others, silent
}

// heard notes whether a member has answered.
func (p *Peers) heard(m topology.Member, err error) {
	if p.ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, was := p.silent[m.ID]
	switch {
	case err != nil:
		p.silent[m.ID] = time.Now().Add(silencePause)
		if !was {
			p.log.Warn("a member does not answer: subscribers of its clients are not counted one by one, and it goes on to remember scripts that are flushed", "member", m.ID, "addr", m.Addr, "error", err)
		}
	case was:
		delete(p.silent, m.ID)
		p.log.Info("a member answers again", "member", m.ID, "addr", m.Addr)
	}
}
