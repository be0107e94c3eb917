package admin_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/understudy/understudy/proxy/admin"
	"github.com/understudy/understudy/resp"
)

// ask gives PROXY and arguments to a and decodes the reply.
func ask(t *testing.T, a *admin.Admin, proto int, args ...string) resp.Value {
	t.Helper()
	request := [][]byte{[]byte("proxy")}
	for _, arg := range args {
		request = append(request, []byte(arg))
	}
	answer := make(chan []byte, 1)
	a.Proxy(request, proto, "10.1.1.1:1", func(reply []byte) { answer <- reply })
	reply := <-answer
	v, n, err := resp.Decode(reply)
	if err != nil || n != len(reply) {
		t.Fatalf("PROXY %v gives %q, of which %d bytes are a reply: %v", args, reply, n, err)
	}
	return v
}

// nodeMaps reads an array of maps of either protocol.
func nodeMaps(t *testing.T, v resp.Value, kind byte) []map[string]string {
	t.Helper()
	if v.Kind != '*' {
		t.Fatalf("the reply has the type %q and is no array", v.Kind)
	}
	var nodes []map[string]string
	for _, n := range v.Array {
		if n.Kind != kind || len(n.Array)%2 != 0 {
			t.Fatalf("a node has the type %q with %d elements, want %q", n.Kind, len(n.Array), kind)
		}
		fields := map[string]string{}
		for i := 0; i < len(n.Array); i += 2 {
			value := n.Array[i+1]
			switch value.Kind {
			case ':':
				fields[string(n.Array[i].Str)] = fmt.Sprint(value.Int)
			case '$':
				fields[string(n.Array[i].Str)] = string(value.Str)
			case '*':
				var items []string
				for _, item := range value.Array {
					items = append(items, string(item.Str))
				}
				fields[string(n.Array[i].Str)] = strings.Join(items, " ")
			default:
				t.Fatalf("%s has the type %q", n.Array[i].Str, value.Kind)
			}
		}
		nodes = append(nodes, fields)
	}
	return nodes
}

func TestNodesTellsEverythingOfEachNodeInBothProtocols(t *testing.T) {
	w := afterFailover()
	for proto, kind := range map[int]byte{2: '*', 3: '%'} {
		nodes := nodeMaps(t, ask(t, w.admin(), proto, "nodes"), kind)
		var order []string
		for _, n := range nodes {
			order = append(order, n["addr"]+" "+n["role"]+" "+n["health"]+" "+n["reason"])
		}
		want := []string{
			"10.0.0.2:6379 master online ",
			"10.0.0.3:6379 replica online ",
			"10.0.0.4:6379 replica loading LOADING Redis is loading the dataset in memory",
			"10.0.0.1:6379 none down connection refused",
			"10.0.0.5:6379 none returning ",
		}
		if !slices.Equal(order, want) {
			t.Fatalf("RESP%d: nodes are %q, want %q", proto, order, want)
		}
		replica := maps.Clone(nodes[1])
		for key, value := range map[string]string{
			"aliases": "r3:6379 r3.lan:6379", "run_id": "ccc", "follows": "10.0.0.2:6379", "link": "up", "offset": "4900", "lag_bytes": "100", "lag_ms": "20",
			"requests": "600", "connections": "1", "latency_us": "150", "priority": "100", "since": "-1", "heard": "-1",
		} {
			if replica[key] != value {
				t.Errorf("RESP%d: %s of a replica is %q, want %q", proto, key, replica[key], value)
			}
		}
		if master := nodes[0]; master["version"] != "7.0.15" || master["probe_us"] != "300" || master["heard"] != "0" {
			t.Errorf("RESP%d: the master is %v", proto, master)
		}
		if dead := nodes[3]; dead["since"] != "90" || dead["run_id"] != "aaa" {
			t.Errorf("RESP%d: the dead node is %v", proto, dead)
		}
	}
}

func TestNodesListsANodeThatOnlyTheMonitorKnows(t *testing.T) {
	w := afterFailover()
	w.report.Nodes = append(w.report.Nodes, admin.Node{Addr: "10.0.0.9:6379", Down: true, Reason: "no route to host"})
	nodes := nodeMaps(t, ask(t, w.admin(), 2, "NODES"), '*')
	if last := nodes[len(nodes)-1]; last["addr"] != "10.0.0.9:6379" || last["role"] != "none" || last["health"] != "down" || last["reason"] != "no route to host" {
		t.Errorf("the configured node that never was in the State is %v", last)
	}
	w.state = nil
	if nodes := nodeMaps(t, ask(t, w.admin(), 2, "NODES"), '*'); len(nodes) != len(w.report.Nodes) {
		t.Errorf("without a State %d nodes are listed, want the monitor's %d", len(nodes), len(w.report.Nodes))
	}
}

func TestADeadMasterIsDownThoughTheStateStillNamesIt(t *testing.T) {
	w := afterFailover()
	w.report.Nodes[1].Down = true
	if n := nodeMaps(t, ask(t, w.admin(), 2, "NODES"), '*')[0]; n["role"] != "master" || n["health"] != "down" {
		t.Errorf("the dead master is %v", n)
	}
}

func TestProxyInfoIsTheSectionOfInfo(t *testing.T) {
	a := afterFailover().admin()
	if v := ask(t, a, 2, "Info"); v.Kind != '$' || string(v.Str) != a.Info() {
		t.Errorf("RESP2: PROXY INFO has the type %q and is %q", v.Kind, v.Str)
	}
	if v := ask(t, a, 3, "INFO"); v.Kind != '=' || v.Format != "txt" || string(v.Str) != a.Info() {
		t.Errorf("RESP3: PROXY INFO has the type %q and is %q", v.Kind, v.Str)
	}
}

func TestHelpNamesEverySubcommand(t *testing.T) {
	a := afterFailover().admin()
	v := ask(t, a, 2, "help")
	if v.Kind != '*' {
		t.Fatalf("PROXY HELP has the type %q", v.Kind)
	}
	for _, sub := range []string{"HELP", "INFO", "NODES", "MEMBERS", "EVENTS", "FAILOVER", "PAUSE", "RESUME", "FORGET"} {
		named := func(line resp.Value) bool {
			word, _, _ := strings.Cut(string(line.Str), " ")
			return line.Kind == '+' && word == sub
		}
		if !slices.ContainsFunc(v.Array, named) {
			t.Errorf("PROXY HELP does not name %s", sub)
		}
		switch sub {
		case "FAILOVER", "PAUSE", "RESUME", "FORGET": // wait for a leader
			continue
		}
		if v := ask(t, a, 2, sub); v.IsError() {
			t.Errorf("PROXY %s answers %s", sub, v.Str)
		}
	}
}

func TestWrongUseOfProxyIsAnsweredAsRedisDoes(t *testing.T) {
	a := afterFailover().admin()
	for want, args := range map[string][]string{
		"ERR wrong number of arguments for 'proxy' command":            {},
		"ERR unknown subcommand 'nod'. Try PROXY HELP.":                {"nod"},
		"ERR unknown subcommand 'a  b'. Try PROXY HELP.":               {"a\r\nb"},
		"ERR wrong number of arguments for 'proxy|nodes' command":      {"NODES", "10.0.0.1:6379"},
		"ERR unknown subcommand '" + long[:128] + "'. Try PROXY HELP.": {long},
	} {
		if v := ask(t, a, 2, args...); !v.IsError() || string(v.Str) != want {
			t.Errorf("PROXY %q answers %q, want %q", args, v.Str, want)
		}
	}
}

var long = strings.Repeat("x", 1000)
