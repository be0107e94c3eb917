package transparency

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestAHundredThousandCommandsSentWithoutReadingAreAnsweredInOrder(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2), nil)
	const n = 100_000
	var requests []byte
	for i := range n {
		switch key := fmt.Sprint("k", i%1000); i % 4 {
		case 0:
			requests = append(requests, request("SET", key, fmt.Sprint(i))...)
		case 1:
			requests = append(requests, request("PING", fmt.Sprint(i))...)
		case 2:
			requests = append(requests, request("INCR", "counter")...)
		default:
			requests = append(requests, request("ECHO", fmt.Sprint(i))...)
		}
	}
	c := f.dial()
	sent := make(chan error, 1)
	go func() {
		_, err := c.conn.Write(requests)
		sent <- err
	}()
	for i := range n {
		want := ""
		switch text := fmt.Sprint(i); i % 4 {
		case 0:
			want = "+OK\r\n"
		case 2:
			want = fmt.Sprintf(":%d\r\n", i/4+1)
		default:
			want = fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)
		}
		if got := c.reply(); got != want {
			t.Fatalf("reply %d is %q instead of %q", i, got, want)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

func TestValuesOfTenMegabytesGoBothWays(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2), nil)
	value := bytes.Repeat([]byte("0123456789\r\n\x00\xff$*"), 10<<20/16)
	c := f.dial()
	c.expect("+OK", "SET", "big", string(value))
	c.expect("+OK", "SET", "small", "x")
	if err := f.cluster.WaitInSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	reader := f.dial() // from a replica
	want := fmt.Sprintf("$%d\r\n%s\r\n", len(value), value)
	for name, c := range map[string]*client{"the writer": c, "a reader": reader} {
		for range 3 {
			c.send(append(append(request("GET", "big"), request("GET", "small")...), request("STRLEN", "big")...))
			if got := c.reply(); got != want {
				t.Fatalf("%s got %d bytes: %.100q", name, len(got), got)
			}
			if got := c.reply(); got != "$1\r\nx\r\n" {
				t.Fatalf("%s got %q behind the large value", name, got)
			}
			if got := c.reply(); got != fmt.Sprintf(":%d\r\n", len(value)) {
				t.Fatalf("%s got %q", name, got)
			}
		}
	}
	c.expect(":1", "RPUSH", "list", string(value))
	if got := c.do("BLPOP", "list", "1"); got != "*2\r\n$4\r\nlist\r\n"+want {
		t.Fatalf("BLPOP gave %d bytes", len(got))
	}
	c.send(append(append(append(request("MULTI"), request("GET", "big")...), request("GET", "small")...), request("EXEC")...))
	for _, want := range []string{"+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n" + want + "$1\r\nx\r\n"} {
		if got := c.reply(); got != want {
			t.Fatalf("a transaction gave %.100q", got)
		}
	}
	c.expect("+OK", "MULTI")
	c.expect("+QUEUED", "GET", "big")
	if got := c.do("EXEC"); got != "*1\r\n"+want {
		t.Fatalf("EXEC gave %.100q", got)
	}
	c.expect("$1\r\nx", "GET", "small")
	sub := f.dial()
	sub.expect("*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1", "SUBSCRIBE", "ch")
	c.expect(":1", "PUBLISH", "ch", string(value))
	if got := sub.reply(); got != "*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n"+want {
		t.Fatalf("a message of %d bytes: %.100q", len(got), got)
	}
}
