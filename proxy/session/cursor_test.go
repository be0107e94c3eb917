package session

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/topology"
)

// clientCursor is what a client gets for a server's cursor, through a reply.
func clientCursor(t *testing.T, server uint64, run uint32) string {
	t.Helper()
	digits := strconv.FormatUint(server, 10)
	reply := string(appendClientCursor(nil, fmt.Appendf(nil, "*2\r\n$%d\r\n%s\r\n*1\r\n$1\r\na\r\n", len(digits), digits), run))
	body, found := strings.CutSuffix(reply, "\r\n*1\r\n$1\r\na\r\n")
	lines := strings.Split(body, "\r\n")
	if !found || len(lines) != 3 || lines[0] != "*2" || lines[1] != fmt.Sprintf("$%d", len(lines[2])) {
		t.Fatalf("the reply is %q", reply)
	}
	return lines[2]
}

func TestACursorComesBackWithItsRunAndStaysBelowTwoToThe53(t *testing.T) {
	scan := command.Builtin().Lookup([][]byte{[]byte("HSCAN")})
	check := func(server uint64, run uint32) {
		t.Helper()
		text := clientCursor(t, server, run)
		args := [][]byte{[]byte("HSCAN"), []byte("h"), []byte(text), []byte("COUNT"), []byte("10")}
		cursor := cursorOf(scan, args)
		if f, err := strconv.ParseFloat(text, 64); err != nil || strconv.FormatFloat(f, 'f', 0, 64) != text {
			t.Fatalf("%s is another number in floating point (%v)", text, err)
		}
		want := fmt.Sprintf("*5\r\n$5\r\nHSCAN\r\n$1\r\nh\r\n$%d\r\n%d\r\n$5\r\nCOUNT\r\n$2\r\n10\r\n", len(strconv.FormatUint(server, 10)), server)
		if got := string(withServerCursor(scan, args, cursor)); runOf(cursor) != run || got != want {
			t.Fatalf("%d of run %d becomes %s, and comes back as %q of run %d", server, run, text, got, runOf(cursor))
		}
	}
	for _, run := range []uint32{1, 2, 77, topology.MaxRun} {
		for _, server := range []uint64{1, 2, 1 << 16, 1 << 17, 1<<31 + 5, 1<<36 - 1} {
			check(server, run)
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 10_000 {
		check(1+rng.Uint64N(1<<36-1), 1+rng.Uint32N(topology.MaxRun))
	}
	if got := clientCursor(t, 0, 5); got != "0" {
		t.Errorf("the end of an iteration becomes %s", got)
	}
}

func TestCursorsAreReadAsAServerReadsThem(t *testing.T) {
	scan := command.Builtin().Lookup([][]byte{[]byte("SCAN")})
	const nobody = 1 << runBits
	for text, want := range map[string]uint64{
		"0": 0, "00": 0, "": 0, "+0": 0, "-0": 0, // it begins
		"x": 0, "1x": 0, " 1": 0, "99999999999999999999": 0, // the server refuses it
		"131073": 131073, "+131073": 131073, "0131073": 131073,
		"-1": nobody, "18446744073709551615": 0, "18446744073709551600": nobody, "9007199254740992": nobody,
	} {
		if got := cursorOf(scan, [][]byte{[]byte("SCAN"), []byte(text)}); got != want {
			t.Errorf("%q is %d instead of %d", text, got, want)
		}
	}
}

func TestOnlyTheCursorOfAReplyIsChanged(t *testing.T) {
	const packed = "$6\r\n655362\r\n" // 5 of run 2
	for _, c := range []struct{ frame, want string }{
		{"-ERR invalid cursor\r\n", "-ERR invalid cursor\r\n"},
		{"*2\r\n$1\r\n5\r\n*2\r\n$1\r\n5\r\n$0\r\n\r\n", "*2\r\n" + packed + "*2\r\n$1\r\n5\r\n$0\r\n\r\n"},
		{"*2\r\n$1\r\n0\r\n*0\r\n", "*2\r\n$1\r\n0\r\n*0\r\n"},
		{"*2\r\n$11\r\n68719476736\r\n*0\r\n", "-" + cursorTooLarge + "\r\n"},
		{"+QUEUED\r\n", "+QUEUED\r\n"},
	} {
		if got := string(appendClientCursor(nil, []byte(c.frame), 2)); got != c.want {
			t.Errorf("%q becomes %q instead of %q", c.frame, got, c.want)
		}
	}
	if got := string(appendClientCursor(nil, []byte("*2\r\n$1\r\n5\r\n*0\r\n"), 0)); got != "-"+cursorNameless+"\r\n" {
		t.Errorf("a node without a number gives %q", got)
	}
}
