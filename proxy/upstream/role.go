package upstream

import "bytes"

// masterRole reads a master's answer to ROLE: *3, "master", the offset of its history, its replicas.
func masterRole(frame []byte) (offset int64, ok bool) {
	rest, ok := bytes.CutPrefix(frame, []byte("*3\r\n$6\r\nmaster\r\n:"))
	if !ok {
		return 0, false
	}
	return integer(rest)
}

// replicaRole reads a replica's answer to ROLE: *5, "slave", host, port, the state of its link ("connected"), the offset
// that it has processed. follows is everything before the state.
func replicaRole(frame []byte) (follows, state []byte, offset int64, ok bool) {
	if !bytes.HasPrefix(frame, []byte("*5\r\n$5\r\nslave\r\n")) {
		return nil, nil, 0, false
	}
	rest, ok := bytes.CutSuffix(frame, []byte("\r\n"))
	last := bytes.LastIndex(rest, []byte("\r\n:"))
	if !ok || last < 0 {
		return nil, nil, 0, false
	}
	offset, ok = integer(frame[last+3:])
	at := bytes.LastIndex(rest[:last], []byte("\r\n")) + 2
	size := bytes.LastIndex(rest[:at-2], []byte("\r\n")) + 2 // of the state
	return frame[:size], rest[at:last], offset, ok
}

// integer reads a decimal number up to CRLF.
func integer(b []byte) (n int64, ok bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	for i, d := range b {
		switch {
		case d == '\r' && i > 0:
			if negative {
				n = -n
			}
			return n, true
		case d < '0' || d > '9' || i > 18:
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	return 0, false
}

// field returns the value of a line of INFO, nil if there is none.
func field(info []byte, name string) []byte {
	for at := 0; ; {
		i := bytes.Index(info[at:], []byte(name))
		if i < 0 {
			return nil
		}
		if at += i; at > 0 && info[at-1] == '\n' {
			value, _, _ := bytes.Cut(info[at+len(name):], []byte("\r\n"))
			return value
		}
		at += len(name)
	}
}
