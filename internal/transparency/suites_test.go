package transparency

import (
	"context"
	"flag"
	"fmt"
	"net"
	"slices"
	"strconv"
	"testing"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/testcluster"
)

var (
	runSuites = flag.Bool("suites", false, "run the tests that the authors of clients test them with, with a server and through the proxy (some minutes)")
	rewrite   = flag.Bool("rewrite", false, "with -suites: write the table of what was run into docs/compatibility.md")
)

// suite is a set of tests that a client's authors wrote, as far as it needs one server and no more.
type suite struct {
	client string // as in the table
	what   string // was run, for the table
	tests  interface {
		// build gets the tests and makes them ready to run with a server on this port.
		build(t *testing.T, port int) program
	}

	// differences are the tests that pass with a server and not through the proxy, and why that is so.
	differences map[string]string

	// races are the tests that now pass and now fail with a server alone, and why that is so. They are not judged.
	races map[string]string
}

// program is a suite that is ready to run.
type program struct {
	version string // of the client
	run     func(*testing.T) outcomes
}

// suites leave out what tests clusters, rings and Sentinel, which are other ways to connect than the proxy's, and what
// needs modules.
var suites = []suite{
	{
		client: "go-redis", what: "its specifications of commands, pipelines, transactions, pools, pub/sub, scripts",
		tests: goTests{
			module: "github.com/redis/go-redis/v9", folder: ".", addr: `"6379"`, ours: `"%d"`, ginkgo: true,
			args: func(*testing.T, int) []string {
				return []string{
					"-test.run=^TestGinkgoSuite$", "-ginkgo.no-color", "-ginkgo.seed=1", "-ginkgo.label-filter=!NonRedisEnterprise",
					"-ginkgo.skip-file=osscluster|sentinel|ring|tls|search|json_test|timeseries|probabilistic|vectorset|async_handoff|array_commands|himport|hotkeys",
					"-ginkgo.skip=Cluster|Ring|Sentinel|RediSearch|JSON|Vector",
				}
			},
			// RE_CLUSTER is how its authors say that there is one address, and no servers of other kinds beside it.
			env: []string{"RE_CLUSTER=true", "REDIS_VERSION=7.0"},
		},
		differences: map[string]string{
			"Commands server should Wait": "expects that nothing replicates: `WAIT 1` says 0 of a lone server, and 1 or more here",
		},
	},
	{
		client: "go-redis", what: "the examples of its documentation, but those of modules",
		tests: goTests{
			module: "github.com/redis/go-redis/v9", folder: "doctests", addr: `localhost:6379`, ours: `127.0.0.1:%d`,
			args: func(*testing.T, int) []string { // an example without its module ends the program
				return []string{"-test.skip=geoindex|bloom|cms|cuckoo|search|probabilistic|query|tdig|timeseries|topk|vectorset|" +
					"ExampleClient_(setget|str|num|arr2?|obj|(set|get|getmtn|get2mtn|update)bikes|getmodels|filter[1-4]|updatefilters[12])$"}
			},
			env: []string{"REDIS_VERSION=7.0"},
		},
		races: map[string]string{
			"ExampleClient_sadd_cmd":     "expects one order of a set with two members, which follows from a secret of the server's process",
			"ExampleClient_smembers_cmd": "likewise",
		},
	},
	{
		client: "redigo", what: "all its tests but `TestSlowLog`",
		tests: goTests{
			module: "github.com/gomodule/redigo", folder: "redis",
			args: func(t *testing.T, port int) []string {
				// TestSlowLog logs every command, and panics when the newest is one by which the proxy looks at the server.
				return []string{"-redis-server=" + serverElsewhere(t), "-redis-port=" + strconv.Itoa(port), "-test.skip=^TestSlowLog$"}
			},
		},
		differences: map[string]string{
			"TestLatency":          "uses `DEBUG SLEEP`, which is refused",
			"TestLatencyHistories": "uses `DEBUG SLEEP`, which is refused",
		},
	},
	{
		client: "rueidis", what: "its integration tests with one server",
		tests: goTests{
			module: "github.com/redis/rueidis", folder: ".", addr: `127.0.0.1:6379`, ours: `127.0.0.1:%d`,
			args: func(*testing.T, int) []string {
				return []string{"-test.run=^Test(SingleClientIntegration|Negative|UnblockOnCancel)"}
			},
		},
	},
	{
		client: "ioredis", what: "its functional tests",
		tests: nodeTests{
			repository: "https://github.com/redis/ioredis.git", tag: "v6.0.0", name: "ioredis", folders: []string{"lib", "test"},
			install: []string{"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"},
			port:    []string{"lib", "test/functional"},
			command: []string{
				"node", "node_modules/mocha/bin/mocha.js", "--no-experimental-strip-types",
				"--ignore", "test/functional/cluster/**", "--ignore", "test/functional/sentinel*",
				"test/helpers/*.ts", "test/functional/**/*.ts", "--reporter", "json", "--reporter-option", "output=",
			},
			env:      []string{"NODE_ENV=test", "TS_NODE_TRANSPILE_ONLY=true"},
			outcomes: mochaOutcomes,
		},
		differences: map[string]string{
			"monitor should receive commands":                                   "looks with `MONITOR` for a read, which a replica answered",
			"pipeline exec should check and load uniq scripts only":             "sees the proxy's `SCRIPT LOAD` with `MONITOR`",
			"scripting should load scripts first before execution of pipeline":  "likewise",
			"scripting should try to use EVALSHA and fallback to EVAL if fails": "likewise",
			"scripting should use evalsha when script is loaded":                "likewise",
		},
	},
	{
		client: "BullMQ", what: "its tests with ioredis, each up to three times, because many have to meet a time",
		tests: nodeTests{
			repository: "https://github.com/taskforcesh/bullmq.git", tag: "v6.2.0", name: "bullmq", folders: []string{"src", "tests", "scripts"},
			files: map[string]string{"vitest.one-server.config.mjs": `
				import base from './vitest.config.ts';
				export default { test: { ...base.test, exclude: [
					'tests/cluster.test.ts', 'tests/{node-redis,adapter-conformance,bun-*,valkey-*}.test.ts',
					'tests/postgres*', 'tests/postgres/**', 'node_modules/**',
				] } };`},
			install: []string{"npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"},
			prepare: [][]string{ // the scripts that it sends, and what it runs in processes of their own
				{"npm", "run", "generate:raw:scripts"},
				{"npm", "run", "transform:commands"},
				{"node", "node_modules/typescript/bin/tsc", "-p", "tsconfig-cjs.json"},
			},
			port: []string{"tests", "src/classes/redis-connection.ts", "node_modules/ioredis/built/redis/RedisOptions.js"},
			command: []string{
				"node", "node_modules/vitest/vitest.mjs", "run", "--config", "vitest.one-server.config.mjs", "--maxWorkers=4", "--retry=2",
				"--reporter=json", "--outputFile=",
			},
			outcomes: vitestOutcomes,
		},
		races: map[string]string{
			"events should emit an event when a job becomes active": "begins to listen when it has the reply to `add`, and misses the event if that reply comes in one packet with the next",
			killedProcess("using child processes"):                  "kills what has been started for the job 250 ms after its start, whether it is there yet or not",
			killedProcess("using worker threads"):                   "likewise",
		},
	},
}

// killedProcess is the name that a test of BullMQ has for either kind of process.
func killedProcess(kind string) string {
	return "Sandboxed process " + kind + " sandboxed process when child process a job and its killed with SIGKILL while processing should fail with an unexpected error"
}

// TestSuitesOfClientsPassAsWithAServer runs each suite twice, with a server alone and with the proxy in front of a
// master and two replicas, on the same port. What passes with the server must pass through the proxy.
func TestSuitesOfClientsPassAsWithAServer(t *testing.T) {
	if !*runSuites {
		t.Skip("takes minutes and fetches modules: run it with -suites (make clients)")
	}
	var rows []row
	for _, s := range suites {
		t.Run(s.client+" "+s.what, func(t *testing.T) {
			port, release, err := testcluster.ReservePort()
			if err != nil {
				t.Fatal(err)
			}
			defer release()
			program := s.tests.build(t, port)
			var direct, proxied outcomes
			t.Run("with a server", func(t *testing.T) {
				startSuiteServer(t, port)
				direct = program.run(t)
			})
			t.Run("through the proxy", func(t *testing.T) {
				system := systemOptions{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), args: suiteServerArgs}.start(t, 2)
				proxied = program.run(t)
				t.Logf("replicas answered %d reads", readsOfReplicas(t, system.cluster))
			})
			rows = append(rows, s.compare(t, program.version, direct, proxied))
		})
	}
	report(t, rows)
}

// suiteServerArgs let the tests use the DEBUG that they use.
var suiteServerArgs = []string{"--enable-debug-command", "local"}

// startSuiteServer starts a server for a suite on a port, until the end of the test.
func startSuiteServer(t *testing.T, port int) {
	t.Helper()
	r, err := testcluster.StartRedis(context.Background(), testcluster.Options{Port: port, Args: suiteServerArgs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// readsOfReplicas is how many commands that only read the replicas have carried out.
func readsOfReplicas(t *testing.T, c *testcluster.Cluster) int {
	t.Helper()
	reads := 0
	for _, node := range c.Replicas() {
		stats, err := node.Info("commandstats")
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range stats {
			var calls int
			if _, err := fmt.Sscanf(text, "calls=%d,", &calls); err != nil {
				t.Fatalf("%s says %s:%s of a command: %v", node.Addr, name, text, err)
			}
			if readsOnly(t, node, name) {
				reads += calls
			}
		}
	}
	return reads
}

// readsOnly asks a server whether a command, as it is named in INFO (cmdstat_get), has the flag readonly.
func readsOnly(t *testing.T, node *testcluster.Redis, stat string) bool {
	t.Helper()
	info, err := redis.Values(node.Do("COMMAND", "INFO", stat[len("cmdstat_"):]))
	if err != nil {
		t.Fatal(err)
	}
	if info[0] == nil {
		return false // of a module that is gone
	}
	flags, err := redis.Strings(info[0].([]any)[2], nil)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(flags, "readonly")
}
