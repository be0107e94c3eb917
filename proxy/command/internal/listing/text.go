package listing

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The text form has one line per command, sorted by name, '#' begins a comment:
//
//	NAME arity group since flag,flag,... [key specification ...]
//
// An empty field is "-". A key specification is a beginning, a way to enumerate, and marks:
//
//	index=1:range=0,1,0                  last, step, limit
//	index=2:count=0,1,1                  index of the number, first, step
//	STREAMS@4:range=-1,1,2               after the keyword, searched from index 4
//	index=1:range=0,1,0:notkey
//	unknown:incomplete

// Format writes the text form of a listing, ending in a newline. Parse reads it back.
func (l Listing) Format() string {
	entries := slices.Clone(l.Entries)
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %d %s %s %s", e.Name, e.Arity, orDash(e.Group), orDash(e.Since), orDash(strings.Join(e.Flags, ",")))
		for _, s := range e.Keys {
			b.WriteByte(' ')
			b.WriteString(s.String())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// String is the specification in the text form.
func (s KeySpec) String() string {
	var b strings.Builder
	switch {
	case s.Find == FindUnknown:
		b.WriteString("unknown")
	case s.Keyword != "":
		fmt.Fprintf(&b, "%s@%d", s.Keyword, s.Start)
	default:
		fmt.Fprintf(&b, "index=%d", s.Start)
	}
	switch s.Find {
	case FindRange:
		fmt.Fprintf(&b, ":range=%d,%d,%d", s.Last, s.Step, s.Limit)
	case FindCount:
		fmt.Fprintf(&b, ":count=%d,%d,%d", s.CountIndex, s.First, s.Step)
	}
	if s.NotKey {
		b.WriteString(":notkey")
	}
	if s.Incomplete {
		b.WriteString(":incomplete")
	}
	return b.String()
}

// Parse reads the text form. An error names the line.
func Parse(text string) (Listing, error) {
	l := Listing{Detailed: true}
	n := 0
	for line := range strings.Lines(text) {
		n++
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		e, err := parseEntry(fields)
		if err != nil {
			return Listing{}, fmt.Errorf("command listing, line %d: %w", n, err)
		}
		l.Entries = append(l.Entries, e)
	}
	return l, nil
}

func parseEntry(fields []string) (Entry, error) {
	if len(fields) < 5 {
		return Entry{}, errors.New("fewer than five fields")
	}
	arity, err := strconv.Atoi(fields[1])
	if err != nil {
		return Entry{}, fmt.Errorf("arity: %w", err)
	}
	e := Entry{Name: fields[0], Arity: arity, Group: dashed(fields[2]), Since: dashed(fields[3])}
	if flags := dashed(fields[4]); flags != "" {
		e.Flags = strings.Split(flags, ",")
	}
	for _, f := range fields[5:] {
		s, err := parseKeySpec(f)
		if err != nil {
			return Entry{}, fmt.Errorf("key specification %q: %w", f, err)
		}
		e.Keys = append(e.Keys, s)
	}
	return e, nil
}

func dashed(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

func parseKeySpec(text string) (KeySpec, error) {
	var s KeySpec
	begin, rest, _ := strings.Cut(text, ":")
	if err := s.parseBegin(begin); err != nil {
		return KeySpec{}, err
	}
	for rest != "" {
		var part string
		part, rest, _ = strings.Cut(rest, ":")
		name, numbers, _ := strings.Cut(part, "=")
		var err error
		switch name {
		case "range":
			s.Find = FindRange
			err = parseNumbers(numbers, &s.Last, &s.Step, &s.Limit)
		case "count":
			s.Find = FindCount
			err = parseNumbers(numbers, &s.CountIndex, &s.First, &s.Step)
		case "notkey":
			s.NotKey = true
		case "incomplete":
			s.Incomplete = true
		default:
			err = fmt.Errorf("unknown part %q", part)
		}
		if err != nil {
			return KeySpec{}, err
		}
	}
	if s.Find != FindUnknown && s.Step < 1 {
		return KeySpec{}, errors.New("step is below 1")
	}
	return s, nil
}

func (s *KeySpec) parseBegin(text string) (err error) {
	if text == "unknown" {
		return nil
	}
	if index, ok := strings.CutPrefix(text, "index="); ok {
		s.Start, err = strconv.Atoi(index)
		return err
	}
	keyword, start, ok := strings.Cut(text, "@")
	if !ok {
		return fmt.Errorf("unknown beginning %q", text)
	}
	s.Keyword = keyword
	s.Start, err = strconv.Atoi(start)
	return err
}

// parseNumbers reads as many comma-separated numbers as there are places for them.
func parseNumbers(text string, into ...*int) error {
	for i, n := range into {
		var field string
		var more bool
		field, text, more = strings.Cut(text, ",")
		if more != (i < len(into)-1) {
			return fmt.Errorf("not %d numbers", len(into))
		}
		var err error
		if *n, err = strconv.Atoi(field); err != nil {
			return err
		}
	}
	return nil
}
