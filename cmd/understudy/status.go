package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/understudy/understudy/internal/guard"
	"github.com/understudy/understudy/internal/port"
	"github.com/understudy/understudy/proxy/admin/client"
)

// target says which running Understudy to ask.
type target struct {
	Addr     string `default:"127.0.0.1:6380" placeholder:"ADDR" help:"Address of the Understudy to ask: host:port, :port or unix:/path."`
	Username string `help:"User to authenticate as, where the nodes ask for one."`
	Password string `help:"Password to authenticate with, where the nodes ask for one."`
}

// ask connects, has f ask, and says what to do about an error. It ends as soon as ctx does.
func (t *target) ask(ctx context.Context, f func(*client.Client) error) error {
	if !strings.HasPrefix(t.Addr, "unix:/") && !port.Reachable(t.Addr) {
		return badUsage{fmt.Errorf("addr is %q: it must be host:port, :port or unix:/path, with a port from 1 to 65535", t.Addr)}
	}
	c, err := client.Dial(ctx, t.Addr, t.Username, t.Password)
	if err == nil {
		if err = f(c); err == nil {
			err = c.Close()
		}
	}
	err = interruption(ctx, err, "while waiting for an answer of "+t.Addr)
	var signalled interrupted
	switch {
	case err == nil:
		return nil
	case errors.As(err, &signalled):
		return err
	case errors.Is(err, client.ErrUnverified):
		return fmt.Errorf("%s: %w; the address of its --admin needs no node (--addr 127.0.0.1:6390, for instance)", t.Addr, err)
	case errors.Is(err, client.ErrUnreachable):
		return fmt.Errorf("%s: %w; start one, or name another address with --addr", t.Addr, err)
	case errors.Is(err, client.ErrRefused), strings.HasPrefix(err.Error(), "NOAUTH"):
		return fmt.Errorf("%s: %w; see --username and --password", t.Addr, err)
	case errors.Is(err, client.ErrStranger):
		return fmt.Errorf("%s: %w; name its address with --addr", t.Addr, err)
	case client.Refused(err):
		return fmt.Errorf("%s: %s", t.Addr, strings.TrimPrefix(err.Error(), "ERR "))
	}
	var nonsense *guard.Error
	if errors.Is(err, io.EOF) || errors.As(err, &nonsense) {
		return fmt.Errorf("%s: %w: it does not speak Redis's protocol; name another address with --addr", t.Addr, client.ErrStranger)
	}
	return fmt.Errorf("%s does not answer as an Understudy does: %w", t.Addr, err)
}

type statusCommand struct {
	target
}

// Run prints what the Understudy at the address does.
func (c *statusCommand) Run(ctx context.Context, s *streams) error {
	return c.ask(ctx, func(u *client.Client) error {
		f, err := u.Info()
		if err != nil {
			return err
		}
		return printStatus(s.out, f)
	})
}

func printStatus(out io.Writer, f client.Fields) error {
	w := table(out)
	line := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	cluster := f["cluster"]
	if identity := f["cluster_identity"]; identity != "" {
		cluster += " (identity " + identity + ")"
	}
	line("understudy", "%s, member %s of cluster %s, up %v", f["understudy_version"], f["member_id"], cluster, seconds(f.Int("understudy_uptime_in_seconds")))
	if f["master"] == "" {
		line("master", "none is known yet")
	} else {
		line("master", "%s, epoch %s, %s", f["master"], f["epoch"], f["phase"])
		if f.Int("master_down") != 0 {
			line("MASTER DOWN", "for %v (%s), and nobody takes its place: what needs it waits, and is not sent",
				time.Since(time.Unix(f.Int("master_down_since"), 0)).Round(time.Second), f["master_down_reason"])
		}
		if trouble := f["master_trouble"]; trouble != "" {
			line("MASTER", "%s", trouble)
		}
		if f.Int("paused") != 0 {
			reason := ""
			if f["paused_reason"] != "" {
				reason = " (" + f["paused_reason"] + ")"
			}
			line("PAUSED", "by %s, %v ago%s: no failover takes place; understudy resume ends it", f["paused_by"],
				time.Since(time.Unix(f.Int("paused_since"), 0)).Round(time.Second), reason)
		}
		line("replicas", "%s of %s online, %s unavailable", f["replicas_online"], f["replicas"], f["unavailable"])
	}
	switch {
	case f["grant"] == "failsafe":
		line("writes", "go on without ZooKeeper, promised by %s", dash(f["grant_promised_by"]))
	case f["grant"] == "none" && f["grant_waits"] != "":
		line("WRITES", "wait %s", f["grant_waits"])
	case f["grant"] == "none" && f["phase"] == "stable":
		line("WRITES", "wait for ZooKeeper; no failsafe: %s", dash(f["no_failsafe_because"]))
	}
	line("clients", "%s of at most %s, %s of them waiting for a master", f["client_connections"], f["client_connections_limit"], f["clients_held"])
	line("requests", "%s: %s reads from replicas, %s reads from the master, %s writes", f["requests"], f["replica_reads"], f["master_reads"], f["writes"])
	if f["write_acks"] != "" || f.Int("unreplicated_writes") > 0 {
		line("write-acks", "%s", acknowledged(f))
	}
	line("in failovers", "%s held, %s of them in vain, %s sent again, %s with unknown result", f["held"], f["hold_timeouts"], f["redone"], f["unknown_results"])
	switch {
	case f.Int("failovers") == 0:
		line("last failover", "none")
	case f.Milliseconds("last_failover_duration_ms") == 0:
		line("failover", "under way, from %s: %s", f["last_failover_from"], f["last_failover_cause"])
	default:
		line("last failover", "epoch %s, from %s to %s, %s ms from the fence to the new state, %v ago: %s", f["last_failover_epoch"], f["last_failover_from"], f["last_failover_to"],
			f["last_failover_duration_ms"], time.Since(time.Unix(f.Int("last_failover_time"), 0)).Round(time.Second), f["last_failover_cause"])
	}
	own := f.Int("alarms") - f.Int("alarms_of_leader")
	for i := range f.Int("alarms") {
		text := f[fmt.Sprintf("alarm%d", i)]
		if i >= own {
			text += " (raised by " + f["alarms_leader"] + ", which leads)"
		}
		line("alarm", "%s", inCommands(text))
	}
	return w.Flush()
}

// acknowledged says what durable writes rest on, and what has become of them.
func acknowledged(f client.Fields) string {
	told := fmt.Sprintf("%s writes answered as durable, %s answered UNREPLICATED", f["durable_writes"], f["unreplicated_writes"])
	if f["write_acks"] == "" {
		return "none in the state; " + told
	}
	return fmt.Sprintf("%s, counted at %s; ", f["write_acks"], cmp.Or(strings.ReplaceAll(f["write_acks_holders"], ",", ", "), "no replica")) + told
}

type nodesCommand struct {
	target
}

// Run prints the nodes as the Understudy at the address sees them.
func (c *nodesCommand) Run(ctx context.Context, s *streams) error {
	return c.ask(ctx, func(u *client.Client) error {
		nodes, err := u.Nodes()
		if err != nil {
			return err
		}
		return printNodes(s.out, nodes)
	})
}

func printNodes(out io.Writer, nodes []client.Fields) error {
	w := table(out)
	fmt.Fprintln(w, "NODE\tROLE\tHEALTH\tSINCE\tOFFSET\tLAG\tLINK\tREQUESTS\tLATENCY\tVERSION\tREMARK")
	for _, n := range nodes {
		latency := "-"
		if n.Int("connections") > 0 {
			latency = (time.Duration(n.Int("latency_us")) * time.Microsecond).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", n["addr"], n["role"], n["health"], ago(n.Int("since")), n["offset"],
			lag(n), dash(n["link"]), n["requests"], latency, dash(n["version"]), dash(n["reason"]))
	}
	return w.Flush()
}

func table(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 8, 2, ' ', 0) }

// lag is how far a replica is behind, in bytes; in time as well when it can be told.
func lag(n client.Fields) string {
	switch {
	case n["role"] != "replica":
		return "-"
	case n.Int("lag_ms") > 0:
		return fmt.Sprintf("%s (%v)", size(n.Int("lag_bytes")), time.Duration(n.Int("lag_ms"))*time.Millisecond)
	}
	return size(n.Int("lag_bytes")).String()
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }

// ago is an age in seconds; negative is never.
func ago(n int64) string {
	if n < 0 {
		return "-"
	}
	return seconds(n).String()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
