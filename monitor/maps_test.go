package monitor

import (
	"strings"
	"testing"

	"github.com/understudy/understudy/topology"
)

func TestAMemberWithAnotherMapOfTheNodesIsNamed(t *testing.T) {
	state := &topology.State{
		Master:   topology.Node{Addr: "relay:1", Announced: "10.0.0.1:6379"},
		Replicas: []topology.Replica{{Node: topology.Node{Addr: "10.0.0.2:6379"}}},
	}
	own := map[string]string{"10.0.0.1:6379": "relay:1"}
	for what, c := range map[string]struct {
		other map[string]string
		want  string // parts of the sentence; "": there is none
	}{
		"the same":                      {map[string]string{"10.0.0.1:6379": "relay:1"}, ""},
		"more, about nodes of others":   {map[string]string{"10.0.0.1:6379": "relay:1", "10.9.9.9:6379": "relay:9"}, ""},
		"another address":               {map[string]string{"10.0.0.1:6379": "tunnel:1"}, "b would reach the node that announces 10.0.0.1:6379 at tunnel:1, and a, which leads, reaches it at relay:1"},
		"none":                          {map[string]string{}, "announces 10.0.0.1:6379 at 10.0.0.1:6379, and a, which leads, reaches it at relay:1"},
		"one more":                      {map[string]string{"10.0.0.1:6379": "relay:1", "10.0.0.2:6379": "relay:2"}, "announces 10.0.0.2:6379 at relay:2, and a, which leads, reaches it at 10.0.0.2:6379"},
		"not told, by an older version": {nil, ""},
	} {
		got := mapApart(state, []topology.Member{{ID: "a", NodeMap: own}, {ID: "b", NodeMap: c.other}}, "a")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}
