package resp

import "strings"

// naiveReply returns the length of the reply at the start of s: 0 if it is incomplete, -1 if it is wrong. It descends
// recursively.
func naiveReply(s string, depth int) int {
	r := naiveReader{s: s, depth: depth}
	attributed := false
	for {
		if r.left() == 0 {
			return 0
		}
		if r.s[r.at] == '|' {
			attributed = true
		} else if r.s[r.at] == '>' && attributed {
			return -1
		}
		attribute := r.s[r.at] == '|'
		switch r.value(0) {
		case naiveMore:
			return 0
		case naiveWrong:
			return -1
		}
		if !attribute {
			return r.at
		}
	}
}

type naiveVerdict int

const (
	naiveDone naiveVerdict = iota
	naiveMore
	naiveWrong
)

type naiveReader struct {
	s     string
	at    int
	depth int
}

func (r *naiveReader) left() int { return len(r.s) - r.at }

// number takes a header line behind its type byte. Null is -1, "?" is -2.
func (r *naiveReader) number() (n int64, v naiveVerdict) {
	rest := r.s[r.at:]
	line, _, found := strings.Cut(rest, "\r")
	// What can a header that has begun like this still become?
	if line != "?" && line != "-1" {
		if line != "" && line != "-" {
			if _, ok := naiveNumber(line); !ok || line[0] == '-' {
				return 0, naiveWrong
			}
		} else if found {
			return 0, naiveWrong
		}
	}
	switch {
	case !found || len(rest) == len(line)+1:
		return 0, naiveMore
	case rest[len(line)+1] != '\n':
		return 0, naiveWrong
	}
	r.at += len(line) + 2
	if line == "?" {
		return -2, naiveDone
	}
	big, _ := naiveNumber(line)
	return big.Int64(), naiveDone
}

// body takes n bytes and an end of line.
func (r *naiveReader) body(n int64) naiveVerdict {
	if n > 1<<62 {
		if n > 1<<63-3 {
			return naiveWrong
		}
		return naiveMore
	}
	rest := r.s[r.at:]
	if int64(len(rest)) <= n {
		return naiveMore
	}
	tail := rest[n:]
	switch {
	case strings.HasPrefix(tail, "\r\n"):
		r.at += int(n) + 2
		return naiveDone
	case tail == "\r":
		return naiveMore
	}
	return naiveWrong
}

// value takes one value; depth aggregates are open around it.
func (r *naiveReader) value(depth int) naiveVerdict {
	if r.left() == 0 {
		return naiveMore
	}
	kind := r.s[r.at]
	r.at++
	switch kind {
	case '+', '-', ':', '_', '#', ',', '(':
		end := strings.Index(r.s[r.at:], "\r\n")
		if end < 0 {
			return naiveMore
		}
		r.at += end + 2
		return naiveDone
	case '$', '!', '=':
		n, v := r.number()
		switch {
		case v != naiveDone:
			return v
		case n == -1 && kind == '$':
			return naiveDone
		case n == -2 && kind == '$':
			return r.chunks()
		case n < 0:
			return naiveWrong
		}
		return r.body(n)
	case '*', '~', '%', '>', '|':
		if kind == '>' && depth > 0 {
			return naiveWrong
		}
		n, v := r.number()
		switch {
		case v != naiveDone:
			return v
		case n == -1 && kind == '*':
			return naiveDone
		case n == -1, n == -2 && (kind == '>' || kind == '|'):
			return naiveWrong
		case (kind == '%' || kind == '|') && n > 1<<62-1:
			return naiveWrong
		case n == 0:
			return naiveDone
		case depth >= r.depth:
			return naiveWrong
		case kind == '%' || kind == '|':
			if n > 0 {
				n *= 2
			}
		}
		return r.elements(n, kind, depth+1)
	}
	return naiveWrong
}

func (r *naiveReader) chunks() naiveVerdict {
	for {
		if r.left() == 0 {
			return naiveMore
		}
		if r.s[r.at] != ';' {
			return naiveWrong
		}
		r.at++
		n, v := r.number()
		switch {
		case v != naiveDone:
			return v
		case n < 0:
			return naiveWrong
		case n == 0:
			return naiveDone
		}
		if v := r.body(n); v != naiveDone {
			return v
		}
	}
}

// elements takes n values, or with n < 0 those up to the dot.
func (r *naiveReader) elements(n int64, kind byte, depth int) naiveVerdict {
	attributed := false
	for i := int64(0); n < 0 || i < n; {
		if r.left() == 0 {
			return naiveMore
		}
		if n < 0 && r.s[r.at] == '.' {
			rest := r.s[r.at+1:]
			switch {
			case attributed || kind == '%' && i%2 == 1:
				return naiveWrong
			case strings.HasPrefix(rest, "\r\n"):
				r.at += 3
				return naiveDone
			case rest == "" || rest == "\r":
				return naiveMore
			}
			return naiveWrong
		}
		attributed = r.s[r.at] == '|'
		if v := r.value(depth); v != naiveDone {
			return v
		}
		if !attributed {
			i++
		}
	}
	return naiveDone
}
