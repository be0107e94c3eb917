package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/understudy/understudy/proxy/admin/client"
	"github.com/understudy/understudy/topology"
)

type membersCommand struct {
	target
}

// Run prints the members of the cluster that the Understudy at the address belongs to.
func (c *membersCommand) Run(ctx context.Context, s *streams) error {
	return c.ask(ctx, func(u *client.Client) error {
		members, err := u.Members()
		if err != nil {
			return err
		}
		f, err := u.Info()
		if err != nil {
			return err
		}
		if len(members) > 0 && members[0]["reason"] != "" {
			fmt.Fprintf(s.out, "as it was %v ago, because it cannot be found out now: %s\n", seconds(members[0].Int("heard")), members[0]["reason"])
		}
		w := table(s.out)
		fmt.Fprintln(w, "MEMBER\tROLE\tELECTOR\tADDRESS\tANSWERS\tEPOCH\tFENCED\tDOWN")
		for _, m := range members {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", m["id"], m["role"], m["elector"], dash(m["addr"]), dash(m["answers"]), m["applied"], m["fenced"], dash(m["down"]))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for _, m := range members {
			if m["answers"] == "no" {
				fmt.Fprintf(s.out, "%s does not answer %s (%s). If it was killed, it is listed until ZooKeeper ends its session.\n", m["id"], f["member_id"], m["silence"])
			}
		}
		if f["grant"] != string(topology.Endless) {
			return nil
		}
		_, err = fmt.Fprintln(s.out, "Without ZooKeeper there is no agreement to be a member of: it decides by itself.")
		return err
	})
}

type eventsCommand struct {
	target
	Count  int  `default:"100" placeholder:"N" help:"How many to show, at most."`
	Latest *int `arg:"" optional:"" placeholder:"N" help:"The same as --count N."`
}

// Run prints the latest events, the last one at the end.
func (c *eventsCommand) Run(ctx context.Context, s *streams) error {
	return c.ask(ctx, func(u *client.Client) error {
		count := c.Count
		if c.Latest != nil {
			count = *c.Latest
		}
		events, err := u.Events(count)
		if err != nil {
			return err
		}
		return printEvents(s.out, events)
	})
}

func printEvents(out io.Writer, events []client.Fields) error {
	w := table(out)
	fmt.Fprintln(w, "TIME\tEPOCH\tKIND\tTOOK\tEVENT")
	for _, e := range events {
		took := "-"
		if us := e.Int("duration_us"); us > 0 {
			took = (time.Duration(us) * time.Microsecond).String()
		}
		epoch := e["epoch"]
		if e.Int("epoch") == 0 {
			epoch = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", time.UnixMilli(e.Int("time_ms")).Format("2006-01-02 15:04:05.000-07:00"), epoch, e["kind"], took, e["text"])
	}
	return w.Flush()
}

type failoverCommand struct {
	target
	Node  string `arg:"" optional:"" help:"The replica (host:port, as nodes shows it) that is to become master; by default the best one."`
	Force bool   `env:"-" help:"Also a node that is not to be promoted (no-failover, replica-priority 0), and also while paused."`
}

// Run asks for a switchover and prints how it ended.
func (c *failoverCommand) Run(ctx context.Context, s *streams) error {
	return c.operate(ctx, s, func(u *client.Client) (string, error) { return u.Failover(c.Node, c.Force) })
}

type pauseCommand struct {
	target
	Reason []string `arg:"" optional:"" help:"Why; shown to whoever looks at the status."`
}

// Run asks for a pause.
func (c *pauseCommand) Run(ctx context.Context, s *streams) error {
	return c.operate(ctx, s, func(u *client.Client) (string, error) { return u.Pause(strings.Join(c.Reason, " ")) })
}

type resumeCommand struct {
	target
}

// Run asks for the end of a pause.
func (c *resumeCommand) Run(ctx context.Context, s *streams) error {
	return c.operate(ctx, s, (*client.Client).Resume)
}

type forgetCommand struct {
	target
	Node string `arg:"" help:"The node (host:port, as nodes shows it), which is shut down."`
}

// Run asks for a node to be forgotten.
func (c *forgetCommand) Run(ctx context.Context, s *streams) error {
	return c.operate(ctx, s, func(u *client.Client) (string, error) { return u.Forget(c.Node) })
}

// slowness is how long an answer may take before it is said that it is waited for.
const slowness = 3 * time.Second

// inCommands puts what an Understudy advises its clients to send into the words of this command line.
func inCommands(text string) string {
	return strings.NewReplacer("PROXY FAILOVER with FORCE", "understudy failover --force", "use FORCE", "use --force", "PROXY RESUME", "understudy resume",
		"PROXY EVENTS", "understudy events").Replace(text)
}

// operate has f ask for something and prints the answer. What was refused is an error in its own words.
func (t *target) operate(ctx context.Context, s *streams, f func(*client.Client) (string, error)) error {
	var refusal error
	slow := time.AfterFunc(slowness, func() {
		fmt.Fprintln(s.err, "no answer yet: it is for the member that leads, and if that one was lost, another has to be elected first; waiting")
	})
	defer slow.Stop()
	err := t.ask(ctx, func(u *client.Client) error {
		text, err := f(u)
		if client.Refused(err) {
			refusal = errors.New(inCommands(strings.TrimPrefix(err.Error(), "ERR ")))
			return nil
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.out, inCommands(text))
		return err
	})
	var signalled interrupted
	if errors.As(err, &signalled) {
		return fmt.Errorf("%w: if the request has arrived, it is carried out all the same, and understudy events tells how it ended", err)
	}
	if err != nil {
		return err
	}
	return refusal
}
