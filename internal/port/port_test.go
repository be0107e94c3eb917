package port

import "testing"

func TestAPortIsANumberFrom0To65535AndOneThatIsConnectedToIsNot0(t *testing.T) {
	for _, c := range []struct {
		addr      string
		number    int
		ok, reach bool
	}{
		{"redis:6379", 6379, true, true}, {":1", 1, true, true}, {"[::1]:65535", 65535, true, true}, {"h:0", 0, true, false},
		{"h:65536", 0, false, false}, {"h:99999", 0, false, false}, {"h:-1", 0, false, false}, {"h:", 0, false, false},
		{"h", 0, false, false}, {"h:redis", 0, false, false}, {"::1", 0, false, false}, {"", 0, false, false},
	} {
		number, ok := Of(c.addr)
		if ok != c.ok || ok && number != c.number || Reachable(c.addr) != c.reach {
			t.Errorf("%q: %d %v, reachable %v", c.addr, number, ok, Reachable(c.addr))
		}
	}
}
