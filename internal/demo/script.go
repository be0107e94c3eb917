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

// cell is one node in one line.
type cell struct {
	addr string
	role string
	rate float64 // requests per second
}

const (
	bold  = "\x1b[1m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	plain = "\x1b[0m"

	cellWidth = 21
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
func (s *script) heading(cells []cell) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s", "time")
	for _, c := range cells {
		_, port, err := net.SplitHostPort(c.addr)
		if err != nil {
			port = c.addr
		}
		fmt.Fprintf(&b, "  %-*s", cellWidth, "node :"+port+", req/s")
	}
	b.WriteString("  clients req/s  longest  errors  unknown")
	s.write(b.String())
}

// line writes what happened in the last second.
func (s *script) line(now time.Time, cells []cell, rate float64, longest time.Duration, sum counts) {
	var b strings.Builder
	b.WriteString(now.Format(time.TimeOnly))
	for _, c := range cells {
		text := fmt.Sprintf("  %-*s", cellWidth, fmt.Sprintf("%-14s %6.0f", c.role, c.rate))
		switch c.role {
		case "master":
			text = s.paint(green, text)
		case "replica":
		default:
			text = s.paint(red, text)
		}
		b.WriteString(text)
	}
	fmt.Fprintf(&b, "  %13.0f  %7s  %6d  %7d", rate, shown(longest), sum.errors, sum.unknown)
	s.write(b.String())
}

// shown rounds a duration to what is worth reading.
func shown(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
