package monitor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// foundersPatience is for how long others must be seen on the nodes before they keep a member from founding a cluster. One
// that has just ended may be listed for a moment still.
const foundersPatience = 2 * time.Second

// MayFound says whether a member may found a cluster, in a coordinator that others share, for these nodes. It may not
// where members of another cluster look after them: two clusters would keep each other from promoting anybody. That is
// what a mistyped address of the coordinator comes to. The error is a clause that names them and says what to check.
//
// Who only follows may, as may everybody beside an Understudy that is not coordinated, which holds back alone. A node
// that cannot be asked has shown nobody.
func MayFound(ctx context.Context, cfg Config) error {
	if cfg.Follow {
		return nil
	}
	var others []string
	for began := time.Now(); ; {
		if others = strangers(ctx, &cfg); len(others) == 0 {
			return nil
		}
		if time.Since(began) >= foundersPatience {
			break
		}
		select {
		case <-time.After(foundersPatience / 10):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	verb, whose, them := "looks", "its", "it"
	if len(others) > 1 {
		verb, whose, them = "look", "their", "them"
	}
	return fmt.Errorf("%s %s after these nodes in another one, which a second would keep from failing over: check the chroot of --zookeeper and --cluster; "+
		"if %s cluster is no more, end %s first", conjoin(others), verb, whose, them)
}

// strangers names the members of other clusters, coordinated as this one is, that look after the configured nodes.
func strangers(ctx context.Context, cfg *Config) []string {
	d := newDialer(cfg)
	found := make([]company, len(cfg.Nodes))
	var asking sync.WaitGroup
	for i, addr := range cfg.Nodes {
		asking.Go(func() {
			l, err := d.openLink(ctx, addr, cfg.CommandTimeout)
			if err != nil {
				return // whoever asks for its INFO says why
			}
			defer l.Close()
			found[i], _ = askCompany(l, cfg.channels()[0].(string), 0)
		})
	}
	asking.Wait()
	var names []string
	for _, c := range found {
		for _, channel := range c.members {
			name, identity, _ := strings.Cut(strings.TrimPrefix(channel, channelPrefix), " ")
			if identity != "" && identity != cfg.Identity {
				names = append(names, "the Understudy "+name+" (identity "+identity+")")
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
