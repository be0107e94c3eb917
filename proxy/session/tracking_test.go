package session

import "testing"

func TestARedirectionOfInvalidationsIsRefusedUnlessTheServerRefusesItItself(t *testing.T) {
	for request, refused := range map[string]bool{
		"CLIENT TRACKING ON REDIRECT 7":                       true,
		"CLIENT TRACKING on bcast redirect 7":                 true,
		"CLIENT TRACKING ON BCAST PREFIX a PREFIX b":          false,
		"CLIENT TRACKING ON BCAST PREFIX REDIRECT PREFIX 7":   false,
		"CLIENT TRACKING ON BCAST PREFIX REDIRECT REDIRECT 7": true,
		"CLIENT TRACKING ON REDIRECT x":                       false,
		"CLIENT TRACKING ON REDIRECT":                         false,
	} {
		w := newWorld(t)
		c := w.client()
		c.sends(request)
		if got := c.received != ""; got != refused {
			t.Errorf("%s: refused here %v, the client got %q", request, got, c.received)
		}
	}
}
