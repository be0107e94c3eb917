package topology

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

// DefaultLegacyRoot is where the Ruby gem redis_failover 1.x keeps its znodes unless it is told otherwise (its
// znode_path).
const DefaultLegacyRoot = "/redis_failover"

const (
	// legacyRefresh is how often the nodes are published although nothing has changed. A client of the gem that has
	// heard nothing for 9 s reads the znode before every command; the gem's own manager writes every 5 s.
	legacyRefresh = 5 * time.Second
	// legacyAny is what a client of the gem writes to have any slave made master.
	legacyAny = "ANY_SLAVE"
)

// validLegacyRoot says why path cannot be the folder of the gem's znodes.
func validLegacyRoot(path string) error {
	rest, absolute := strings.CutPrefix(path, "/")
	if !absolute || rest == "" {
		return fmt.Errorf("topology: the path of redis_failover's znodes is %q; it must begin with a slash and have a name, as %s has", path, DefaultLegacyRoot)
	}
	if path == ownRoot || strings.HasPrefix(path, ownRoot+"/") {
		return fmt.Errorf("topology: the path of redis_failover's znodes is %q, and ZooKeeper keeps %s for itself: choose another one", path, ownRoot)
	}
	for name := range strings.SplitSeq(rest, "/") {
		if err := validName(name); err != nil {
			return fmt.Errorf("topology: the path of redis_failover's znodes is %q: its part %q %w", path, name, err)
		}
	}
	return nil
}

// legacyNodes is what the gem's clients read in <root>/nodes. Addresses are host:port.
type legacyNodes struct {
	Master      *string  `json:"master"` // null while there is none
	Slaves      []string `json:"slaves"`
	Unavailable []string `json:"unavailable"`
}

// legacyText is State in the words of the gem. While the master changes there is none: its clients let go of the old
// one at once, go on reading from the slaves, and try their writes again. (The gem's own manager deletes the znode
// meanwhile, by which its clients lose the slaves too; it writes null where nobody can be promoted.) Only replicas
// that serve reads here are slaves there.
func legacyText(s *State) ([]byte, error) {
	n := legacyNodes{Slaves: []string{}, Unavailable: []string{}}
	if s.Phase == Stable {
		n.Master = &s.Master.Addr
	} else if _, replica := s.Replica(s.Master.Addr); !replica {
		n.Unavailable = append(n.Unavailable, s.Master.Addr)
	}
	for _, r := range s.Replicas {
		switch {
		case s.Failover != nil && r.Addr == s.Failover.Choice:
			n.Unavailable = append(n.Unavailable, r.Addr) // it is neither while it is being promoted
		case r.Health == Online:
			n.Slaves = append(n.Slaves, r.Addr)
		default:
			n.Unavailable = append(n.Unavailable, r.Addr)
		}
	}
	for _, u := range s.Unavailable {
		n.Unavailable = append(n.Unavailable, u.Addr)
	}
	slices.Sort(n.Unavailable)
	data, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("topology: encode the nodes for redis_failover: %w", err)
	}
	return data, nil
}

// legacyTarget reads what a client of the gem asks for: "" for any slave, else host:port.
func legacyTarget(text string) (target string, err error) {
	if text == legacyAny {
		return "", nil
	}
	host, port, err := net.SplitHostPort(text)
	number, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || portErr != nil || number == 0 || strings.ContainsAny(text, " \t\r\n") {
		return "", fmt.Errorf("%q is neither %s nor host:port", text, legacyAny)
	}
	return text, nil
}

// legacy serves clients of the gem while this session's candidate is the lowest: it keeps <root>/nodes up to date, and
// turns what is written to <root>/manual_failover into requests. Both happen only together with a check of that
// candidate, so that a leader that was deposed does neither. What goes wrong is logged and tried again; it never costs
// the session.
type legacy struct {
	s       *session
	root    string
	acl     []zk.ACL
	own     string // our candidate
	stood   int64  // the transaction that created it
	told    string // the last trouble that was logged
	written []byte // what lies in nodes, as far as we know; nil: not known
	at      time.Time
	foreign []byte // what somebody else wrote there, as it was last logged
}

// serveLegacy runs while the session does.
func (s *session) serveLegacy(ctx context.Context) error {
	z := s.z
	l := &legacy{s: s, root: z.cfg.LegacyRoot, acl: z.acl}
	if z.cfg.Auth != "" {
		// The gem's clients have no password; those that only read shall be able to.
		l.acl = append(slices.Clone(z.acl), zk.WorldACL(zk.PermRead)...)
	}
	defer z.Watch(func(Snapshot) { signal(s.legacyChanged) })()
	look := time.NewTicker(min(legacyRefresh, z.cfg.SessionTimeout) / 2)
	defer look.Stop()
	for {
		if s.elected.Load() && s.isConnected() {
			l.tell(l.serve(ctx))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.legacyChanged:
		case <-look.C:
		}
	}
}

// tell logs a trouble once, and its end.
func (l *legacy) tell(err error) {
	log := l.s.z.cfg.Log
	switch {
	case err == nil && l.told != "":
		log.Info("clients of redis_failover are served again", "path", l.root)
		l.told = ""
	case err == nil || interrupted(err) || l.s.ctx.Err() != nil:
	case err.Error() != l.told:
		l.told = err.Error()
		log.Error("clients of redis_failover are not served", "path", l.root, "error", err)
	}
}

// legacyEvent takes in a watch that fired.
func (s *session) legacyEvent(e zk.Event) {
	if root := s.z.cfg.LegacyRoot; root != "" && strings.HasPrefix(e.Path, root+"/") {
		s.watchedLegacy.Delete(e.Path) // before anybody looks again
		signal(s.legacyChanged)
	}
}

// serve does what there is to do now.
func (l *legacy) serve(ctx context.Context) error {
	candidate, err := l.standing(ctx)
	if err != nil || candidate == "" {
		return err
	}
	if err := l.alone(ctx); err != nil {
		return err
	}
	if err := l.publish(ctx, candidate); err != nil {
		return err
	}
	return l.obey(ctx, candidate)
}

// standing returns the path of our candidate, and learns when it was created.
func (l *legacy) standing(ctx context.Context) (string, error) {
	candidate := l.s.candidate.Load()
	if candidate == nil {
		return "", nil
	}
	if l.own != *candidate {
		_, stat, err := l.s.get(ctx, *candidate)
		if err != nil {
			return "", err
		}
		l.own, l.stood = *candidate, stat.Czxid
	}
	return *candidate, nil
}

// alone refuses to serve beside the gem's own managers, which would promote by themselves.
func (l *legacy) alone(ctx context.Context) error {
	path := l.root + "/manager_node_state"
	managers, err := call(ctx, l.s, path, func(c *zk.Conn) ([]string, error) { names, _, err := c.Children(path); return names, err })
	switch {
	case errors.Is(err, zk.ErrNoNode):
		return nil
	case err != nil:
		return err
	case len(managers) > 0:
		slices.Sort(managers)
		return fmt.Errorf("topology: a redis_node_manager of redis_failover runs (%s) and would promote nodes by itself: stop it", strings.Join(managers, ", "))
	}
	return nil
}

// publish writes the nodes if they have changed, are gone, or are due.
func (l *legacy) publish(ctx context.Context, candidate string) error {
	state := l.s.z.Snapshot().State
	if state == nil {
		return nil
	}
	data, err := legacyText(state)
	if err != nil {
		return err
	}
	path := l.root + "/nodes"
	// With a watch, so that a znode that is deleted is back at once.
	found, there, _, err := l.look(ctx, path)
	if err != nil {
		return err
	}
	if !there {
		if err := l.makeRoot(ctx); err != nil {
			return err
		}
	}
	if there && l.written != nil && !bytes.Equal(found, l.written) && !bytes.Equal(found, l.foreign) {
		l.foreign = found
		l.s.z.cfg.Log.Warn("somebody else writes what clients of redis_failover read: give each cluster a path of its own", "path", path, "found", string(found))
	}
	// What somebody else wrote is corrected when it is due and not at once: two that publish under one path would
	// otherwise keep ZooKeeper busy with nothing else.
	if there && bytes.Equal(l.written, data) && time.Since(l.at) < legacyRefresh {
		return nil
	}
	var op any = &zk.CreateRequest{Path: path, Data: data, Acl: l.acl}
	if there {
		op = &zk.SetDataRequest{Path: path, Data: data, Version: -1}
	}
	l.written = nil
	err = l.s.asLeader(ctx, candidate, path, op)
	if errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrNodeExists) {
		signal(l.s.legacyChanged) // it came or went between the two
		return nil
	}
	if err == nil {
		l.written, l.at = data, time.Now()
	}
	return err
}

// look reads a znode and watches it, whether it is there or not.
func (l *legacy) look(ctx context.Context, path string) (data []byte, there bool, stat *zk.Stat, err error) {
	s := l.s
	if _, watched := s.watchedLegacy.LoadOrStore(path, true); !watched {
		if _, err := call(ctx, s, path, func(c *zk.Conn) (none, error) { _, _, _, err := c.ExistsW(path); return none{}, err }); err != nil {
			s.watchedLegacy.Delete(path)
			return nil, false, nil, err
		}
	}
	data, stat, err = s.get(ctx, path)
	if errors.Is(err, zk.ErrNoNode) {
		return nil, false, nil, nil
	}
	return data, err == nil, stat, err
}

// makeRoot makes the folder and those that it lies in.
func (l *legacy) makeRoot(ctx context.Context) error {
	for i := 1; i <= len(l.root); i++ {
		if i < len(l.root) && l.root[i] != '/' {
			continue
		}
		path := l.root[:i]
		there, err := l.s.isThere(ctx, path)
		if err != nil {
			return err
		}
		if there {
			continue
		}
		_, err = call(ctx, l.s, path, func(c *zk.Conn) (string, error) { return c.Create(path, nil, 0, l.acl) })
		if err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return err
		}
	}
	return nil
}

// obey turns a text in manual_failover into a request. The text is taken away in the same step, so that it becomes one
// request and no more, whoever leads afterwards. A text from before this candidate stood is nobody's wish of today.
func (l *legacy) obey(ctx context.Context, candidate string) error {
	path := l.root + "/manual_failover"
	data, there, stat, err := l.look(ctx, path)
	if err != nil || !there || len(data) == 0 {
		return err
	}
	z := l.s.z
	text := strings.TrimSpace(string(data))
	target, bad := legacyTarget(text)
	empty := &zk.SetDataRequest{Path: path, Version: stat.Version}
	ops := []any{empty}
	old := stat.Mzxid < l.stood
	if !old && bad == nil {
		request, err := json.Marshal(Request{Kind: Switchover, Target: target, By: path + " in ZooKeeper", At: time.Now()})
		if err != nil {
			return fmt.Errorf("topology: encode the request: %w", err)
		}
		ops = append(ops, &zk.CreateRequest{Path: z.path("requests/" + requestPrefix), Data: request, Acl: z.acl, Flags: zk.FlagSequence})
	}
	switch err := l.s.asLeader(ctx, candidate, path, ops...); {
	case errors.Is(err, zk.ErrBadVersion), errors.Is(err, zk.ErrNoNode):
		signal(l.s.legacyChanged) // it says something else by now
		return nil
	case err != nil:
		return err
	case old:
		z.cfg.Log.Warn("a manual failover was asked for before this member stood for leader, and is not carried out: write it again if it is still wanted", "path", path, "text", text)
	case bad != nil:
		z.cfg.Log.Error("a manual failover was asked for in words that mean nothing, and is not carried out", "path", path, "error", bad)
	default:
		z.cfg.Log.Warn("a manual failover was asked for", "path", path, "text", text)
	}
	return nil
}
