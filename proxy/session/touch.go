package session

import "github.com/understudy/understudy/resp"

// touch has the master learn of what the first of some requests, which a replica is asked for, reads.
func (s *Session) touch(requests []byte) {
	if s.key.NoTouch {
		return
	}
	var parser resp.RequestParser
	parser.Limits = resp.DefaultLimits
	if n, err := parser.Parse(requests); n == 0 || err != nil {
		return // a part of a large one
	}
	cmd := s.table().Lookup(parser.Args)
	if cmd.Unbounded(parser.Args) {
		return
	}
	for _, key := range cmd.Keys(nil, parser.Args) {
		s.env.Touches.Take(s.key.DB, key)
	}
}
