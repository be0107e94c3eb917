package session

import (
	"strings"
	"testing"
)

func TestALargeRequestThatIsOverIsNotKept(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	request := encoded("SET a " + strings.Repeat("v", 500_000))
	c.says(request[:100_000])
	c.says(request[100_000:])
	w.has("SET a "+strings.Repeat("v", 500_000)).answers("+OK\r\n", "SET a "+strings.Repeat("v", 500_000))
	c.gets("+OK\r\n")
	readsAt(c, "GET a")
	args := c.session.parser.Args
	for _, arg := range args[:cap(args)] {
		if len(arg) > 1<<10 {
			t.Errorf("an argument of %d bytes is kept, and what it came in", len(arg))
		}
	}
}
