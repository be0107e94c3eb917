package resp

import (
	"math"
	"strconv"
)

// AppendRequest appends a request with the given arguments, the way every client library writes one.
func AppendRequest(dst []byte, args ...[]byte) []byte {
	dst = appendHeader(dst, '*', int64(len(args)))
	for _, arg := range args {
		dst = AppendBulk(dst, arg)
	}
	return dst
}

// AppendRequestStrings is [AppendRequest] for strings.
func AppendRequestStrings(dst []byte, args ...string) []byte {
	dst = appendHeader(dst, '*', int64(len(args)))
	for _, arg := range args {
		dst = AppendBulkString(dst, arg)
	}
	return dst
}

// AppendArray appends the header of an array of n >= 0 elements, which the caller appends next.
func AppendArray(dst []byte, n int) []byte { return appendHeader(dst, '*', int64(n)) }

// AppendBulk appends a bulk string.
func AppendBulk(dst, s []byte) []byte {
	dst = appendHeader(dst, '$', int64(len(s)))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// AppendBulkString is [AppendBulk] for a string.
func AppendBulkString(dst []byte, s string) []byte {
	dst = appendHeader(dst, '$', int64(len(s)))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// AppendSimple appends a simple string such as "OK". Newlines in s become spaces.
func AppendSimple(dst []byte, s string) []byte { return appendLine(append(dst, '+'), s) }

// AppendError appends an error. msg starts with its code, as in "ERR unknown command"; newlines in it become spaces.
func AppendError(dst []byte, msg string) []byte { return appendLine(append(dst, '-'), msg) }

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte { return appendHeader(dst, ':', n) }

// AppendNull appends the null value: a null in RESP3, a null bulk string in RESP2.
func AppendNull(dst []byte, proto int) []byte {
	if proto >= 3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "$-1\r\n"...)
}

// AppendNullArray appends the null value where an array was expected: a null in RESP3, a null array in RESP2.
func AppendNullArray(dst []byte, proto int) []byte {
	if proto >= 3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "*-1\r\n"...)
}

// AppendMap appends the header of a map of n entries; the caller appends n times key and value. In RESP2 it is an array of
// 2n elements.
func AppendMap(dst []byte, proto, n int) []byte {
	if proto >= 3 {
		return appendHeader(dst, '%', int64(n))
	}
	return appendHeader(dst, '*', 2*int64(n))
}

// AppendSet appends the header of a set of n elements, in RESP2 of an array.
func AppendSet(dst []byte, proto, n int) []byte {
	return appendHeader(dst, either(proto, '~', '*'), int64(n))
}

// AppendPush appends the header of a push message of n elements, in RESP2 of an array.
func AppendPush(dst []byte, proto, n int) []byte {
	return appendHeader(dst, either(proto, '>', '*'), int64(n))
}

// AppendVerbatim appends a verbatim string; format is its three letters, such as "txt". In RESP2 it is a bulk string.
func AppendVerbatim(dst []byte, proto int, format, text string) []byte {
	if proto < 3 {
		return AppendBulkString(dst, text)
	}
	dst = appendHeader(dst, '=', int64(len(format)+1+len(text)))
	dst = append(dst, format...)
	dst = append(dst, ':')
	dst = append(dst, text...)
	return append(dst, '\r', '\n')
}

// AppendDouble appends a floating point number, in RESP2 as a bulk string. It is written with as few digits as tell it from
// every other float64.
func AppendDouble(dst []byte, proto int, f float64) []byte {
	var room [32]byte
	text := appendFloat(room[:0], f)
	if proto < 3 {
		return AppendBulk(dst, text)
	}
	dst = append(dst, ',')
	dst = append(dst, text...)
	return append(dst, '\r', '\n')
}

// AppendBool appends a boolean, in RESP2 the integer 1 or 0.
func AppendBool(dst []byte, proto int, b bool) []byte {
	switch {
	case proto >= 3 && b:
		return append(dst, "#t\r\n"...)
	case proto >= 3:
		return append(dst, "#f\r\n"...)
	case b:
		return append(dst, ":1\r\n"...)
	}
	return append(dst, ":0\r\n"...)
}

// either returns the type byte for the protocol version.
func either(proto int, resp3, resp2 byte) byte {
	if proto >= 3 {
		return resp3
	}
	return resp2
}

// appendHeader appends a line of a type byte and a number.
func appendHeader(dst []byte, kind byte, n int64) []byte {
	if 0 <= n && n <= 9 { // most lengths and counts
		return append(dst, kind, '0'+byte(n), '\r', '\n')
	}
	dst = append(dst, kind)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '\r', '\n')
}

// appendLine appends s without newlines, and the end of the line.
func appendLine(dst []byte, s string) []byte {
	start := len(dst)
	dst = append(dst, s...)
	for i := start; i < len(dst); i++ {
		dst[i] = noNewline(dst[i])
	}
	return append(dst, '\r', '\n')
}

// noNewline makes a space of a byte that would end a line.
func noNewline(c byte) byte {
	if c == '\r' || c == '\n' {
		return ' '
	}
	return c
}

// appendFloat writes f as Redis does: "inf", "-inf", "nan", whole numbers without exponent while they are short.
func appendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	case math.IsNaN(f):
		return append(dst, "nan"...)
	}
	if abs := math.Abs(f); abs == 0 || 1e-5 <= abs && abs < 1e17 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'e', -1, 64)
}
