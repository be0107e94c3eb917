package resp

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// oddRequests are streams of requests that once confused somebody: seeds for fuzzing, and what a real server is asked about.
// Their commands are "zz" (unknown, so that the server's answer shows the arguments), ECHO and RPUSH.
var oddRequests = []string{
	"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n",
	"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n*2\r\n$4\r\nECHO\r\n$3\r\nyou\r\n",
	"*4\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n$4\r\na\r\nb\r\n$0\r\n\r\n",
	"*3\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n$3\r\na\x00b\r\n",
	"*0\r\n*-1\r\n\r\n\n   \r\n*-5\r\nECHO x\r\n",
	"*-9223372036854775808\r\nECHO x\r\n",
	"*-9223372036854775809\r\nECHO x\r\n",
	"*0\rXECHO x\r\n",
	// Inline.
	"ECHO hello\r\nECHO hello\n",
	"echo hello\r\r\n",
	"ECHO \"a b\\n\\x41\\xff\\q\\\"\"\r\n",
	"ECHO \"\\x4\"\r\nECHO \"\\xg1\"\r\nECHO \"\\x\"\r\n",
	"ECHO 'a\\'b\\n\"'\r\n",
	"ECHO \"\"\r\nECHO ''\r\n",
	"RPUSH l foo\"bar baz\" q'uo'\r\n",
	"RPUSH l a\vb \v c\f \fd\r\n",
	"RPUSH l a\tb\r \r c\r\n",
	"RPUSH l a\rb\n",
	"  RPUSH   l  x  \r\n",
	"ECHO \"a\r\nECHO x\r\n",
	"ECHO 'a\r\n",
	"ECHO \"a\"b\r\n",
	"ECHO 'a'b\r\n",
	"ECHO 'a'\"b\"\r\n",
	"ECHO \"a\"\v\r\n",
	"ECHO \"a\\\r\n",
	"ECHO \"a\\\"\r\n",
	"ECHO \\\r\n",
	"ECHO \xff\xfe\x80\r\n",
	"$4\r\nzz\r\n+OK\r\n",
	":1\r\n-x\r\n",
	" *1\r\n",
	"ECHO x",
	"ECHO \x00x\r\nECHO y\r\n",
	"\x00\r\nECHO y\r\n",
	// Counts.
	"*01\r\n", "*+1\r\n", "*\r\n", "*-\r\n", "*-0\r\n", "* 1\r\n", "*1 \r\n", "*1\n\r\n", "*a\r\n", "*1a\r\n", "*00\r\n",
	"*2147483648\r\n", "*9223372036854775807\r\n", "*9223372036854775808\r\n", "*18446744073709551617\r\n",
	"*99999999999999999999\r\n", "*999999999999999999999999\r\n", "*--1\r\n", "*-a\r\n", "*0x1\r\n",
	"*", "*1", "*1\r", "*1\r\n", "*1\r\n$", "*1\r\n$4", "*1\r\n$4\r", "*1\r\n$4\r\n", "*1\r\n$4\r\nPIN",
	"*1\nPING\n", "*2\n$4\nECHO\n$1\nx\n",
	"*1\x00\r\nECHO x\r\n",
	// Lengths.
	"*1\r\n$9223372036854775807\r\n", "*1\r\n$9223372036854775806\r\n", "*1\r\n$536870913\r\n", "*1\r\n$536870912\r\nabc",
	"*1\r\n$-1\r\n", "*1\r\n$+2\r\nzz\r\n", "*1\r\n$02\r\nzz\r\n", "*1\r\n$\r\n", "*1\r\n$ 2\r\nzz\r\n", "*1\r\n$2 \r\nzz\r\n",
	"*1\r\n$-0\r\n\r\n", "*1\r\n$2\nzz\r\n", "*1\r\n$4294967298\r\nzz\r\n", "*1\r\n$18446744073709551618\r\nzz\r\n",
	"*1\r\n$2\x00\r\nzz\r\n",
	"*1\r\n:2\r\nzz\r\n", "*1\r\n*1\r\n$2\r\nzz\r\n", "*1\r\n\r\n", "*1\r\n\n\r\n", "*1\r\n\xff\r\n", "*1\r\nECHO x\r\n",
	"*1\r\n\x00$2\r\nzz\r\n", "*2\r\n$4\r\nECHO\r\nhello\r\n", "*1\r\nx",
	"*3\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n$-1\r\n",
	// Laxities.
	"*1\rX$2\r\nzz\r\nECHO x\r\n",
	"*1\r\r$2\r\nzz\r\nECHO x\r\n",
	"*1\r\n$2\rXzz\r\nECHO x\r\n",
	"*1\r\n$2\r\nzzabECHO x\r\n",
	"*2\r\n$4\r\nECHO*2$1\r\nx\r\nECHO x\r\n",
	"*2\r\n$4\r\nECHO\x00\x00$1\r\nx\n\rECHO x\r\n",
	"*2\r\n$4\r\nECHO\r\n$2\r\nabc\r\n",
	"*2\r\n$4\r\nECHO\r\n$4\r\nab\r\n",
	"*2\r\r$4\r\rECHO\r\r$2\r\rab\r\r*2\r\n$4\r\nECHO\r\n$1\r\nx\r\n",
	// Sizes.
	"*11\r\n" + strings.Repeat("$2\r\nzz\r\n", 11) + "ECHO x\r\n",
	"*10\r\n" + strings.Repeat("$2\r\nzz\r\n", 10) + "ECHO x\r\n",
	"*2\r\n$4\r\nECHO\r\n$16384\r\n" + strings.Repeat("x", 16384) + "\r\nECHO x\r\n",
	"*2\r\n$4\r\nECHO\r\n$16385\r\n" + strings.Repeat("x", 16385) + "\r\nECHO x\r\n",
	"*2\r\n$4\r\nECHO\r\n$40000\r\n" + strings.Repeat("x", 40000) + "\r\nECHO x\r\n",
	"*2\r\n$4\r\nECHO\r\n$40000\r\n" + strings.Repeat("x", 40000) + "abECHO x\r\n",
	"*3002\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n" + strings.Repeat("$3\r\nabc\r\n", 3000) + "ECHO x\r\n",
	"ECHO " + strings.Repeat("x", 64<<10-5) + "\n",
	strings.Repeat("x", 64<<10+1),
	"*" + strings.Repeat("1", 64<<10),
	"*1\r\n$" + strings.Repeat("1", 64<<10),
	"*1\r\n$1\x00" + strings.Repeat("\r\n", 32<<10),
	"*1\x00" + strings.Repeat("\r\n", 32<<10),
	"EC\x00HO" + strings.Repeat("\r\n", 32<<10),
}

// oddReplies are the same for what servers send. Each is one whole reply.
var oddReplies = []string{
	"+OK\r\n", "-ERR x\r\n", ":-12\r\n", "+\r\n", "+a\rb\nc\n\r\r\n", "+a\rb\n\nc\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", ",-inf\r\n", "(123456789012345678901234567890\r\n",
	"$0\r\n\r\n", "$3\r\nabc\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "%0\r\n", "~0\r\n", ">0\r\n",
	"$12\r\n\r\n$3\r\nabc\r\n.\r\n",
	"!21\r\nSYNTAX invalid syntax\r\n", "=15\r\ntxt:Some string\r\n",
	"*2\r\n$3\r\nfoo\r\n$-1\r\n", "*3\r\n:1\r\n*2\r\n+a\r\n*0\r\n_\r\n", "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n", "~2\r\n+a\r\n#f\r\n",
	">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n",
	"|1\r\n+ttl\r\n:3600\r\n$3\r\nfoo\r\n",
	"|0\r\n|1\r\n+a\r\n*1\r\n:1\r\n*3\r\n:1\r\n|1\r\n+k\r\n|1\r\n+x\r\n:1\r\n+v\r\n:2\r\n:3\r\n",
	"$?\r\n;4\r\nHell\r\n;6\r\no worl\r\n;1\r\nd\r\n;0\r\n", "$?\r\n;0\r\n",
	"*?\r\n:1\r\n:2\r\n.\r\n", "*?\r\n.\r\n", "%?\r\n+a\r\n:1\r\n+b\r\n*?\r\n$?\r\n;1\r\nx\r\n;0\r\n.\r\n.\r\n", "~?\r\n~1\r\n|1\r\n:1\r\n:2\r\n:3\r\n.\r\n",
	"*3\r\n*?\r\n%1\r\n+a\r\n~?\r\n.\r\n.\r\n$3\r\na\r\n\r\n:1\r\n",
	"*12\r\n" + strings.Repeat("$2\r\nab\r\n", 12),
	strings.Repeat("*1\r\n", 40) + "*0\r\n",
	strings.Repeat("*2\r\n:1\r\n", 9) + ":1\r\n",
	strings.Repeat("|1\r\n+k\r\n+v\r\n", 5) + strings.Repeat("%1\r\n+k\r\n", 5) + "+v\r\n",
	"$1000\r\n" + strings.Repeat("x", 1000) + "\r\n",
}

// brokenReplies are what no server sends.
var brokenReplies = []string{
	"x\r\n", "\r\n", "$\r\n", "$a\r\n", "$-2\r\n", "$-\r\n", "$--1\r\n", "$-1a", "$-11\r\n", "$+1\r\n", "$01\r\n", "$00\r\n", "$1\nx\r\n", "$1\r\rx\r\n", "$3\r\nabcd\r\n",
	"$3\r\nabc\r\r", "$3\r\nabc\n", "$9223372036854775806\r\n", "$9223372036854775808\r\n", "$99999999999999999999\r\n", "$?1\r\n", "$1?\r\n",
	"!-1\r\n", "!?\r\n", "=-1\r\n", "=?\r\n", "%-1\r\n", "~-1\r\n", ">-1\r\n", "|-1\r\n", ">?\r\n", "|?\r\n", "*-2\r\n", "*?1", "* 1\r\n",
	"%4611686018427387904\r\n", "|4611686018427387904\r\n", "*9223372036854775808\r\n",
	"*1\r\n>1\r\n:1\r\n", "|1\r\n:1\r\n:2\r\n>1\r\n", "*?\r\n>0\r\n",
	".\r\n", "*1\r\n.\r\n", "*?\r\n.x", "*?\r\n.\rx", "*?\r\n|1\r\n:1\r\n:2\r\n.\r\n", "*?\r\n|0\r\n.\r\n", "%?\r\n:1\r\n.\r\n", "|1\r\n:1\r\n.\r\n",
	"$?\r\nx", "$?\r\n;-1\r\n", "$?\r\n;?\r\n", "$?\r\n;1\r\nab", "$?\r\n;1\r\na\r\n:1\r\n", ";1\r\na\r\n",
	strings.Repeat("*1\r\n", DefaultMaxDepth+1),
}

// randomRequests is a stream of a few requests, most of them nearly right.
func randomRequests(rng *rand.Rand) string {
	words := []string{"zz", "ECHO", "RPUSH", "l", "k", "", "a b", "\r\n", "*1", "$2", "\xff", "abc\r\n*1\r\n", "\"", "'", "\\", "a\x00b", "123"}
	inline := []string{"ECHO", "zz", "RPUSH", " ", " ", "  ", "\t", "\"", "\"", "'", "'", "\\", "\\x41", "\\n", "a", "b", "\v", "\r", "\x00", "*", "$1"}
	var b strings.Builder
	for range 1 + rng.IntN(3) {
		if rng.IntN(3) == 0 {
			b.WriteString([]string{"zz ", "ECHO ", "RPUSH l ", ""}[rng.IntN(4)])
			for range rng.IntN(8) {
				w := inline[rng.IntN(len(inline))]
				if w == "\x00" && rng.IntN(8) > 0 {
					w = "x"
				}
				b.WriteString(w)
			}
			b.WriteString([]string{"\r\n", "\n"}[rng.IntN(2)])
			continue
		}
		n := rng.IntN(5)
		fmt.Fprintf(&b, "*%d\r\n", n)
		for i := range n {
			w := words[rng.IntN(len(words))]
			if i == 0 {
				w = words[rng.IntN(3)]
			}
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
		}
	}
	return mutate(rng, b.String(), "*$\r\n0123456789-+?\"' \\x\x00z")
}

// mutate changes a few bytes of s, or none.
func mutate(rng *rand.Rand, s, alphabet string) string {
	b := []byte(s)
	for range rng.IntN(3) {
		if len(b) == 0 {
			break
		}
		i := rng.IntN(len(b))
		c := alphabet[rng.IntN(len(alphabet))]
		switch rng.IntN(4) {
		case 0:
			b[i] = c
		case 1:
			b = append(b[:i], b[i+1:]...)
		case 2:
			b = append(b[:i], append([]byte{c}, b[i:]...)...)
		case 3:
			b = b[:i]
		}
	}
	return string(b)
}

// randomReply is a reply of any type.
func randomReply(rng *rand.Rand, depth int) string {
	kinds := "+-:$!_#,(=$?;|*%~Dd"
	if depth <= 0 {
		kinds = "+-:$!_#,(=$?"
	}
	text := strings.Repeat("x\r\ny"[:rng.IntN(5)], rng.IntN(4))
	several := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteString(randomReply(rng, depth-1))
		}
		return b.String()
	}
	n := rng.IntN(4)
	switch kind := kinds[rng.IntN(len(kinds))]; kind {
	case '+':
		return "+some text\r\n"
	case '-':
		return "-ERR some text\r\n"
	case ':':
		return fmt.Sprintf(":%d\r\n", rng.Int64())
	case '_':
		return "_\r\n"
	case '#':
		return "#t\r\n"
	case ',':
		return ",3.14\r\n"
	case '(':
		return "(-3492890328409238509324850943850943825024385\r\n"
	case '$', '!':
		return fmt.Sprintf("%c%d\r\n%s\r\n", kind, len(text), text)
	case '=':
		return fmt.Sprintf("=%d\r\ntxt:%s\r\n", 4+len(text), text)
	case '?':
		s := "$?\r\n"
		for range n {
			s += fmt.Sprintf(";%d\r\nx%s\r\n", 1+len(text), text)
		}
		return s + ";0\r\n"
	case ';':
		return []string{"$-1\r\n", "*-1\r\n"}[rng.IntN(2)]
	case '|':
		return fmt.Sprintf("|%d\r\n", n) + several(2*n) + randomReply(rng, depth-1)
	case '%':
		return fmt.Sprintf("%%%d\r\n", n) + several(2*n)
	case 'D':
		return "*?\r\n" + several(n) + ".\r\n"
	case 'd':
		return "%?\r\n" + several(2*n) + ".\r\n"
	default:
		return fmt.Sprintf("%c%d\r\n", kind, n) + several(n)
	}
}
