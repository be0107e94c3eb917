package topology

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// requestPrefix begins the names of requests; ZooKeeper appends a number that only grows, which makes the id.
const requestPrefix = "r_"

// Submit implements Coordinator. When the answer to the creation is lost, the request may have been left all the same;
// it is not left again, since a switchover that happens twice is worse than one that is asked for anew.
func (z *ZooKeeper) Submit(ctx context.Context, r Request) (id string, err error) {
	r.ID, r.At = "", time.Now()
	r.Answer, r.Text, r.Answered = "", "", time.Time{}
	data, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("topology: encode the request: %w", err)
	}
	err = z.ask(ctx, func(ctx context.Context, s *session) error {
		path, err := s.create(ctx, z.path("requests/"+requestPrefix), data, zk.FlagSequence)
		switch {
		case errors.Is(err, errNotSent):
			return err // and insist tries again
		case interrupted(err), errors.Is(err, errSessionOver):
			return fmt.Errorf("%w (%v)", ErrUncertain, err) // without what insist and ask look for
		case err != nil:
			return err
		}
		id = strings.TrimPrefix(path[strings.LastIndexByte(path, '/')+1:], requestPrefix)
		if s.readRequests(ctx) != nil {
			signal(s.requestsChanged) // it is left, whatever becomes of reading it now
		}
		return nil
	})
	if id != "" {
		return id, nil // also when this member is closed meanwhile
	}
	return "", err
}

// Requests implements Coordinator.
func (z *ZooKeeper) Requests() []Request {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.requests
}

// WatchRequests implements Coordinator. stop does not wait for a call of f that is being made.
func (z *ZooKeeper) WatchRequests(f func([]Request)) (stop func()) {
	z.mu.Lock()
	var first *[]Request
	if z.requestsRead { // or else they would seem to be made when they are read
		first = &z.requests
	}
	stop = z.asking.watch(f, first)
	z.mu.Unlock()
	z.asking.deliver()
	return stop
}

// Answer implements Coordinator. As Update does, the write checks that this member's candidacy still exists.
func (z *ZooKeeper) Answer(ctx context.Context, id string, answer Answer, text string) error {
	path := z.path("requests/" + requestPrefix + id)
	return z.ask(ctx, func(ctx context.Context, s *session) error {
		candidate := s.candidate.Load()
		if candidate == nil || !s.elected.Load() {
			return ErrNotLeader
		}
		data, stat, err := s.get(ctx, path)
		if errors.Is(err, zk.ErrNoNode) {
			return ErrNoRequest
		}
		if err != nil {
			return err
		}
		r, err := readRequest(id, data)
		switch {
		case err != nil:
			return err
		case r.Answer == answer && r.Text == text:
			return s.readRequests(ctx) // by an attempt whose answer was lost
		case r.Answer != "":
			return ErrNoRequest
		}
		r.Answer, r.Text, r.Answered = answer, text, time.Now()
		if data, err = json.Marshal(r); err != nil {
			return fmt.Errorf("topology: encode the request: %w", err)
		}
		err = s.asLeader(ctx, *candidate, path, &zk.SetDataRequest{Path: path, Data: data, Version: stat.Version})
		switch {
		case errors.Is(err, zk.ErrBadVersion), errors.Is(err, zk.ErrNoNode):
			return ErrNoRequest
		case err != nil:
			return err
		}
		if err := s.readRequests(ctx); err != nil {
			return err
		}
		return s.clearRequests(ctx)
	})
}

// followRequests keeps the list of requests up to date: after every change, and now and then.
func (s *session) followRequests(ctx context.Context) error {
	return s.keepReading(ctx, s.requestsChanged, func() error { return s.readRequests(ctx) })
}

// readRequests reads the requests that are new or were not answered when they were last read, with watches for
// further ones and for answers.
func (s *session) readRequests(ctx context.Context) error {
	z := s.z
	s.asked.Lock()
	defer s.asked.Unlock()
	path := z.path("requests")
	names, err := call(ctx, s, path, func(c *zk.Conn) ([]string, error) {
		if s.requestsArmed.Swap(true) {
			names, _, err := c.Children(path)
			return names, err
		}
		names, _, _, err := c.ChildrenW(path)
		return names, err
	})
	if err != nil {
		s.requestsArmed.Store(false)
		return err
	}
	known := make(map[string]Request)
	for _, r := range z.Requests() {
		known[r.ID] = r
	}
	found := make(map[string]Request, len(names))
	for _, name := range names {
		id, ok := strings.CutPrefix(name, requestPrefix)
		if !ok {
			continue
		}
		if r, ok := known[id]; ok && r.Answer != "" {
			found[id] = r // it is answered once
			continue
		}
		data, err := s.getRequest(ctx, z.path("requests/"+name))
		if errors.Is(err, zk.ErrNoNode) {
			continue
		}
		if err != nil {
			return err
		}
		r, err := readRequest(id, data)
		if err != nil {
			z.cfg.Log.Error("a request cannot be read; it is passed over", "request", id, "error", err)
			continue
		}
		found[id] = r
	}
	list := make([]Request, 0, len(found))
	for _, id := range slices.Sorted(maps.Keys(found)) {
		list = append(list, found[id])
	}
	z.mu.Lock()
	changed := !z.requestsRead || !slices.Equal(z.requests, list)
	if changed {
		z.requests, z.requestsRead = list, true
		z.asking.queue(list)
	}
	z.mu.Unlock()
	if changed {
		z.asking.deliver()
	}
	return nil
}

// getRequest reads a request that is not answered, and watches it once.
func (s *session) getRequest(ctx context.Context, path string) ([]byte, error) {
	return call(ctx, s, path, func(c *zk.Conn) ([]byte, error) {
		if _, watched := s.watchedRequests.Load(path); watched {
			data, _, err := c.Get(path)
			return data, err
		}
		data, _, _, err := c.GetW(path)
		if err == nil {
			s.watchedRequests.Store(path, true)
		}
		return data, err
	})
}

// requestEvent takes in a watch on the requests that fired.
func (s *session) requestEvent(e zk.Event) {
	path := s.z.path("requests")
	if !strings.HasPrefix(e.Path, path) {
		return
	}
	if e.Path == path {
		s.requestsArmed.Store(false)
	}
	signal(s.requestsChanged)
}

// clearRequests deletes the oldest answered requests beyond those that are kept.
func (s *session) clearRequests(ctx context.Context) error {
	list := s.z.Requests()
	kept := forgetOld(slices.Clone(list))
	for _, r := range list {
		if slices.ContainsFunc(kept, func(k Request) bool { return k.ID == r.ID }) {
			continue
		}
		path := s.z.path("requests/" + requestPrefix + r.ID)
		_, err := call(ctx, s, path, func(c *zk.Conn) (none, error) { return none{}, c.Delete(path, -1) })
		if err != nil && !errors.Is(err, zk.ErrNoNode) {
			return err
		}
	}
	return nil
}

func readRequest(id string, data []byte) (Request, error) {
	var r Request
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("topology: read the request %s: %w", id, err)
	}
	r.ID = id
	return r, nil
}
