package pubsub

import "bytes"

// Kind is a kind of subscription. Their names do not mix.
type Kind uint8

const (
	Channel Kind = iota // SUBSCRIBE
	Pattern             // PSUBSCRIBE
	Shard               // SSUBSCRIBE
	kinds
)

var subscribeVerbs = [kinds]string{"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"}
var unsubscribeVerbs = [kinds]string{"UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"}
var subscribeWords = [kinds]string{"subscribe", "psubscribe", "ssubscribe"}
var unsubscribeWords = [kinds]string{"unsubscribe", "punsubscribe", "sunsubscribe"}
var messageWords = [kinds]string{"message", "pmessage", "smessage"}

// Topic is something that can be listened to.
type Topic struct {
	Kind Kind
	Name string
}

// Verb is a command of the family.
type Verb struct {
	Kind Kind
	Ends bool // UNSUBSCRIBE and the like
}

// ParseVerb returns the verb of a command by its name in upper case.
func ParseVerb(name string) (Verb, bool) {
	for k := range kinds {
		switch name {
		case subscribeVerbs[k]:
			return Verb{Kind: k}, true
		case unsubscribeVerbs[k]:
			return Verb{Kind: k, Ends: true}, true
		}
	}
	return Verb{}, false
}

// String is the command, in upper case.
func (v Verb) String() string {
	if v.Ends {
		return unsubscribeVerbs[v.Kind]
	}
	return subscribeVerbs[v.Kind]
}

// Word is the first word of a confirmation.
func (v Verb) Word() string {
	if v.Ends {
		return unsubscribeWords[v.Kind]
	}
	return subscribeWords[v.Kind]
}

// firstTwo returns the first two elements of an array or push of bulk strings; nil for what is none.
func firstTwo(frame []byte) (word, name []byte) {
	if frame[0] != '*' && frame[0] != '>' {
		return nil, nil
	}
	_, rest, _ := bytes.Cut(frame, []byte("\r\n"))
	word, rest = bulk(rest)
	name, _ = bulk(rest)
	return word, name
}

// bulk cuts a bulk string off; nil if there is none, or only the beginning of one.
func bulk(p []byte) (text, rest []byte) {
	if len(p) == 0 || p[0] != '$' {
		return nil, nil
	}
	n, i := 0, 1
	for ; i < len(p) && p[i] >= '0' && p[i] <= '9'; i++ {
		n = n*10 + int(p[i]-'0')
	}
	i += len("\r\n")
	if n < 0 || n > len(p) || i+n+2 > len(p) {
		return nil, nil
	}
	return p[i : i+n], p[i+n+2:]
}
