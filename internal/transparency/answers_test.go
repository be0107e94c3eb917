package transparency

import (
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
	"github.com/understudy/understudy/proxy"
	"github.com/understudy/understudy/proxy/peers"
)

func TestAMemberKnowsWhichOthersAnswerWithoutAMasterOrAPassword(t *testing.T) {
	cluster := testcluster.New(t, 0, "--requirepass", "secret")
	var r registry
	r.member(t, "alive", cluster, func(c *proxy.Config) { c.Password = "secret" })
	if err := cluster.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	port := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		return ln
	}
	killed := port()
	r.enter("killed", killed.Addr().String())
	killed.Close()
	r.enter("stopped", port().Addr().String())
	r.enter("moved", r.members[0].Addr)
	r.enter("nowhere", "")

	self := peers.New("self", &r, slog.New(slog.DiscardHandler))
	t.Cleanup(self.Close)
	r.enter("self", "127.0.0.1:1")
	list, err := r.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answers := self.Answers(t.Context(), list)
	for id, want := range map[string]string{"self": "", "alive": "", "killed": "refused", "stopped": "", "moved": "is the address of alive"} {
		err, asked := answers[id]
		switch silent := !slices.Contains([]string{"self", "alive"}, id); {
		case !asked, silent != (err != nil), err != nil && !strings.Contains(err.Error(), want):
			t.Errorf("%s: asked %v, and it said %v", id, asked, err)
		}
	}
	if err, asked := answers["nowhere"]; asked {
		t.Errorf("who has no address was asked, and said %v", err)
	}
}
