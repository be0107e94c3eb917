package resp

// splitInline splits the line of an inline request into Args, as the server's sdssplitargs does: arguments are separated by
// white space; "double quotes" allow \n \r \t \b \a \xHH and a backslash before any other byte; 'single quotes' allow only
// \'; a quote may open within a word, but behind a closing quote there must be white space or the end. It returns false if
// a quote is not closed that way. The line holds no NUL.
func (p *RequestParser) splitInline(line []byte) bool {
	args := p.Args[:0]
	// The text of all arguments is never longer than the line, so text does not move while args point into it.
	text := p.text[:0]
	if cap(text) < len(line) {
		text = make([]byte, 0, len(line))
	}
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) {
			break
		}
		start := len(text)
		var ok bool
		if text, i, ok = unquoteWord(text, line, i); !ok {
			return false
		}
		args = append(args, text[start:len(text):len(text)])
	}
	p.Args, p.text = args, text
	return true
}

// unquoteWord appends the word of line that starts at i to dst. It returns the offset behind the word.
func unquoteWord(dst, line []byte, i int) (_ []byte, next int, ok bool) {
	for ; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\n', '\r', '\t': // unlike between words, '\v' and '\f' do not end one
			return dst, i, true
		case '"':
			dst, i, ok = unquoteDouble(dst, line, i+1)
			return dst, i, ok && (i == len(line) || isSpace(line[i]))
		case '\'':
			dst, i, ok = unquoteSingle(dst, line, i+1)
			return dst, i, ok && (i == len(line) || isSpace(line[i]))
		default:
			dst = append(dst, c)
		}
	}
	return dst, i, true
}

// unquoteDouble appends what follows a double quote, up to the closing one. It returns the offset behind that.
func unquoteDouble(dst, line []byte, i int) (_ []byte, next int, ok bool) {
	for ; i < len(line); i++ {
		c := line[i]
		if c == '"' {
			return dst, i + 1, true
		}
		if c == '\\' && i+1 < len(line) {
			i++
			c = line[i]
			switch c {
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'b':
				c = '\b'
			case 'a':
				c = '\a'
			case 'x':
				if i+2 < len(line) {
					high, low := hexDigit(line[i+1]), hexDigit(line[i+2])
					if high < 16 && low < 16 {
						c = high<<4 | low
						i += 2
					}
				}
			}
		}
		dst = append(dst, c)
	}
	return dst, i, false
}

// unquoteSingle is unquoteDouble for single quotes.
func unquoteSingle(dst, line []byte, i int) (_ []byte, next int, ok bool) {
	for ; i < len(line); i++ {
		c := line[i]
		if c == '\'' {
			return dst, i + 1, true
		}
		if c == '\\' && i+1 < len(line) && line[i+1] == '\'' {
			i++
			c = '\''
		}
		dst = append(dst, c)
	}
	return dst, i, false
}

// isSpace is isspace(3) in the C locale.
func isSpace(c byte) bool { return c == ' ' || c-'\t' < 5 }

// hexDigit returns the value of a hexadecimal digit, or 255.
func hexDigit(c byte) byte {
	switch {
	case c-'0' < 10:
		return c - '0'
	case (c|0x20)-'a' < 6:
		return (c | 0x20) - 'a' + 10
	}
	return 255
}
