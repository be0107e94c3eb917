package session

import "testing"

func TestAnEarThatTheServerRefusesIsAskedForAgain(t *testing.T) {
	w := newWorld(t)
	target, follower := w.client().session, w.client().session
	var told []redirection
	follow := func() { target.listenFor(follower, func(r redirection) { told = append(told, r) }) }
	follow()
	w.accept("m").answers("-BUSY a script is running\r\n", "CLIENT ID")
	if len(told) != 1 || told[0].refusal == nil {
		t.Fatalf("told %v", told)
	}
	follow()
	w.accept("m").answers(":7\r\n", "CLIENT ID")
	if len(told) != 2 || string(told[1].number) != "7" {
		t.Fatalf("told %v", told)
	}
}
