package testcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Cluster is a master and its replicas, one process each. What the roles are after a failover only the servers know;
// see Master.
type Cluster struct {
	// Nodes are all servers. The first one began as the master.
	Nodes []*Redis

	dir     string
	ownsDir bool
}

// StartCluster starts a master with this number of replicas and returns when all are in sync. opts.Dir gets a folder
// for each; the rest is as for StartRedis.
func StartCluster(ctx context.Context, replicas int, opts Options) (*Cluster, error) {
	c := &Cluster{dir: opts.Dir}
	if c.dir == "" {
		var err error
		if c.dir, err = os.MkdirTemp("", "understudy-cluster-"); err != nil {
			return nil, err
		}
		c.ownsDir = true
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := c.start(ctx, replicas, opts); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, replicas int, opts Options) error {
	opts.Dir = filepath.Join(c.dir, "node0")
	master, err := StartRedis(ctx, opts)
	if err != nil {
		return err
	}
	c.Nodes = append(c.Nodes, master)

	opts.Port = 0
	opts.Args = append(slices.Clone(opts.Args), "--replicaof", loopback, strconv.Itoa(master.Port))
	// One after the other: a replica that asks for its first copy while the master is making another one may wait for
	// the master's next round, up to a second; alone it takes up to 0.1 s.
	for range replicas {
		opts.Dir = filepath.Join(c.dir, "node"+strconv.Itoa(len(c.Nodes)))
		r, err := StartRedis(ctx, opts)
		if err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, r)
		if err := c.WaitInSync(ctx); err != nil {
			return fmt.Errorf("%w\n%s\n%s", err, master.LogTail(), r.LogTail())
		}
	}
	return nil
}

// Stop kills every server and removes the folder if StartCluster made it.
func (c *Cluster) Stop() error {
	var failures []error
	for _, r := range c.Nodes {
		failures = append(failures, r.Close())
	}
	if c.ownsDir {
		failures = append(failures, os.RemoveAll(c.dir))
	}
	return errors.Join(failures...)
}

// Addrs are the addresses of all nodes, in the order of Nodes.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, r := range c.Nodes {
		addrs = append(addrs, r.Addr)
	}
	return addrs
}

// Node is the server with this address, or nil.
func (c *Cluster) Node(addr string) *Redis {
	for _, r := range c.Nodes {
		if r.Addr == addr {
			return r
		}
	}
	return nil
}

// Master asks every running node for its role and returns the one that is a master. It is an error if none is, or
// several are. Nodes that do not answer count for nothing.
func (c *Cluster) Master() (*Redis, error) {
	masters := c.withRole("master")
	if len(masters) != 1 {
		return nil, fmt.Errorf("%d of the nodes %v say that they are master, not 1", len(masters), c.Addrs())
	}
	return masters[0], nil
}

// Replicas asks every running node for its role and returns those that are replicas.
func (c *Cluster) Replicas() []*Redis { return c.withRole("slave") }

func (c *Cluster) withRole(role string) []*Redis {
	var found []*Redis
	for _, r := range c.Nodes {
		if !r.Running() {
			continue
		}
		if info, err := r.Info("replication"); err == nil && info["role"] == role {
			found = append(found, r)
		}
	}
	return found
}

// WaitInSync returns when the running nodes are one master and replicas of it, and each replica has processed all that
// the master had written when it was called.
func (c *Cluster) WaitInSync(ctx context.Context) error {
	// A replica may be listed as online up to a second before the stream of writes begins to flow to it. A message
	// goes down the stream as a write does, and changes no data.
	published := false
	return Poll(ctx, "all replicas to be in sync", func() error {
		master, err := c.Master()
		if err != nil {
			return err
		}
		if !published {
			if _, err := master.Do("PUBLISH", "testcluster:in-sync", ""); err != nil {
				return err
			}
			published = true
		}
		return c.inSync(master)
	})
}

func (c *Cluster) inSync(master *Redis) error {
	info, err := master.Info("replication")
	if err != nil {
		return err
	}
	written, err := strconv.ParseInt(info["master_repl_offset"], 10, 64)
	if err != nil {
		return fmt.Errorf("offset of %s: %w", master.Addr, err)
	}
	for _, r := range c.Nodes {
		if r == master || !r.Running() {
			continue
		}
		if !streamsTo(info, r.Port) {
			return fmt.Errorf("%s is not online at its master %s", r.Addr, master.Addr)
		}
		copied, err := r.Info("replication")
		if err != nil {
			return err
		}
		offset, err := strconv.ParseInt(copied["slave_repl_offset"], 10, 64)
		switch {
		case copied["role"] != "slave" || copied["master_link_status"] != "up":
			return fmt.Errorf("%s has the role %s and its link to the master is %q", r.Addr, copied["role"], copied["master_link_status"])
		case copied["master_replid"] != info["master_replid"]:
			return fmt.Errorf("%s copies %s, not %s", r.Addr, copied["master_replid"], info["master_replid"])
		case err != nil:
			return fmt.Errorf("offset of %s: %w", r.Addr, err)
		case offset < written:
			return fmt.Errorf("%s has processed %d of %d bytes", r.Addr, offset, written)
		}
	}
	return nil
}

// streamsTo says whether a master's INFO replication lists the replica on this port as one that gets the stream.
func streamsTo(master map[string]string, port int) bool {
	for i := 0; ; i++ {
		entry, found := master["slave"+strconv.Itoa(i)]
		if !found {
			return false
		}
		fields := splitFields(entry)
		if fields["port"] == strconv.Itoa(port) {
			return fields["state"] == "online"
		}
	}
}

// splitFields reads "ip=127.0.0.1,port=20000,state=online".
func splitFields(entry string) map[string]string {
	fields := map[string]string{}
	for field := range strings.SplitSeq(entry, ",") {
		name, value, _ := strings.Cut(field, "=")
		fields[name] = value
	}
	return fields
}
