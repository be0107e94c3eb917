package demo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy/admin/client"
)

// Tick is the tickTime of the demonstration's ZooKeeper.
const Tick = 200 * time.Millisecond

// Member is an Understudy that the demonstration runs as a process of its own.
type Member struct {
	ID   string   // names its folder
	Addr string   // where it listens
	Args []string // of the program, without its name
}

// member is one that was started.
type member struct {
	program *testcluster.Program
	addr    string
}

// ZooKeeper is the address of the ZooKeeper that the demonstration was started with.
func (d *Demo) ZooKeeper() string { return strings.Join(d.ensemble.Hosts(), ",") }

// StartMembers starts Understudys, each as a process that runs program, and returns when all of them serve clients.
// Close stops them. The variables of Understudy that this process has are meant for other clusters, and they get none.
func (d *Demo) StartMembers(ctx context.Context, program string, members []Member) error {
	started := make([]*member, len(members))
	failures := make([]error, len(members))
	var starting sync.WaitGroup
	for i, m := range members {
		starting.Go(func() {
			p, err := testcluster.StartProgram(ctx, testcluster.ProgramOptions{
				Path: program, Args: m.Args, Env: strangers(os.Environ()), Dir: d.folder(m.ID), Ready: func() error { return serves(ctx, m.Addr) },
			})
			started[i], failures[i] = &member{p, m.Addr}, err
		})
	}
	starting.Wait()
	if err := errors.Join(failures...); err != nil {
		for i, m := range started {
			if failures[i] == nil {
				err = errors.Join(err, m.program.Kill())
			}
		}
		return err
	}
	d.members = started
	return nil
}

func (d *Demo) folder(id string) string { return filepath.Join(d.Dir, "understudy-"+id) }

// MemberPids are the processes of the Understudys, in the order in which they were given.
func (d *Demo) MemberPids() []int {
	var pids []int
	for _, m := range d.members {
		pids = append(pids, m.program.Pid())
	}
	return pids
}

// MemberLogs are their logs.
func (d *Demo) MemberLogs() []string {
	var paths []string
	for _, m := range d.members {
		paths = append(paths, m.program.Log())
	}
	return paths
}

// stopMembers ends all of them in order, at the same time.
func (d *Demo) stopMembers() error {
	failures := make([]error, len(d.members))
	var stopping sync.WaitGroup
	for i, m := range d.members {
		stopping.Go(func() { failures[i] = m.program.Stop() })
	}
	stopping.Wait()
	return errors.Join(failures...)
}

// serves returns nil once the Understudy at addr knows a master and says so.
func serves(ctx context.Context, addr string) error {
	conn, err := client.Dial(ctx, addr, "", "")
	if err != nil {
		return err
	}
	_, err = conn.Info()
	return errors.Join(err, conn.Close())
}

// strangers are the variables that are not Understudy's.
func strangers(environ []string) []string {
	var list []string
	for _, entry := range environ {
		if !strings.HasPrefix(entry, "UNDERSTUDY_") {
			list = append(list, entry)
		}
	}
	return list
}
