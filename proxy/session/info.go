package session

import (
	"bytes"
	"slices"
	"strings"

	"github.com/understudy/understudy/resp"
)

// infoCommand answers INFO: the master's, with our section behind it where a reader of everything would expect it.
func (s *Session) infoCommand(args [][]byte, request []byte) bool {
	sections, ours := infoSections(args)
	if !ours {
		return s.askMaster(request, request, s.emit)
	}
	if len(sections) == 0 && len(args) > 1 {
		return s.ifMayInfo(request, func() {
			s.emit(resp.AppendVerbatim(nil, s.key.Proto, "txt", s.env.Admin.Info()))
		})
	}
	ask := resp.AppendRequestStrings(nil, slices.Concat([]string{"INFO"}, sections)...)
	return s.askMaster(request, ask, func(frame []byte) { s.emit(s.withSection(s.key.Proto, frame)) })
}

// infoSections returns the sections that INFO asks a server for, and whether it asks for ours.
func infoSections(args [][]byte) (sections []string, ours bool) {
	ours = len(args) == 1
	for _, a := range args[1:] {
		switch section := strings.ToLower(string(a)); section {
		case "understudy":
			ours = true
		case "all", "everything", "default":
			ours = true
			sections = append(sections, section)
		default:
			sections = append(sections, section)
		}
	}
	return sections, ours
}

// withSection returns a server's reply to INFO with our section behind it.
func (s *Session) withSection(proto int, reply []byte) []byte {
	text, ok := bulkText(reply)
	if !ok { // an error
		return reply
	}
	all := s.env.Admin.Info()
	if len(text) > 0 {
		all = string(text) + "\r\n" + all
	}
	return resp.AppendVerbatim(nil, proto, "txt", all)
}

// ifMayInfo does what tells of the cluster and its clients, if the server lets the client's user have INFO. Where
// there are no users it asks nobody: INFO understudy must be had without a master.
func (s *Session) ifMayInfo(request []byte, do func()) bool {
	if s.key.User == "" {
		do()
		return true
	}
	return s.whenPermitted(request, resp.AppendRequestStrings(nil, "INFO", "keyspace"), do)
}

// bulkText returns the payload of a bulk or verbatim string.
func bulkText(frame []byte) ([]byte, bool) {
	_, rest, found := bytes.Cut(frame, []byte("\r\n"))
	if !found || len(rest) < 2 {
		return nil, false
	}
	switch frame[0] {
	case '$':
		return rest[:len(rest)-2], true
	case '=':
		return rest[len("txt:") : len(rest)-2], true
	}
	return nil, false
}
