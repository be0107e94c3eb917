package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

// closedPort is an address that nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	port, release, err := testcluster.ReservePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}

// write makes a file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "understudy.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// webServer returns the address of a server that does not speak Redis's protocol.
func webServer(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { ln.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if _, err := conn.Read(make([]byte, 1024)); err == nil {
				_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) // who has hung up need not read it
			}
			conn.Close()
		}
	})
	return ln.Addr().String()
}

func portOf(t *testing.T, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestEveryFailureEndsWithItsStatusAndOneSentence(t *testing.T) {
	closed := closedPort(t)
	redis := testcluster.NewRedis(t)
	second := testcluster.NewRedis(t)
	guarded := testcluster.NewRedis(t, "--requirepass", "secret")
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	stranger := write(t, "# a comment\nnodes: [127.0.0.1:1]\nno-such-option: 1\n")
	twice := write(t, "loops: 1\nloops: 2\n")
	list := write(t, "- a\n- b\n")
	broken := write(t, "nodes: [\n")
	nothing := write(t, "nodes:\n")
	unitless := write(t, "nodes: [127.0.0.1:1]\nhold-timeout: 3\n")
	web := webServer(t)
	nested := write(t, "loops: [1, 2]\n")
	documents := write(t, "nodes: [127.0.0.1:1]\n---\nloops: 2\n")

	for name, c := range map[string]struct {
		env    []string
		args   []string
		status int
		words  []string
	}{
		"no such command":            {nil, []string{"walk"}, 2, []string{"walk", "--help"}},
		"no such command to explain": {nil, []string{"help", "walk"}, 2, []string{"walk", "--help"}},
		"no such flag":               {nil, []string{"run", "--walk"}, 2, []string{"--walk", "--help"}},
		"no nodes":                   {nil, []string{"run"}, 2, []string{"nodes is empty", "host:port"}},
		"a node without port":        {nil, []string{"run", "--nodes", "redis"}, 2, []string{`nodes is "redis"`, "host:port"}},
		"no number":                  {nil, []string{"run", "--loops", "many"}, 2, []string{"--loops", "many"}},
		"no duration":                {nil, []string{"run", "--down-after", "1"}, 2, []string{"--down-after", "1"}},
		"out of range":               {nil, []string{"run", "--nodes", closed, "--hold-timeout", "2h"}, 2, []string{"hold-timeout is 2h0m0s", "from 0s to 1h0m0s"}},
		"two out of range at once":   {nil, []string{"run", "--nodes", closed, "--loops", "0", "--max-failures", "0"}, 2, []string{"loops is 0", "; ", "max-failures is 0"}},
		"a fence shorter than the drain": {nil, []string{"run", "--nodes", closed, "--drain-timeout", "5s"}, 2,
			[]string{"fence-timeout is 5s", "longer than drain-timeout"}},
		"a user without password":  {nil, []string{"run", "--nodes", closed, "--username", "u"}, 2, []string{"password is empty", `"u"`}},
		"no time at all":           {[]string{"UNDERSTUDY_HOLD_TIMEOUT=abc"}, []string{"run", "--nodes", closed}, 2, []string{"HOLD_TIMEOUT", "a duration has a unit, as in"}},
		"permissions of a port":    {nil, []string{"run", "--nodes", closed, "--listen", ":0,mode=0660"}, 2, []string{":0,mode=0660", "unix socket"}},
		"a cluster in a folder":    {nil, []string{"run", "--nodes", closed, "--cluster", "../x"}, 2, []string{`cluster is "../x"`}},
		"no such policy":           {nil, []string{"run", "--nodes", closed, "--listen", ":0,policy=both"}, 2, []string{":0,policy=both", "master, replica, split"}},
		"an address without port":  {nil, []string{"run", "--nodes", closed, "--listen", "localhost"}, 2, []string{`listen is "localhost"`, "host:port"}},
		"no size":                  {nil, []string{"run", "--nodes", closed, "--max-lag", "ten"}, 2, []string{"--max-lag", `"ten"`, "mb"}},
		"not one of a few":         {nil, []string{"run", "--nodes", closed, "--log-level", "loud"}, 2, []string{"--log-level", `"loud"`}},
		"a bad variable":           {[]string{"UNDERSTUDY_LOOPS=many"}, []string{"run", "--nodes", closed}, 2, []string{"UNDERSTUDY_LOOPS", "many"}},
		"no such file":             {nil, []string{"run", "--config", missing}, 2, []string{missing, "no such file"}},
		"a stranger in the file":   {nil, []string{"run", "--config", stranger}, 2, []string{stranger, "line 3", `"no-such-option"`}},
		"an option twice":          {nil, []string{"run", "--config", twice}, 2, []string{twice, "line 2", "twice"}},
		"a file that is a list":    {nil, []string{"run", "--config", list}, 2, []string{list, "line 1", "name: value"}},
		"a file that is no YAML":   {nil, []string{"run", "--config", broken}, 2, []string{broken}},
		"a name without a value":   {nil, []string{"run", "--config", nothing}, 2, []string{nothing, "line 1", "nodes must be"}},
		"a list for one value":     {nil, []string{"run", "--config", nested}, 2, []string{nested, "loops must be one value"}},
		"a file from the variable": {[]string{"UNDERSTUDY_CONFIG=" + stranger}, []string{"run"}, 2, []string{stranger}},
		"check of a bad file":      {nil, []string{"check", stranger}, 2, []string{stranger, "line 3"}},
		"a negative length":        {nil, []string{"demo", "--for=-1s"}, 2, []string{"for is -1s"}},

		"an identity of nothing": {nil, []string{"run", "--nodes", closed, "--cluster-identity", "01234567"}, 2,
			[]string{`cluster-identity is "01234567"`, "zookeeper is empty"}},
		"a password for ZooKeeper, without it": {[]string{"UNDERSTUDY_ZOOKEEPER_AUTH=u:p"}, []string{"run", "--nodes", closed}, 2,
			[]string{"zookeeper-auth is given", "zookeeper is empty"}},
		"TLS with ZooKeeper, without it": {nil, []string{"run", "--nodes", closed, "--zookeeper-tls"}, 2, []string{"zookeeper-tls is given", "zookeeper is empty"}},
		"an admin port for everybody": {nil, []string{"run", "--nodes", closed, "--admin", ":6390"}, 2,
			[]string{`admin is ":6390"`, "admin-password", "127.0.0.1:6390"}},
		"an admin port without port": {nil, []string{"run", "--nodes", closed, "--admin", "localhost"}, 2, []string{`admin is "localhost"`, "host:port"}},
		"a password of no port":      {[]string{"UNDERSTUDY_ADMIN_PASSWORD=x"}, []string{"run", "--nodes", closed}, 2, []string{"admin-password", "without admin"}},
		"http without port":          {nil, []string{"run", "--nodes", closed, "--http", "8080"}, 2, []string{`http is "8080"`, "host:port"}},
		"an admin port in use":       {nil, []string{"run", "--nodes", redis.Addr, "--listen", "127.0.0.1:0", "--admin", second.Addr}, 1, []string{second.Addr, "--admin"}},
		"http in use":                {nil, []string{"run", "--nodes", redis.Addr, "--listen", "127.0.0.1:0", "--http", second.Addr}, 1, []string{second.Addr, "--http"}},
		"no truth":                   {[]string{"UNDERSTUDY_ZOOKEEPER_TLS=perhaps"}, []string{"run", "--nodes", closed}, 2, []string{"UNDERSTUDY_ZOOKEEPER_TLS", "perhaps"}},
		"no port for the second":     {nil, []string{"demo", "--zookeeper", "--port", "65535"}, 2, []string{"port is 65535", "from 1 to 65534"}},

		"a port beyond the last":   {nil, []string{"run", "--nodes", "127.0.0.1:99999"}, 2, []string{`nodes is "127.0.0.1:99999"`, "from 1 to 65535"}},
		"a node at port 0":         {nil, []string{"run", "--nodes", "127.0.0.1:0"}, 2, []string{`nodes is "127.0.0.1:0"`, "from 1 to 65535"}},
		"no-failover beyond":       {nil, []string{"run", "--nodes", closed, "--no-failover", "a:70000"}, 2, []string{`no-failover is "a:70000"`, "65535"}},
		"a map beyond":             {nil, []string{"run", "--nodes", closed, "--node-map", "a:1=b:70000"}, 2, []string{`node-map is "b:70000"`, "65535"}},
		"listen beyond":            {nil, []string{"run", "--nodes", closed, "--listen", ":70000"}, 2, []string{`listen is ":70000"`, "65535"}},
		"admin beyond":             {nil, []string{"run", "--nodes", closed, "--admin", "127.0.0.1:70000"}, 2, []string{`admin is "127.0.0.1:70000"`, "65535"}},
		"http beyond":              {nil, []string{"run", "--nodes", closed, "--http", ":70000"}, 2, []string{`http is ":70000"`, "65535"}},
		"advertise beyond":         {nil, []string{"run", "--nodes", closed, "--advertise", "a:70000"}, 2, []string{`advertise is "a:70000"`, "65535"}},
		"zookeeper empty":          {nil, []string{"run", "--nodes", closed, "--zookeeper", ""}, 2, []string{"--zookeeper", "it is empty", "leave zookeeper out"}},
		"a variable that is empty": {[]string{"UNDERSTUDY_ZOOKEEPER="}, []string{"run", "--nodes", closed}, 2, []string{"it is empty", "leave zookeeper out"}},
		"no session":               {nil, []string{"run", "--nodes", closed, "--zookeeper", "a", "--zookeeper-session-timeout", "0s"}, 2, []string{"zookeeper-session-timeout is 0s"}},
		"no heartbeat, and no tick": {nil, []string{"run", "--nodes", closed, "--zookeeper", "a", "--zookeeper-heartbeat", "0s", "--zookeeper-tick", "0s"}, 2,
			[]string{"zookeeper-heartbeat is 0s", "zookeeper-tick is 0s"}},
		"zookeeper beyond":             {nil, []string{"run", "--nodes", closed, "--zookeeper", "a:70000"}, 2, []string{"bad port", "a:70000"}},
		"status beyond":                {nil, []string{"status", "--addr", ":70000"}, 2, []string{`addr is ":70000"`, "65535"}},
		"two documents":                {nil, []string{"run", "--config", documents}, 2, []string{documents, "line 2", "second document"}},
		"check of two documents":       {nil, []string{"check", documents}, 2, []string{documents, "line 2", "second document"}},
		"check by --config":            {nil, []string{"check", "--config", stranger}, 2, []string{stranger, "line 3", `"no-such-option"`}},
		"check of two files":           {nil, []string{"check", stranger, "--config", twice}, 2, []string{stranger, twice, "one at a time"}},
		"check of a file not there":    {nil, []string{"check", missing}, 2, []string{missing, "no such file", "--config"}},
		"a state where no file can be": {nil, []string{"run", "--nodes", redis.Addr, "--state", "/proc/x.json"}, 1, []string{"no file can be made in /proc", "--state"}},
		"no node answers":              {nil, []string{"run", "--nodes", closed}, 1, []string{closed, "connection refused", "check the addresses"}},
		"what two packages refuse":     {nil, []string{"run", "--nodes", closed, "--write-acks", "-1"}, 2, []string{"write-acks is -1", "from 0 to 100"}},
		"a negative number":            {nil, []string{"run", "--nodes", closed, "--loops", "-1"}, 2, []string{"loops is -1", "from 1 to 64"}},
		"a duration without unit in the file": {nil, []string{"run", "--config", unitless}, 2,
			[]string{unitless, "line 2: hold-timeout", `"3"`, "has a unit"}},
		"a port that is no address": {nil, []string{"status", "--addr", "14001"}, 2, []string{`addr is "14001"`, "host:port, :port or unix:/path"}},
		"a folder for the state":    {nil, []string{"run", "--nodes", redis.Addr, "--state", t.TempDir()}, 1, []string{"it is a folder", "--state"}},
		"no folder for the state": {nil, []string{"run", "--nodes", redis.Addr, "--state", filepath.Join(missing, "state.json")}, 1,
			[]string{"create the folder " + missing, "--state"}},
		"no address of this machine": {nil, []string{"run", "--nodes", redis.Addr, "--listen", "192.0.2.1:1"}, 1,
			[]string{"cannot listen on 192.0.2.1:1", "no address of this machine", "--listen"}},
		"a port of the demonstration in use": {nil, []string{"demo", "--port", portOf(t, redis.Addr)}, 1, []string{redis.Addr, "--port"}},
		"check of another server":            {[]string{"UNDERSTUDY_NODES=" + web}, []string{"check"}, 1, []string{web, "no redis-server"}},
		"status of another server":           {nil, []string{"status", "--addr", web}, 1, []string{web, "not an Understudy", "--addr"}},
		"two masters":                        {nil, []string{"run", "--nodes", redis.Addr + "," + second.Addr}, 1, []string{redis.Addr, second.Addr, "REPLICAOF"}},
		"a password missing":                 {nil, []string{"run", "--nodes", guarded.Addr}, 1, []string{guarded.Addr, "password"}},
		"an address in use":                  {nil, []string{"run", "--nodes", redis.Addr, "--listen", second.Addr}, 1, []string{second.Addr, "--listen"}},
		"check of no node":                   {[]string{"UNDERSTUDY_NODES=" + closed}, []string{"check"}, 1, []string{closed}},
		"status of nobody":                   {nil, []string{"status", "--addr", closed}, 1, []string{closed, "--addr"}},
		"nodes of nobody":                    {[]string{"UNDERSTUDY_ADDR=" + closed}, []string{"nodes"}, 1, []string{closed, "--addr"}},
		"status of a server":                 {nil, []string{"status", "--addr", redis.Addr}, 1, []string{redis.Addr, "not an Understudy"}},
		"nodes of a server":                  {nil, []string{"nodes", "--addr", redis.Addr}, 1, []string{redis.Addr, "not an Understudy"}},
		"a wrong password":                   {nil, []string{"status", "--addr", guarded.Addr, "--password", "x"}, 1, []string{guarded.Addr, "--password"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := once(t, c.env, c.args...)
			if status != c.status {
				t.Errorf("the status is %d, want %d", status, c.status)
			}
			for _, prefix := range []string{"proxy: ", "topology: ", "monitor: ", "redigo: "} {
				if strings.Contains(stderr, "understudy: "+prefix) {
					t.Errorf("standard error names a package: %q", stderr)
				}
			}
			if stdout != "" && c.args[0] != "demo" {
				t.Errorf("standard output has %q", stdout)
			}
			lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
			last, ok := strings.CutPrefix(lines[len(lines)-1], "understudy: ")
			if !ok {
				t.Fatalf("standard error ends with %q", lines[len(lines)-1])
			}
			for _, line := range lines[:len(lines)-1] {
				if !strings.HasPrefix(line, "time=") {
					t.Errorf("more than one sentence: %q", line)
				}
			}
			for _, part := range strings.Split(last, "; ") {
				if strings.Contains(part, " is ") && strings.Count(last, part) > 1 {
					t.Errorf("%q is said twice in %q", part, last)
				}
			}
			for _, w := range c.words {
				if !strings.Contains(last, w) {
					t.Errorf("%q does not say %q", last, w)
				}
			}
		})
	}
}

func TestHelpAndVersionEndWell(t *testing.T) {
	for _, c := range []struct {
		args []string
		word string
	}{
		{nil, "Usage: understudy <command>"},
		{[]string{"--help"}, "Usage: understudy <command>"},
		{[]string{"help"}, "Usage: understudy <command>"},
		{[]string{"help", "run"}, "--hold-timeout=15s"},
		{[]string{"run", "--help"}, "UNDERSTUDY_HOLD_TIMEOUT"},
		{[]string{"version"}, "understudy "},
		{[]string{"--version"}, "understudy "},
	} {
		status, stdout, stderr := once(t, nil, c.args...)
		if status != 0 || stderr != "" || !strings.Contains(stdout, c.word) {
			t.Errorf("understudy %v: status %d, standard error %q, output without %q:\n%s", c.args, status, stderr, c.word, stdout)
		}
	}
}
