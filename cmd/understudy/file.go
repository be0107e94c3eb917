package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// fileResolver gives the parser the options of the file that --config or UNDERSTUDY_CONFIG names.
type fileResolver struct {
	read   bool
	err    error // of reading the file; the parser would blame it on an option
	path   string
	values map[string]fileValue // by the name of the option
	used   map[string]bool      // by the name of the option: its value was taken from the file
}

// fileValue is what the file says about one option.
type fileValue struct {
	text string // as the flag would be given
	line int
}

var _ kong.Resolver = (*fileResolver)(nil)

// Validate implements kong.Resolver. What is in the file is checked when it is read, against the command's options.
func (r *fileResolver) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (r *fileResolver) Resolve(ctx *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	if !r.read {
		config := named(parent.Flags, "config")
		if config == nil || named(parent.Flags, "nodes") == nil { // check has the one without the other: it reads the file itself
			return nil, nil
		}
		r.read = true
		path, _ := ctx.FlagValue(config).(string)
		if path == "" {
			return nil, nil
		}
		r.path, r.used = path, make(map[string]bool)
		r.values, r.err = readOptions(path, parent.Flags)
	}
	if fromEnvironment(flag) {
		return nil, nil
	}
	value, ok := r.values[flag.Name]
	if !ok || named(parent.Flags, "config") == nil {
		return nil, nil // not in the file, or not an option of the command that has read it
	}
	r.used[flag.Name] = true
	return value.text, nil
}

// locate says where a value comes from that the parser refuses, if it is from the file.
func (r *fileResolver) locate(err error) error {
	for name := range r.used {
		if rest, ok := strings.CutPrefix(err.Error(), "--"+name+": "); ok {
			return fmt.Errorf("%s: line %d: %s: %s", r.path, r.values[name].line, name, explainValue(rest))
		}
	}
	return errors.New(explainValue(err.Error()))
}

func named(flags []*kong.Flag, name string) *kong.Flag {
	i := slices.IndexFunc(flags, func(f *kong.Flag) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return flags[i]
}

// parse parses a command line; errors of the file come before those of the options that it should have given.
func parse(parser *kong.Kong, file *fileResolver, args []string) (*kong.Context, error) {
	ctx, err := parser.Parse(args)
	if file.err != nil {
		return nil, file.err
	}
	if err != nil {
		return nil, file.locate(err)
	}
	return ctx, nil
}

// fromEnvironment reports whether the environment sets the option; the parser has taken the value from there already.
func fromEnvironment(flag *kong.Flag) bool {
	return slices.ContainsFunc(flag.Envs, func(name string) bool { _, ok := os.LookupEnv(name); return ok })
}

// readOptions reads a file of options: one YAML mapping, whose keys are the long names of flags.
func readOptions(path string, flags []*kong.Flag) (map[string]fileValue, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w; name a file that can be read with --config", err)
	}
	defer f.Close()
	var root, more yaml.Node
	decoder := yaml.NewDecoder(f)
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF): // nothing but comments
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	switch err := decoder.Decode(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	default:
		return nil, fmt.Errorf("%s: line %d: a second document begins here (after ---), and nothing of it would be read: put all options into one", path, more.Line)
	}
	mapping := root.Content[0]
	if mapping.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s: line %d: there must be options as name: value", path, mapping.Line)
	}
	values := map[string]fileValue{}
	for i := 0; i < len(mapping.Content); i += 2 {
		key, node := mapping.Content[i], mapping.Content[i+1]
		flag := named(flags, key.Value)
		switch _, twice := values[key.Value]; {
		case flag == nil || key.Value == "help" || key.Value == "config":
			return nil, fmt.Errorf("%s: line %d: there is no option %q", path, key.Line, key.Value)
		case twice:
			return nil, fmt.Errorf("%s: line %d: the option %q is given twice", path, key.Line, key.Value)
		}
		value, err := optionValue(node, flag)
		if err != nil {
			return nil, fmt.Errorf("%s: line %d: %s %w", path, node.Line, key.Value, err)
		}
		values[key.Value] = fileValue{value, node.Line}
	}
	return values, nil
}

// optionValue turns a value of the file into the text that the flag would have been given, so that there is one way
// to read an option wherever it comes from.
func optionValue(node *yaml.Node, flag *kong.Flag) (string, error) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch {
	case plain(node):
		return node.Value, nil
	case node.Kind == yaml.SequenceNode && flag.IsSlice():
		var items []string
		for _, item := range node.Content {
			if !plain(item) {
				return "", errors.New("must be a list of plain values")
			}
			items = append(items, escape(item.Value, flag.Tag.Sep))
		}
		return strings.Join(items, string(flag.Tag.Sep)), nil
	case node.Kind == yaml.MappingNode && flag.IsMap():
		var items []string
		for i := 0; i < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			if !plain(key) || !plain(value) {
				return "", errors.New("must be a mapping of plain values (key: value)")
			}
			items = append(items, escape(key.Value+"="+value.Value, flag.Tag.MapSep))
		}
		return strings.Join(items, string(flag.Tag.MapSep)), nil
	}
	switch {
	case flag.IsSlice():
		return "", errors.New("must be a value or a list of values")
	case flag.IsMap():
		return "", errors.New("must be a mapping of values")
	}
	return "", errors.New("must be one value")
}

// plain reports whether a node is a single value.
func plain(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag != "!!null" }

// escape keeps a separator inside of an item from separating.
func escape(item string, sep rune) string {
	return strings.ReplaceAll(item, string(sep), `\`+string(sep))
}
