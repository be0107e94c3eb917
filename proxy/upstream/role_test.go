package upstream

import (
	"testing"
	"time"
)

func TestTheAnswersToROLEAreRead(t *testing.T) {
	if offset, ok := masterRole([]byte("*3\r\n$6\r\nmaster\r\n:3129659\r\n*0\r\n")); offset != 3129659 || !ok {
		t.Errorf("a master: %d, %v", offset, ok)
	}
	for _, frame := range []string{"-NOPERM no\r\n", "*5\r\n$5\r\nslave\r\n$1\r\nm\r\n:1\r\n$9\r\nconnected\r\n:7\r\n", "*3\r\n$6\r\nmaster\r\n:x\r\n*0\r\n"} {
		if _, ok := masterRole([]byte(frame)); ok {
			t.Errorf("%q counts as a master's", frame)
		}
	}
	for _, test := range []struct {
		frame, follows, state string
		offset                int64
		ok                    bool
	}{
		{"*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:9000\r\n$9\r\nconnected\r\n:3167038\r\n", "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:9000\r\n", "connected", 3167038, true},
		{"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n$4\r\nsync\r\n:-1\r\n", "*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:1\r\n", "sync", -1, true},
		{"*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n", "", "", 0, false},
		{"-LOADING x\r\n", "", "", 0, false},
	} {
		follows, state, offset, ok := replicaRole([]byte(test.frame))
		if string(follows) != test.follows || string(state) != test.state || offset != test.offset || ok != test.ok {
			t.Errorf("%q: %q, %q, %d, %v", test.frame, follows, state, offset, ok)
		}
	}
}

func TestAFieldOfINFOIsFoundAtTheBeginningOfALineOnly(t *testing.T) {
	info := []byte("$9\r\n# Replication\r\nxrole:no\r\nrole:master\r\nmaster_replid:abc\r\n\r\n")
	for name, want := range map[string]string{"role:": "master", "master_replid:": "abc", "nothing:": ""} {
		if got := string(field(info, name)); got != want {
			t.Errorf("%s %q", name, got)
		}
	}
}

func TestTheAnswerToTIMEIsRead(t *testing.T) {
	if at, ok := serverTime([]byte("*2\r\n$10\r\n1700000000\r\n$6\r\n123456\r\n")); !ok || !at.Equal(time.Unix(1700000000, 123456000)) {
		t.Errorf("%v, %v", at, ok)
	}
	if _, ok := serverTime([]byte("-NOPERM no\r\n")); ok {
		t.Error("an error is a time")
	}
}
