package resp_test

import (
	"fmt"

	"github.com/understudy/understudy/resp"
)

// A connection's bytes arrive in pieces. What is not consumed is given to Parse again, with more appended.
func ExampleRequestParser() {
	p := resp.RequestParser{Limits: resp.DefaultLimits}
	var buf []byte
	for _, piece := range []string{"*2\r\n$3\r\nGET\r\n$3\r\nke", "y\r\nSET key \"a b\"\r\n*1\r\n$-5\r\n"} {
		buf = append(buf, piece...)
		for {
			n, err := p.Parse(buf)
			if err != nil {
				fmt.Printf("-ERR %v\n", err)
				return
			}
			if n == 0 {
				fmt.Println("at least", p.Missing(), "bytes are missing")
				break
			}
			fmt.Printf("%q, re-encode: %v\n", p.Args, p.Reencode)
			buf = buf[n:]
		}
	}
	// Output:
	// at least 3 bytes are missing
	// ["GET" "key"], re-encode: false
	// ["SET" "key" "a b"], re-encode: true
	// -ERR Protocol error: invalid bulk length
}

// A scanner keeps no bytes: each piece can be passed on as soon as it is scanned.
func ExampleReplyScanner() {
	var s resp.ReplyScanner
	for _, piece := range []string{"+OK\r\n*2\r\n$10\r\n01234", "56789\r\n:1\r\n"} {
		for rest := []byte(piece); len(rest) > 0; {
			n, done, err := s.Scan(rest)
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Printf("%q, whole: %v, at least %d more\n", rest[:n], done, s.Pending())
			rest = rest[n:]
		}
	}
	// Output:
	// "+OK\r\n", whole: true, at least 0 more
	// "*2\r\n$10\r\n01234", whole: false, at least 10 more
	// "56789\r\n:1\r\n", whole: true, at least 0 more
}
