package listing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// FromCommand reads the raw reply to COMMAND of Redis 4 and later, in either protocol version. Commands whose names
// contain spaces, which a few modules have, are left out. An error says what is wrong with the reply, or what the
// server said instead of a listing.
func FromCommand(reply []byte) (Listing, error) {
	v, err := decode(reply)
	if err != nil {
		return Listing{}, fmt.Errorf("read reply to COMMAND: %w", err)
	}
	if v.len() == 0 {
		return Listing{}, errors.New("read reply to COMMAND: it lists no command")
	}
	var l Listing
	for i := range v.len() {
		if spaced(v.at(i)) {
			continue
		}
		if err := l.add(v.at(i), false); err != nil {
			return Listing{}, fmt.Errorf("read reply to COMMAND: %w", err)
		}
	}
	return l, nil
}

// FromInfo reads the raw reply to COMMAND INFO of n names, one listing for each. Its first entry is the command that the server
// has under that name, which may have another one of its own: see rename-command in redis.conf. It is empty if the server has
// none.
func FromInfo(reply []byte, n int) ([]Listing, error) {
	v, err := decode(reply)
	if err != nil {
		return nil, fmt.Errorf("read reply to COMMAND INFO: %w", err)
	}
	if v.len() != n {
		return nil, fmt.Errorf("read reply to COMMAND INFO: it has %d elements for %d names", v.len(), n)
	}
	ls := make([]Listing, n)
	for i := range ls {
		if v.at(i).len() == 0 {
			continue
		}
		if err := ls[i].add(v.at(i), false); err != nil {
			return nil, fmt.Errorf("read reply to COMMAND INFO: %w", err)
		}
	}
	return ls, nil
}

// spaced reports whether the name of an entry has spaces in it.
func spaced(v value) bool {
	return v.len() > 0 && strings.ContainsAny(v.at(fieldName).text(), " \t\r\n")
}

// Fields of an entry of COMMAND, by position. Redis before 7 sends the first six or seven, Redis 7 all ten.
const (
	fieldName = iota
	fieldArity
	fieldFlags
	fieldFirst
	fieldLast
	fieldStep
	fieldCategories
	fieldTips
	fieldKeySpecs
	fieldSubcommands
)

// add appends one entry and, after it, its subcommands, which have none of their own.
func (l *Listing) add(v value, subcommand bool) error {
	if v.len() <= fieldStep {
		return fmt.Errorf("an entry has %d fields instead of at least %d", v.len(), fieldStep+1)
	}
	e := Entry{Name: strings.ToUpper(v.at(fieldName).text())}
	if e.Name == "" {
		return nil
	}
	var err error
	if e.Arity, err = v.at(fieldArity).number(); err != nil {
		return fmt.Errorf("%s: arity: %w", e.Name, err)
	}
	flags := v.at(fieldFlags)
	for i := range flags.len() {
		e.Flags = append(e.Flags, flags.at(i).text())
	}
	if v.len() <= fieldSubcommands {
		if err := e.addLegacyKeys(v); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		l.Entries = append(l.Entries, e)
		return nil
	}
	l.Detailed = true
	specs := v.at(fieldKeySpecs)
	for i := range specs.len() {
		spec, err := keySpec(specs.at(i))
		if err != nil {
			return fmt.Errorf("%s: key specification: %w", e.Name, err)
		}
		e.Keys = append(e.Keys, spec)
	}
	l.Entries = append(l.Entries, e)
	if subcommand {
		return nil
	}
	subs := v.at(fieldSubcommands)
	for i := range subs.len() {
		if spaced(subs.at(i)) {
			continue
		}
		if err := l.add(subs.at(i), true); err != nil {
			return fmt.Errorf("%s: subcommand: %w", e.Name, err)
		}
	}
	return nil
}

// addLegacyKeys makes a KeySpec of first, last and step, which is all that a server before Redis 7 tells.
func (e *Entry) addLegacyKeys(v value) error {
	var numbers [3]int
	for i := range numbers {
		var err error
		if numbers[i], err = v.at(fieldFirst + i).number(); err != nil {
			return fmt.Errorf("key positions: %w", err)
		}
	}
	if first, last, step := numbers[0], numbers[1], numbers[2]; first > 0 && step > 0 {
		if last >= 0 {
			last -= first
		}
		spec := KeySpec{Start: first, Find: FindRange, Last: last, Step: step}
		if !spec.plausible() {
			spec = KeySpec{Incomplete: true}
		}
		e.Keys = append(e.Keys, spec)
	}
	if slices.Contains(e.Flags, "movablekeys") {
		e.Keys = append(e.Keys, KeySpec{Incomplete: true})
	}
	return nil
}

// keySpec reads one key specification. A kind that is not known, as a future server might send, becomes FindUnknown.
func keySpec(v value) (KeySpec, error) {
	var s KeySpec
	flags := v.field("flags")
	for i := range flags.len() {
		switch strings.ToLower(flags.at(i).text()) {
		case "not_key":
			s.NotKey = true
		case "incomplete":
			s.Incomplete = true
		}
	}
	begins, err := s.begin(v.field("begin_search"))
	if err != nil {
		return KeySpec{}, err
	}
	goesOn, err := s.find(v.field("find_keys"))
	if err != nil {
		return KeySpec{}, err
	}
	if !begins || !goesOn || !s.plausible() {
		return KeySpec{NotKey: s.NotKey, Incomplete: true}, nil
	}
	return s, nil
}

// maxNumber bounds the numbers of a specification. A request has at most that many arguments, and with larger numbers
// looking for keys might wrap around.
const maxNumber = 1 << 20

// plausible reports whether the specification can be applied to a request, and written in the text form.
func (s *KeySpec) plausible() bool {
	for _, n := range []int{s.Start, s.Last, s.Limit, s.CountIndex, s.First, s.Step} {
		if n < -maxNumber || n > maxNumber {
			return false
		}
	}
	return !strings.ContainsAny(s.Keyword, ":@= \t\r\n")
}

// begin reads where keys begin and reports whether it knows that way of saying so.
func (s *KeySpec) begin(v value) (known bool, err error) {
	spec := v.field("spec")
	switch v.field("type").text() {
	case "index":
		err = spec.numberFields(map[string]*int{"index": &s.Start})
		return s.Start > 0, err
	case "keyword":
		s.Keyword = strings.ToUpper(spec.field("keyword").text())
		err = spec.numberFields(map[string]*int{"startfrom": &s.Start})
		return s.Keyword != "" && s.Start != 0, err
	default:
		return false, nil
	}
}

// find reads how keys are enumerated and reports whether it knows that way of saying so.
func (s *KeySpec) find(v value) (known bool, err error) {
	spec := v.field("spec")
	switch v.field("type").text() {
	case "range":
		s.Find = FindRange
		err = spec.numberFields(map[string]*int{"lastkey": &s.Last, "keystep": &s.Step, "limit": &s.Limit})
		return s.Step > 0 && s.Limit >= 0, err
	case "keynum":
		s.Find = FindCount
		err = spec.numberFields(map[string]*int{"keynumidx": &s.CountIndex, "firstkey": &s.First, "keystep": &s.Step})
		return s.Step > 0 && s.CountIndex >= 0 && s.First >= 0, err
	default:
		return false, nil
	}
}

// AddDocs fills Group and Since from the raw reply to COMMAND DOCS. A command without documentation keeps them empty.
func (l *Listing) AddDocs(reply []byte) error {
	v, err := decode(reply)
	if err != nil {
		return fmt.Errorf("read reply to COMMAND DOCS: %w", err)
	}
	docs := make(map[string]value)
	collectDocs(docs, v)
	for i := range l.Entries {
		e := &l.Entries[i]
		d := docs[e.Name]
		e.Group = d.field("group").text()
		e.Since = d.field("since").text()
	}
	return nil
}

// collectDocs enters the documentation of each command and subcommand by its name in upper case.
func collectDocs(into map[string]value, v value) {
	for i := 0; i+1 < v.len(); i += 2 {
		doc := v.at(i + 1)
		into[strings.ToUpper(v.at(i).text())] = doc
		collectDocs(into, doc.field("subcommands"))
	}
}
