package session

import (
	"fmt"
	"slices"
	"testing"
)

func TestAnArrayIsCutIntoItsElements(t *testing.T) {
	parts := []string{"*4\r\n", "*2\r\n$1\r\n5\r\n*0\r\n", ":5\r\n", "%1\r\n+id\r\n:3\r\n", "$4\r\na\r\nb\r\n"}
	var got []string
	for _, part := range elements([]byte(parts[0] + parts[1] + parts[2] + parts[3] + parts[4])) {
		got = append(got, string(part))
	}
	if !slices.Equal(got, parts) {
		t.Errorf("%q", got)
	}
	if got := elements([]byte("*2\r\n:1\r\n$3\r\nab")); got != nil {
		t.Errorf("an array that breaks off gives %q", got)
	}
}

func TestWhatTheReplyToExecTellsOfTheClientIsTheProxys(t *testing.T) {
	w := newWorld(t)
	c := w.client()
	pin := begin(w, c, "MULTI", "CLIENT ID", "CLIENT SETNAME me", "CLIENT GETNAME", "AUTH bob secret", "AUTH eve wrong", "SELECT 7", "HELLO 3 SETNAME you")
	c.sends("EXEC")
	pin.getsRequests("EXEC")
	pin.says("*7\r\n:999\r\n+OK\r\n$2\r\nme\r\n+OK\r\n-WRONGPASS no\r\n+OK\r\n%1\r\n$2\r\nid\r\n:999\r\n")
	c.gets("*7\r\n:" + c.id() + "\r\n+OK\r\n$2\r\nme\r\n+OK\r\n-WRONGPASS no\r\n+OK\r\n%1\r\n$2\r\nid\r\n:" + c.id() + "\r\n")
	if key := c.session.key; key.User != "bob" || key.Password != "secret" || key.DB != 7 || key.Proto != 3 || c.session.info.Name != "you" {
		t.Errorf("the session is %+v, %q", key, c.session.info.Name)
	}
	if !pin.closed {
		t.Error("the pin of another user was kept")
	}
}

// id is the number of the client at the proxy.
func (c *fakeConn) id() string { return fmt.Sprint(c.session.ID()) }
