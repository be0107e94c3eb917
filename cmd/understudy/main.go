// Command understudy is a transparent proxy for one Redis master and its replicas. This package is the command line:
// flags, environment, configuration file, wiring and signals; what is done is done by the packages it wires.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit statuses. 0 is also that of an Understudy ended in order by SIGTERM or SIGINT; a command that only asks, and was
// interrupted before it had its answer, ends as shells have it, with 128 and the signal's number: 130 or 143.
const (
	exitOK       = 0
	exitFailed   = 1
	exitBadUsage = 2
)

// cli is the whole command line.
type cli struct {
	Run      runCommand      `cmd:"" help:"Serve clients."`
	Demo     demoCommand     `cmd:"" help:"Start a master and two replicas on this machine, serve them, and show what happens."`
	Status   statusCommand   `cmd:"" help:"Show what a running Understudy does."`
	Nodes    nodesCommand    `cmd:"" help:"Show the nodes as a running Understudy sees them."`
	Members  membersCommand  `cmd:"" help:"Show the Understudy processes of the cluster and who leads."`
	Events   eventsCommand   `cmd:"" help:"Show what happened lately."`
	Failover failoverCommand `cmd:"" help:"Make another node the master, without losing a write."`
	Pause    pauseCommand    `cmd:"" help:"Have Understudy only observe: no failover takes place and no node is moved."`
	Resume   resumeCommand   `cmd:"" help:"End a pause."`
	Forget   forgetCommand   `cmd:"" help:"Take a node that is gone for good out of the cluster."`
	Check    checkCommand    `cmd:"" help:"Check a configuration file and the nodes it names, and change nothing."`
	Version  versionCommand  `cmd:"" help:"Print the version."`
	Help     helpCommand     `cmd:"" help:"Print this help."`
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run carries out one command line and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	file := &fileResolver{}
	parser, err := newParser(&cli{}, file, stdout, stderr)
	if err != nil {
		return fail(stderr, err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if args[0] == "--version" { // as other programs have it
		args = append([]string{"version"}, args[1:]...)
	}
	status, exited := -1, false
	parser.Exit = func(s int) { status, exited = s, true; panic(exitNow{}) }
	var command *kong.Context
	func() {
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(exitNow); !ok {
					panic(r)
				}
			}
		}()
		command, err = parse(parser, file, joinNegatives(args))
	}()
	if exited {
		return status
	}
	if err != nil {
		return fail(stderr, badUsage{fmt.Errorf("%w; see understudy --help", err)})
	}

	ctx, stop := untilSignal()
	defer stop()
	command.BindTo(ctx, (*context.Context)(nil))
	return fail(stderr, command.Run(&streams{stdout, stderr}))
}

// exitNow unwinds the parser when it has printed the help that was asked for.
type exitNow struct{}

// streams are where commands write.
type streams struct{ out, err io.Writer }

// newParser returns a parser of command lines into c: flags, then the environment, then the file that --config names,
// then defaults.
func newParser(c any, file *fileResolver, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(c,
		kong.Name("understudy"),
		kong.Description("Understudy is a transparent Redis proxy: writes go to the master, reads to its replicas, and when the master fails a "+
			"replica takes over while clients see a short pause. Every option of a command can also be given as an environment variable, "+
			"and those of run in a YAML file under the same names (see --config); the flag wins, then the variable, then the file."),
		kong.Writers(stdout, stderr),
		kong.Vars(defaults()),
		kong.ExplicitGroups(optionGroups),
		kong.DefaultEnvars("UNDERSTUDY"),
		kong.Resolvers(file),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
	)
}

// badUsage is an error of the configuration, whatever its source.
type badUsage struct{ error }

func (b badUsage) Unwrap() error { return b.error }

// fail prints err as one line and returns the exit status that goes with it; 0 for nil.
func fail(stderr io.Writer, err error) int {
	var usage badUsage
	var signalled interrupted
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errProblemsFound):
		return exitFailed
	}
	fmt.Fprintln(stderr, "understudy: "+sentence(err))
	switch {
	case errors.As(err, &usage):
		return exitBadUsage
	case errors.As(err, &signalled):
		return signalled.status()
	}
	return exitFailed
}

// helpCommand exists because people type "understudy help".
type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command to explain."`
}

// Run prints the help of the program or of one command.
func (h *helpCommand) Run(parser *kong.Kong) error {
	ctx, err := kong.Trace(parser, h.Command)
	if err != nil {
		return err
	}
	if ctx.Error != nil && len(h.Command) > 0 {
		return badUsage{fmt.Errorf("there is no command %q; see understudy --help", strings.Join(h.Command, " "))}
	}
	return ctx.PrintUsage(false)
}
