package demo

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// script writes the account of the show, a whole line at a time. It may be used by several goroutines. What cannot be
// written (the terminal has gone) is lost.
type script struct {
	color bool

	mu  sync.Mutex
	out io.Writer
}

// cell is one node, or one Understudy, in one line.
type cell struct {
	addr string
	role string
	rate float64 // requests per second
}

// row is what one line tells.
type row struct {
	nodes   []cell
	proxies []cell        // none where there is only one Understudy
	rate    float64       // requests of the clients per second
	longest time.Duration // of the requests that ended in the last second
	sum     counts
}

const (
	bold  = "\x1b[1m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	plain = "\x1b[0m"

	cellWidth  = 21
	proxyWidth = 16
)

func (s *script) paint(style, text string) string {
	if !s.color {
		return text
	}
	return style + text + plain
}

func (s *script) write(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.out, text)
}

// event writes a line about something that happened.
func (s *script) event(format string, args ...any) {
	s.write(time.Now().Format(time.TimeOnly) + "  " + s.paint(bold, "* "+fmt.Sprintf(format, args...)))
}

// heading writes the names of the columns of line.
func (s *script) heading(r row) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s", "time")
	for _, c := range r.nodes {
		fmt.Fprintf(&b, "  %-*s", cellWidth, "node "+c.port()+", req/s")
	}
	for _, c := range r.proxies {
		fmt.Fprintf(&b, "  %-*s", proxyWidth, "proxy "+c.port())
	}
	b.WriteString("  clients req/s  longest  errors  unknown")
	s.write(b.String())
}

// port is the address of a cell, short.
func (c cell) port() string {
	_, port, err := net.SplitHostPort(c.addr)
	if err != nil {
		return c.addr
	}
	return ":" + port
}

// line writes what happened in the last second.
func (s *script) line(now time.Time, r row) {
	var b strings.Builder
	b.WriteString(now.Format(time.TimeOnly))
	for _, c := range r.nodes {
		b.WriteString(s.cell(c, "master", fmt.Sprintf("  %-*s", cellWidth, fmt.Sprintf("%-14s %6.0f", c.role, c.rate))))
	}
	for _, c := range r.proxies {
		b.WriteString(s.cell(c, "leader", fmt.Sprintf("  %-*s", proxyWidth, fmt.Sprintf("%-9s %6.0f", c.role, c.rate))))
	}
	fmt.Fprintf(&b, "  %13.0f  %7s  %6d  %7d", r.rate, shown(r.longest), r.sum.errors, r.sum.unknown)
	s.write(b.String())
}

// cell paints the text of a cell by its role; first is the role of the one that matters most.
func (s *script) cell(c cell, first, text string) string {
	switch c.role {
	case first:
		return s.paint(green, text)
	case "replica", "member":
		return text
	}
	return s.paint(red, text)
}

// shown rounds a duration to what is worth reading.
func shown(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
