package monitor

import (
	"context"
	"net"
	"net/netip"
	"slices"

	"github.com/understudy/understudy/topology"
)

// asked are the requests, with their targets as State spells them. A person may call a node by another name than the
// nodes and the configuration do: localhost, a name for an address, an address for a name. Such a one is looked up, and the
// request waits for that. Nothing is connected to, because who may ask need not know the nodes' password.
func (l *loop) asked() []topology.Request {
	var open []string
	requests := slices.Clone(l.coord.Requests())
	requests = slices.DeleteFunc(requests, func(r topology.Request) bool {
		if r.Answer != "" || r.Target == "" || l.snapshot.State == nil || l.calls(r.Target) {
			return false
		}
		open = append(open, r.ID)
		if _, done := l.sought[r.ID]; done {
			return false
		}
		l.seek(r)
		return true
	})
	for id := range l.sought {
		if !slices.Contains(open, id) {
			delete(l.sought, id)
		}
	}
	for i, r := range requests {
		if node := l.sought[r.ID]; node != "" {
			requests[i].Target = node
		}
	}
	return requests
}

// calls reports whether a node is known by this address.
func (l *loop) calls(addr string) bool {
	if _, ok := l.aliases[addr]; ok || mentions(l.snapshot.State, addr) {
		return true
	}
	for _, announced := range l.announced {
		if announced == addr {
			return true
		}
	}
	return false
}

// seek finds out which node the target of a request is.
func (l *loop) seek(r topology.Request) {
	nodes := nodesOf(l.snapshot.State)
	l.task("seek "+r.ID, func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, l.cfg.CommandTimeout)
		defer cancel()
		node := l.dialer.sameAs(ctx, r.Target, nodes)
		return func() { l.sought[r.ID] = node }
	})
}

// Named returns the address by which State has the node that an address or a name stands for, "" if it has none: the same,
// or the only one that is the same socket by what name servers say (localhost, an IP and a DNS name of one server are one
// node). Nothing is connected to.
func Named(ctx context.Context, addr string, s *topology.State) string {
	if _, ok := s.Node(addr); ok {
		return addr
	}
	return newDialer(&Config{}).sameAs(ctx, addr, nodesOf(s))
}

// sameAs returns the address of the only node that has a socket in common with target, "" if there is none such.
func (d *dialer) sameAs(ctx context.Context, target string, nodes []topology.Node) string {
	sockets := d.sockets(ctx, target)
	var found []string
	for _, n := range nodes {
		names := []string{n.Addr}
		if n.Announced != "" {
			names = append(names, n.Announced)
		}
		for _, name := range names {
			if slices.ContainsFunc(d.sockets(ctx, name), func(s netip.AddrPort) bool { return slices.Contains(sockets, s) }) {
				found = append(found, n.Addr)
				break
			}
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// sockets returns what addr stands for: by name servers, and by the last connection to it. A name that nobody knows
// stands for nothing.
func (d *dialer) sockets(ctx context.Context, addr string) (sockets []netip.AddrPort) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return nil
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", service)
	if err != nil {
		return nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		ips = nil // it may have been connected to
	}
	for _, ip := range ips {
		sockets = append(sockets, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	d.mu.Lock()
	last := d.last[addr]
	d.mu.Unlock()
	if numeric, err := netip.ParseAddrPort(last); err == nil {
		sockets = append(sockets, netip.AddrPortFrom(numeric.Addr().Unmap(), numeric.Port()))
	}
	return sockets
}
