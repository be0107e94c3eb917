package session

import (
	"bytes"
	"strconv"
)

// firstWord returns the first element of an array or push if it is a short bulk string.
func firstWord(frame []byte) string {
	if frame[0] != '*' && frame[0] != '>' {
		return ""
	}
	_, rest, _ := bytes.Cut(frame, []byte("\r\n"))
	if len(rest) == 0 || rest[0] != '$' {
		return ""
	}
	_, rest, _ = bytes.Cut(rest, []byte("\r\n"))
	word, _, found := bytes.Cut(rest[:min(len(rest), 16)], []byte("\r\n"))
	if !found {
		return ""
	}
	return string(word)
}

// lastInt returns the integer that a frame ends with, or 0.
func lastInt(frame []byte) int64 {
	line := bytes.TrimSuffix(frame, []byte("\r\n"))
	line = line[bytes.LastIndexByte(line, '\n')+1:]
	if len(line) == 0 || line[0] != ':' {
		return 0
	}
	n, err := strconv.ParseInt(string(line[1:]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
