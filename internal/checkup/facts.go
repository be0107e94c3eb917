package checkup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/guard"
	"github.com/understudy/understudy/monitor"
)

// answerTimeout bounds each question to a node.
const answerTimeout = 5 * time.Second

// Facts are what is known of the cluster.
type Facts struct {
	Nodes       []Node           // the master first
	Unreachable map[string]error // by address
}

// Node is what one node said.
type Node struct {
	Addr     string
	Master   bool
	InSync   bool              // of a replica: its link to the master is up and it holds the data
	Version  string            // of redis-server
	File     string            // its configuration file; "" if it was started without one
	Priority int               // replica-priority
	Config   map[string]string // CONFIG GET *; nil where that is not allowed
	Users    []string          // ACL LIST, sorted, without what says nothing; nil where there is none or it is not allowed
	Clients  []string          // the names of its clients that have one; nil where asking is not allowed
}

// Gather discovers the nodes from those that cfg names and asks each for its settings, until ctx ends. The error is
// that of monitor.Discover, or says which node was lost in between.
func Gather(ctx context.Context, cfg monitor.Config) (*Facts, error) {
	found, err := monitor.Discover(ctx, cfg.Nodes, cfg)
	if err != nil {
		return nil, err
	}
	facts := &Facts{Unreachable: found.Unreachable, Nodes: make([]Node, 1+len(found.Replicas))}
	facts.Nodes[0] = Node{Addr: found.Master.Addr, Master: true}
	for i, r := range found.Replicas {
		facts.Nodes[1+i] = Node{Addr: r.Addr, Priority: r.Priority}
	}
	errs := make([]error, len(facts.Nodes))
	var asking sync.WaitGroup
	for i := range facts.Nodes {
		asking.Go(func() { errs[i] = facts.Nodes[i].ask(ctx, &cfg) })
	}
	asking.Wait()
	return facts, errors.Join(errs...)
}

// ask fills in what the node says. What the node does not allow to be asked stays nil.
func (n *Node) ask(ctx context.Context, cfg *monitor.Config) error {
	conn, err := n.dial(ctx, cfg)
	if err != nil {
		return fmt.Errorf("ask %s for its settings: %w", n.Addr, err)
	}
	defer conn.Close()
	info, err := allowed(redis.String(conn.Do("INFO")))
	if err != nil {
		return fmt.Errorf("INFO on %s: %w", n.Addr, err)
	}
	n.takeInfo(info)
	if n.Config, err = allowed(redis.StringMap(conn.Do("CONFIG", "GET", "*"))); err != nil {
		return fmt.Errorf("CONFIG GET on %s: %w", n.Addr, err)
	}
	if n.Users, err = allowed(redis.Strings(conn.Do("ACL", "LIST"))); err != nil {
		return fmt.Errorf("ACL LIST on %s: %w", n.Addr, err)
	}
	for i, user := range n.Users {
		n.Users[i] = withoutDefaults(user)
	}
	slices.Sort(n.Users)
	clients, err := allowed(redis.String(conn.Do("CLIENT", "LIST")))
	if err != nil {
		return fmt.Errorf("CLIENT LIST on %s: %w", n.Addr, err)
	}
	n.takeClients(clients)
	return nil
}

// dial connects to the node until ctx ends. A node that asks for no password lets in who has one.
func (n *Node) dial(ctx context.Context, cfg *monitor.Config) (*link, error) {
	dial := cfg.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: cfg.CommandTimeout}).DialContext
	}
	nc, err := dial(ctx, "tcp", n.Addr)
	if err != nil {
		return nil, err
	}
	// redigo allows no Close beside a call that is under way; closing below it makes the call return.
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	l := &link{redis.NewConn(guard.Conn(nc), answerTimeout, answerTimeout), stop}
	if cfg.Password == "" {
		return l, nil
	}
	credentials := []any{cfg.Password}
	if cfg.Username != "" {
		credentials = []any{cfg.Username, cfg.Password}
	}
	if _, err := l.Do("AUTH", credentials...); err != nil && !monitor.NoPasswordSet(err) {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// link is a connection that also ends with a context, until it is closed.
type link struct {
	redis.Conn
	stop func() bool
}

// Close implements redis.Conn.
func (l *link) Close() error {
	l.stop()
	return l.Conn.Close()
}

// allowed turns an error reply into nothing: a node may forbid a command, or be too old for it.
func allowed[T any](value T, err error) (T, error) {
	var reply redis.Error
	if errors.As(err, &reply) {
		var nothing T
		return nothing, nil
	}
	return value, err
}

func (n *Node) takeInfo(text string) {
	linkUp, syncing, loading := false, false, false
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		switch key {
		case "redis_version":
			n.Version = value
		case "config_file":
			n.File = value
		case "master_link_status":
			linkUp = value == "up"
		case "master_sync_in_progress":
			syncing = value == "1"
		case "loading":
			loading = value == "1"
		}
	}
	n.InSync = linkUp && !syncing && !loading
}

// withoutDefaults leaves out of a line of ACL LIST what a server adds to it when it reads its own file back: every user is
// made with sanitize-payload, and a server that was restarted says so, while one that was not does not.
func withoutDefaults(user string) string {
	words := slices.DeleteFunc(strings.Split(user, " "), func(word string) bool { return word == "sanitize-payload" })
	return strings.Join(words, " ")
}

// takeClients picks the names out of CLIENT LIST.
func (n *Node) takeClients(list string) {
	for line := range strings.Lines(list) {
		for field := range strings.FieldsSeq(line) {
			if name, ok := strings.CutPrefix(field, "name="); ok && name != "" && !slices.Contains(n.Clients, name) {
				n.Clients = append(n.Clients, name)
			}
		}
	}
}
