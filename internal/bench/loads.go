package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const (
	// keys is how many keys there are of each size. They are few, so that all of them are in the servers' caches: the
	// subject is what is in front of the servers.
	keys       = 1000
	smallValue = 3
	largeValue = 4096
	// loadLimit is how long one run of redis-benchmark may take: many times what any should.
	loadLimit = 2 * time.Minute
	// quickDivisor is by how much --quick shortens a load.
	quickDivisor = 3
)

// load is one way to use Redis: a number of clients that each keep a number of requests under way.
type load struct {
	name     string
	clients  int
	pipeline int
	requests int // of one measurement: enough for about two seconds
	command  []string
}

// allLoads are the loads in the order of the report.
func allLoads() []load {
	get, set := []string{"GET", "small:__rand_int__"}, []string{"SET", "small:__rand_int__", strings.Repeat("x", smallValue)}
	getLarge, setLarge := []string{"GET", "large:__rand_int__"}, []string{"SET", "large:__rand_int__", strings.Repeat("x", largeValue)}
	mset := []string{"MSET"}
	for range 10 {
		mset = append(mset, set[1:]...)
	}
	return []load{
		{"GET c50", 50, 1, 200_000, get},
		{"SET c50", 50, 1, 200_000, set},
		{"GET c50 P16", 50, 16, 2_000_000, get},
		{"SET c50 P16", 50, 16, 1_600_000, set},
		{"GET c20 P128", 20, 128, 1_500_000, get},
		{"GET c1000", 1000, 1, 120_000, get},
		{"GET 4 KB c50", 50, 1, 60_000, getLarge},
		{"SET 4 KB c50", 50, 1, 50_000, setLarge},
		{"MSET 10 keys c50", 50, 1, 50_000, mset},
		{"GET c1", 1, 1, 20_000, get},
	}
}

// chooseLoads applies --loads and --quick.
func chooseLoads(opts options) []load {
	var chosen []load
	for _, l := range allLoads() {
		if opts.loads.MatchString(l.name) {
			if opts.quick {
				l.requests /= quickDivisor
			}
			chosen = append(chosen, l)
		}
	}
	return chosen
}

// fill makes sure that every key that a load reads is there. Keys are chosen at random, so it takes some more than
// there are: with 20 for each, one key in half a billion is left out.
func fill(ctx context.Context, addr string) error {
	for _, l := range allLoads() {
		if strings.HasPrefix(l.name, "SET c50") || strings.HasPrefix(l.name, "SET 4 KB") {
			l.requests = 20 * keys
			if _, err := l.run(ctx, addr); err != nil {
				return err
			}
		}
	}
	return nil
}

// outcome is what redis-benchmark says of one run.
type outcome struct {
	perSecond float64
	p50, p99  float64 // ms
}

// run drives the server at addr with the load, once.
func (l load) run(ctx context.Context, addr string) (outcome, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return outcome{}, err
	}
	args := []string{"-h", host, "-p", port, "--csv", "-r", strconv.Itoa(keys),
		"-c", strconv.Itoa(l.clients), "-P", strconv.Itoa(l.pipeline), "-n", strconv.Itoa(l.requests)}
	ctx, cancel := context.WithTimeout(ctx, loadLimit) // it tries for ever to reach a server that is not there
	defer cancel()
	cmd := exec.CommandContext(ctx, "redis-benchmark", append(args, l.command...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := runChild(cmd); err != nil {
		return outcome{}, fmt.Errorf("redis-benchmark with %s at %s: %w\n%s%s", l.name, addr, err, tail(stdout.Bytes()), tail(stderr.Bytes()))
	}
	got, err := parseOutcome(stdout.Bytes())
	if err != nil {
		return outcome{}, fmt.Errorf("redis-benchmark with %s at %s: %w\n%s%s", l.name, addr, err, tail(stdout.Bytes()), tail(stderr.Bytes()))
	}
	return got, nil
}

// parseOutcome reads the two lines of redis-benchmark --csv: names and figures.
func parseOutcome(text []byte) (outcome, error) {
	lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return outcome{}, err
	}
	if len(lines) != 2 {
		return outcome{}, fmt.Errorf("it printed %d lines of figures, not one: redis-benchmark 6.2 or later is needed", len(lines)-1)
	}
	var got outcome
	fields := map[string]*float64{"rps": &got.perSecond, "p50_latency_ms": &got.p50, "p99_latency_ms": &got.p99}
	for i, name := range lines[0] {
		if target := fields[name]; target != nil {
			if *target, err = strconv.ParseFloat(lines[1][i], 64); err != nil {
				return outcome{}, fmt.Errorf("%s: %w", name, err)
			}
			delete(fields, name)
		}
	}
	for name := range fields {
		return outcome{}, fmt.Errorf("it does not print %s: redis-benchmark 6.2 or later is needed", name)
	}
	return got, nil
}

// tail shortens what a program has printed to what an error message can carry.
func tail(text []byte) string {
	const most = 600
	text = bytes.TrimSpace(text)
	if len(text) > most {
		text = append([]byte("..."), text[len(text)-most:]...)
	}
	if len(text) > 0 {
		text = append(text, '\n')
	}
	return string(text)
}
