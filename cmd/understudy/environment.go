package main

import (
	"log/slog"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

const variablePrefix = "UNDERSTUDY_"

// orchestrated matches the variables that Kubernetes and Docker set for a service that is called understudy.
var orchestrated = regexp.MustCompile(`^UNDERSTUDY_(SERVICE_(HOST|PORT.*)|PORT|PORT_[0-9]+_.*)$`)

// warnOfStrangers logs the variables among environ (name=value) that begin like those of options and are none: most
// likely somebody has set an option that is not in effect. It is said once, with the variable that may be meant. Their
// values may be secrets and are not shown.
func warnOfStrangers(environ []string, known []string, log *slog.Logger) {
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, variablePrefix) || slices.Contains(known, name) || orchestrated.MatchString(name) {
			continue
		}
		log.Warn("this variable is no option and has no effect", "variable", name, "nearest", nearest(name, known))
	}
}

// variables lists the names of the variables of all options of all commands.
func variables(parser *kong.Kong) []string {
	var names []string
	var collect func(*kong.Node)
	collect = func(n *kong.Node) {
		for _, f := range n.Flags {
			names = append(names, f.Envs...)
		}
		for _, child := range n.Children {
			collect(child)
		}
	}
	collect(parser.Model.Node)
	slices.Sort(names)
	return slices.Compact(names)
}

// nearest returns the one of names that takes the fewest edits to become name, the first of equals.
func nearest(name string, names []string) string {
	return slices.MinFunc(names, func(a, b string) int { return edits(name, a) - edits(name, b) })
}

// edits is how many bytes must be inserted, deleted or replaced to make b of a (Levenshtein).
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
