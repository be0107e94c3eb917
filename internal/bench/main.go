package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

// options are what the command line sets.
type options struct {
	rounds     int
	quick      bool
	out        string
	loads      *regexp.Regexp
	understudy string
}

func main() {
	opts, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, opts, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// parseOptions reads the command line. What is wrong with it has been printed to messages when it returns an error.
func parseOptions(args []string, messages io.Writer) (options, error) {
	var opts options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(messages)
	flags.IntVar(&opts.rounds, "rounds", 3, "how often everything is measured, 1 to 99; the report shows medians (--quick: 1 unless set)")
	flags.BoolVar(&opts.quick, "quick", false, "a third of the requests and one round: the figures are a first impression")
	flags.StringVar(&opts.out, "out", "", "write the report to this `file` too; if the file has the report's markers, replace what is between them")
	loads := flags.String("loads", "", "only loads whose name matches this regular `expression`, such as 'GET c50'")
	flags.StringVar(&opts.understudy, "understudy", "", "measure this `program` instead of building ./cmd/understudy")
	if err := flags.Parse(args); err != nil {
		return opts, err
	}
	set := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if opts.quick && !set["rounds"] {
		opts.rounds = 1
	}
	fail := func(err error) (options, error) {
		fmt.Fprintln(messages, "bench:", err)
		return opts, err
	}
	if flags.NArg() > 0 {
		return fail(fmt.Errorf("%q is no option", flags.Arg(0)))
	}
	if opts.rounds < 1 || opts.rounds > 99 {
		return fail(fmt.Errorf("--rounds is %d: it must be from 1 to 99", opts.rounds))
	}
	var err error
	if opts.loads, err = regexp.Compile("(?i)" + *loads); err != nil {
		return fail(fmt.Errorf("--loads: %w", err))
	}
	return opts, nil
}

// run measures and reports. Progress goes to messages, the report to out.
func run(ctx context.Context, opts options, out, messages io.Writer) (err error) {
	if err := allowManyDescriptors(); err != nil {
		return err
	}
	chosen := chooseLoads(opts)
	if len(chosen) == 0 {
		return errors.New("no load has a name that --loads matches")
	}
	dir, err := os.MkdirTemp("", "understudy-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	bed, err := newTestbed(ctx, dir, opts.understudy, messages)
	if err != nil {
		return interrupted(ctx, err)
	}
	defer func() { err = errors.Join(err, bed.stop()) }()

	results := newResults(chosen, bed.targets)
	for round := range opts.rounds {
		if err := bed.measureRound(ctx, round, opts.rounds, chosen, results, messages); err != nil {
			return interrupted(ctx, err)
		}
	}
	allocations, err := measureAllocations(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}
	report := &report{opts: opts, machine: describeMachine(ctx), results: results, allocations: allocations}
	text := report.markdown()
	if _, err := io.WriteString(out, text); err != nil {
		return err
	}
	if opts.out != "" {
		return writeReport(opts.out, text)
	}
	return nil
}

// interrupted names the cause when an error is what Ctrl-C has brought about.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}
