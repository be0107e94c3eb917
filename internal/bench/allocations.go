package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
)

// allocation is what the proxy allocates for one request.
type allocation struct {
	name  string
	bytes float64
	count float64
}

// allocationLine is a line of BenchmarkProxy: its name and the figures that it reports.
var allocationLine = regexp.MustCompile(`(?m)^BenchmarkProxy/(\S+?)(?:-\d+)?\s.*?([0-9.e+-]+) allocated-B/req\s+([0-9.e+-]+) allocs/req`)

// measureAllocations runs BenchmarkProxy of this package, which has the proxy in its own process and so can count.
func measureAllocations(ctx context.Context) ([]allocation, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkProxy$", "-benchtime", "20000x",
		"github.com/understudy/understudy/internal/bench")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("measure allocations: %w\n%s", err, tail(out))
	}
	var found []allocation
	for _, line := range allocationLine.FindAllSubmatch(out, -1) {
		bytes, errBytes := strconv.ParseFloat(string(line[2]), 64)
		count, errCount := strconv.ParseFloat(string(line[3]), 64)
		if err := errors.Join(errBytes, errCount); err != nil {
			return nil, fmt.Errorf("measure allocations: %w\n%s", err, tail(out))
		}
		found = append(found, allocation{string(line[1]), bytes, count})
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("measure allocations: BenchmarkProxy reported nothing\n%s", tail(out))
	}
	return found, nil
}
