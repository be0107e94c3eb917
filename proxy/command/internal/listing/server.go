package listing

import (
	"errors"
	"fmt"
	"strings"
)

// FromCommand reads the raw reply to COMMAND of Redis 4 and later, in either protocol version. Commands whose names
// could not be sent by a client in one word are left out. An error says what is wrong with the reply.
func FromCommand(reply []byte) (Listing, error) {
	v, err := decode(reply)
	if err != nil {
		return Listing{}, fmt.Errorf("read reply to COMMAND: %w", err)
	}
	if v.kind == '-' {
		return Listing{}, fmt.Errorf("COMMAND was answered by an error: %s", v.text)
	}
	if len(v.list) == 0 {
		return Listing{}, errors.New("reply to COMMAND lists no command")
	}
	var l Listing
	for _, e := range v.list {
		if err := l.add(e, 0); err != nil {
			return Listing{}, fmt.Errorf("read reply to COMMAND: %w", err)
		}
	}
	return l, nil
}

// Fields of an entry of COMMAND, by position. Redis 6 sends the first seven (the categories since 6.0), Redis 7 all.
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

// add appends one entry and, below it, its subcommands, which do not have subcommands of their own (depth 1).
func (l *Listing) add(v value, depth int) error {
	if len(v.list) <= fieldStep {
		return fmt.Errorf("an entry has %d fields instead of at least %d", len(v.list), fieldStep+1)
	}
	e := Entry{Name: strings.ToUpper(v.list[fieldName].text)}
	if e.Name == "" || strings.ContainsAny(e.Name, " \t\r\n") {
		return nil
	}
	var err error
	if e.Arity, err = v.list[fieldArity].number(); err != nil {
		return fmt.Errorf("%s: arity: %w", e.Name, err)
	}
	for _, f := range v.list[fieldFlags].list {
		e.Flags = append(e.Flags, f.text)
	}
	if len(v.list) <= fieldKeySpecs {
		if err := e.addLegacyKeys(v); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		l.Entries = append(l.Entries, e)
		return nil
	}
	l.Detailed = true
	for _, s := range v.list[fieldKeySpecs].list {
		spec, err := keySpec(s)
		if err != nil {
			return fmt.Errorf("%s: key specification: %w", e.Name, err)
		}
		e.Keys = append(e.Keys, spec)
	}
	l.Entries = append(l.Entries, e)
	if depth > 0 || len(v.list) <= fieldSubcommands {
		return nil
	}
	for _, s := range v.list[fieldSubcommands].list {
		if err := l.add(s, depth+1); err != nil {
			return fmt.Errorf("%s: subcommand: %w", e.Name, err)
		}
	}
	return nil
}

// addLegacyKeys makes a KeySpec of first, last and step, all a server before Redis 7 tells.
func (e *Entry) addLegacyKeys(v value) error {
	first, err := v.list[fieldFirst].number()
	if err != nil {
		return err
	}
	last, err := v.list[fieldLast].number()
	if err != nil {
		return err
	}
	step, err := v.list[fieldStep].number()
	if err != nil {
		return err
	}
	if first > 0 && step > 0 {
		if last >= 0 {
			last -= first
		}
		e.Keys = append(e.Keys, KeySpec{Start: first, Find: FindRange, Last: last, Step: step})
	}
	for _, f := range e.Flags {
		if f == "movablekeys" {
			e.Keys = append(e.Keys, KeySpec{Incomplete: true})
		}
	}
	return nil
}

// keySpec reads one key specification. A kind that is not known, as a future server might send, becomes FindUnknown.
func keySpec(v value) (KeySpec, error) {
	var s KeySpec
	for _, f := range v.field("flags").list {
		switch strings.ToLower(f.text) {
		case "not_key":
			s.NotKey = true
		case "incomplete":
			s.Incomplete = true
		}
	}
	known, err := s.begin(v.field("begin_search"))
	if err != nil || !known {
		return KeySpec{NotKey: s.NotKey, Incomplete: true}, err
	}
	known, err = s.find(v.field("find_keys"))
	if err != nil || !known {
		return KeySpec{NotKey: s.NotKey, Incomplete: true}, err
	}
	return s, nil
}

func (s *KeySpec) begin(v value) (known bool, err error) {
	spec := v.field("spec")
	switch v.field("type").text {
	case "index":
		s.Start, err = spec.numberField("index")
		return s.Start > 0, err
	case "keyword":
		s.Keyword = strings.ToUpper(spec.field("keyword").text)
		s.Start, err = spec.numberField("startfrom")
		return s.Keyword != "" && s.Start != 0, err
	default:
		return false, nil
	}
}

func (s *KeySpec) find(v value) (known bool, err error) {
	spec := v.field("spec")
	switch v.field("type").text {
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

func (v value) numberFields(into map[string]*int) error {
	for name, n := range into {
		var err error
		if *n, err = v.numberField(name); err != nil {
			return err
		}
	}
	return nil
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
		e.Group = d.field("group").text
		e.Since = d.field("since").text
	}
	return nil
}

func collectDocs(into map[string]value, v value) {
	for i := 0; i+1 < len(v.list); i += 2 {
		doc := v.list[i+1]
		into[strings.ToUpper(v.list[i].text)] = doc
		collectDocs(into, doc.field("subcommands"))
	}
}
