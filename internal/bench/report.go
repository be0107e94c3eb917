package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// The report stands between these lines in a file that has more to say.
const (
	beginReport = "<!-- begin of the report of make bench -->\n"
	endReport   = "<!-- end of the report of make bench -->\n"
)

// report is everything that is printed at the end.
type report struct {
	opts        options
	machine     machine
	results     *results
	allocations []allocation
}

// markdown is the report between its markers.
func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString(beginReport)
	fmt.Fprintf(&b, "Measured on %s; %s. %s.\n", time.Now().UTC().Format("2006-01-02"), r.effort(), r.machine)
	r.cpuTable(&b)
	r.rateTable(&b)
	r.latencyTable(&b)
	r.allocationTable(&b)
	b.WriteString(endReport)
	return b.String()
}

func (r *report) effort() string {
	text := fmt.Sprintf("medians of %d rounds", r.opts.rounds)
	if r.opts.rounds == 1 {
		text = "one round"
	}
	if r.opts.quick {
		text += " with a third of the requests (`--quick`)"
	}
	return text
}

// absent stands for a figure that there is none of.
const absent = "-"

func (r *report) cpuTable(b *strings.Builder) {
	title(b, "CPU time of the proxy per request, microseconds (least to greatest of the rounds)")
	proxies := r.results.targets[1:]
	header := append([]string{"load"}, proxies...)
	for _, other := range r.peers() {
		header = append(header, understudy+" / "+other)
	}
	row(b, header...)
	ruler(b, len(header))
	for _, load := range r.results.loads {
		cells := []string{load}
		for _, t := range proxies {
			text := absent
			if median, least, most, ok := r.results.spread(load, t, cpu); ok {
				if text = microseconds(median); r.opts.rounds > 1 {
					text += fmt.Sprintf(" (%s to %s)", microseconds(least), microseconds(most))
				}
			}
			cells = append(cells, text)
		}
		for _, other := range r.peers() {
			cells = append(cells, r.ratio(load, other, cpu))
		}
		row(b, cells...)
	}
}

func (r *report) rateTable(b *strings.Builder) {
	title(b, "Requests per second, thousands")
	header := append([]string{"load"}, r.results.targets...)
	for _, other := range r.peers() {
		header = append(header, understudy+" / "+other)
	}
	row(b, header...)
	ruler(b, len(header))
	for _, load := range r.results.loads {
		cells := []string{load}
		for _, t := range r.results.targets {
			text := absent
			if median, _, _, ok := r.results.spread(load, t, perSecond); ok {
				text = fmt.Sprintf("%.1f", median/1000)
			}
			cells = append(cells, text)
		}
		for _, other := range r.peers() {
			cells = append(cells, r.ratio(load, other, perSecond))
		}
		row(b, cells...)
	}
}

func (r *report) latencyTable(b *strings.Builder) {
	title(b, "Latency p50 / p99, milliseconds")
	row(b, append(append([]string{"load"}, r.results.targets...), "p50 of "+understudy+" over direct")...)
	ruler(b, len(r.results.targets)+2)
	for _, load := range r.results.loads {
		cells := []string{load}
		for _, t := range r.results.targets {
			text := absent
			if half, _, _, ok := r.results.spread(load, t, p50); ok {
				most, _, _, _ := r.results.spread(load, t, p99)
				text = fmt.Sprintf("%.3f / %.3f", half, most)
			}
			cells = append(cells, text)
		}
		ours, _, _, ok := r.results.spread(load, understudy, p50)
		theirs, _, _, known := r.results.spread(load, direct, p50)
		difference := absent
		if ok && known {
			difference = fmt.Sprintf("%+.0f µs", 1000*(ours-theirs))
		}
		row(b, append(cells, difference)...)
	}
}

func (r *report) allocationTable(b *strings.Builder) {
	title(b, "Memory allocated per request in steady state")
	row(b, "requests", "bytes", "allocations")
	ruler(b, 3)
	for _, a := range r.allocations {
		row(b, a.name, fmt.Sprintf("%.2f", a.bytes), fmt.Sprintf("%.4f", a.count))
	}
}

// peers are the targets that Understudy is set against.
func (r *report) peers() []string {
	var names []string
	for _, t := range r.results.targets {
		if t == haproxy || t == twemproxy {
			names = append(names, t)
		}
	}
	return names
}

func (r *report) ratio(load, other string, f figure) string {
	if value, ok := r.results.ratio(load, other, f); ok {
		return fmt.Sprintf("**%.2f**", value)
	}
	return absent
}

// microseconds prints short times with the digits that they have.
func microseconds(value float64) string {
	if value < 10 {
		return fmt.Sprintf("%.2f", value)
	}
	return fmt.Sprintf("%.1f", value)
}

func title(b *strings.Builder, text string) { fmt.Fprintf(b, "\n### %s\n\n", text) }

func row(b *strings.Builder, cells ...string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }

func ruler(b *strings.Builder, columns int) {
	b.WriteString("|---|" + strings.Repeat("---:|", columns-1) + "\n")
}

// writeReport writes the report to a file, or replaces the one between the markers in it.
func writeReport(path, text string) error {
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !bytes.Contains(old, []byte(beginReport)) && len(bytes.TrimSpace(old)) == 0 {
		return os.WriteFile(path, []byte(text), 0o644)
	}
	if err != nil {
		return err
	}
	before, rest, begun := strings.Cut(string(old), beginReport)
	_, after, ended := strings.Cut(rest, endReport)
	if !begun || !ended {
		return fmt.Errorf("%s is there and has no place for the report: it must be absent, empty, or have the lines\n%s%s", path, beginReport, endReport)
	}
	return os.WriteFile(path, []byte(before+text+after), 0o644)
}
