package testcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	defaultTick = 200 * time.Millisecond

	// askLimit is how long a server may take to say how it is. One that is about to start may accept the question and
	// never answer, so whoever waits for it must ask again soon.
	askLimit = time.Second

	zooLog    = "zookeeper.log"
	zooConfig = "zoo.cfg"

	// debianZooKeeper is where Debian's libzookeeper-java and libslf4j-java are. The first jar names all others that
	// it needs but the logger.
	debianZooKeeper = "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar"

	// debianNetty is what a server with TLS needs besides, and the first jar does not name. Debian's netty-all.jar is empty.
	debianNetty = "/usr/share/java/netty-codec.jar:/usr/share/java/netty-resolver.jar"

	// classpathVariable names the environment variable with the jars of ZooKeeper for other systems.
	classpathVariable = "ZOOKEEPER_CLASSPATH"
)

// ErrNoZooKeeper means that Java or ZooKeeper's jars are missing.
var ErrNoZooKeeper = errors.New("ZooKeeper is not installed: install Java and ZooKeeper 3.6 or later (Debian, Ubuntu: apt-get install default-jre-headless libzookeeper-java libslf4j-java), or name its jars, separated by colons, in " + classpathVariable)

// ZooKeeperOptions say how ZooKeeper servers are started. The zero value is right for tests with short sessions.
type ZooKeeperOptions struct {
	// Dir is the folder for configuration, data and logs; each server of an ensemble gets a folder in it. If empty, a
	// temporary one is made, and removed at the end.
	Dir string

	// Tick is ZooKeeper's unit of time, 200 ms if 0. Session timeouts lie between 2 and 20 ticks.
	Tick time.Duration

	// Hosts are where the servers run, one for each; nil: all on this machine's loopback interface.
	Hosts []*Host

	// Config are further lines of zoo.cfg.
	Config []string

	// TLS, if it is not nil, opens a second port on each server, which speaks TLS.
	TLS *ZooKeeperTLS

	// Log also receives what the servers print (warnings), several at the same time.
	Log io.Writer
}

// ZooKeeperTLS says how servers prove who they are on the port that speaks TLS, and who may connect there.
type ZooKeeperTLS struct {
	KeyStore   string // file with certificate and key (PKCS #8), as PEM
	TrustStore string // file with the authorities of clients, as PEM; "": clients need no certificate
}

// lines are what zoo.cfg says about it.
func (t *ZooKeeperTLS) lines() []string {
	lines := []string{
		"serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
		"ssl.keyStore.location=" + t.KeyStore, "ssl.keyStore.type=PEM",
	}
	if t.TrustStore == "" {
		return append(lines, "ssl.clientAuth=none")
	}
	return append(lines, "ssl.clientAuth=need", "ssl.trustStore.location="+t.TrustStore, "ssl.trustStore.type=PEM")
}

// ZooKeeper is one ZooKeeper server, alone or a member of an ensemble, running or not. The methods may be called by
// several goroutines; those that start or end the process wait for each other.
type ZooKeeper struct {
	server

	Addr string // where clients connect, 127.0.0.1:port
	Dir  string // configuration, data and log

	// SecureAddr is where clients connect with TLS. Nothing listens there without ZooKeeperOptions.TLS.
	SecureAddr string

	id      int // in the ensemble, from 1
	host    *Host
	log     io.Writer
	client  int   // port for clients
	secure  int   // port for clients with TLS; 0: none
	peers   []int // ports of an ensemble: for its followers and for elections
	release []func()
}

func newZooKeeper(id int, dir string, opts *ZooKeeperOptions) (*ZooKeeper, error) {
	z := &ZooKeeper{Dir: dir, id: id, log: opts.Log}
	if len(opts.Hosts) > 0 {
		z.host = opts.Hosts[id-1]
	}
	var ports [4]int
	for i := range ports {
		port, release, err := ReservePort()
		if err != nil {
			z.releasePorts()
			return nil, err
		}
		ports[i] = port
		z.release = append(z.release, release)
	}
	z.client, z.peers, z.Addr = ports[0], ports[1:3], z.address(ports[0])
	if z.SecureAddr = z.address(ports[3]); opts.TLS != nil {
		z.secure = ports[3]
	}
	return z, nil
}

func (z *ZooKeeper) address(port int) string {
	return net.JoinHostPort(z.host.ip(), strconv.Itoa(port))
}

func (z *ZooKeeper) releasePorts() {
	for _, release := range z.release {
		release()
	}
}

// configure writes what the server reads when it starts. lines is what all servers of the ensemble share.
func (z *ZooKeeper) configure(lines []string) error {
	if err := os.MkdirAll(z.data(), 0o700); err != nil {
		return err
	}
	own := append([]string{
		"dataDir=" + z.data(),
		"clientPort=" + strconv.Itoa(z.client),
		"clientPortAddress=" + z.host.ip(),
	}, lines...)
	if z.secure != 0 {
		own = append(own, "secureClientPort="+strconv.Itoa(z.secure), "secureClientPortAddress="+z.host.ip())
	}
	text := strings.Join(own, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(z.Dir, zooConfig), []byte(text), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(z.data(), "myid"), []byte(strconv.Itoa(z.id)+"\n"), 0o600)
}

func (z *ZooKeeper) data() string { return filepath.Join(z.Dir, "data") }

// launch starts the process and does not wait for it to be ready. The caller holds mu, or is the only one who knows z.
func (z *ZooKeeper) launch() error {
	java, classpath, err := findZooKeeper()
	if err != nil {
		return err
	}
	cmd := exec.Command(java, "-cp", classpath,
		"-Xmx64m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", // small, and soon there
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"org.apache.zookeeper.server.quorum.QuorumPeerMain", filepath.Join(z.Dir, zooConfig))
	cmd.Dir = z.Dir
	z.proc, err = startProcess(z.host, cmd, z.Log(), z.log)
	if err != nil {
		return fmt.Errorf("start ZooKeeper with %s: %w", java, err)
	}
	return nil
}

func findZooKeeper() (java, classpath string, err error) {
	if java, err = exec.LookPath("java"); err != nil {
		return "", "", fmt.Errorf("%w (%w)", ErrNoZooKeeper, err)
	}
	if classpath = os.Getenv(classpathVariable); classpath != "" {
		return java, classpath, nil
	}
	for _, jar := range filepath.SplitList(debianZooKeeper) {
		if _, err := os.Stat(jar); err != nil {
			return "", "", fmt.Errorf("%w (%w)", ErrNoZooKeeper, err)
		}
	}
	return java, debianZooKeeper + string(filepath.ListSeparator) + debianNetty, nil
}

// await returns when the server serves requests. logged is how long its log was before it was launched.
func (z *ZooKeeper) await(ctx context.Context, logged int64) error {
	err := z.proc.await(ctx, "ZooKeeper on "+z.Addr+" to serve requests", func() error {
		// Somebody else's server may listen on the port that ours is about to fail to get.
		conf, err := z.ask("conf")
		if err != nil {
			return err
		}
		if !strings.Contains(conf, z.data()) {
			return errors.New("a server with other data answers there")
		}
		if _, err = z.Mode(); err != nil || z.secure == 0 {
			return err
		}
		conn, err := z.host.Dial(ctx, "tcp", z.SecureAddr) // which it listens on a little later
		if err != nil {
			return err
		}
		return conn.Close()
	})
	if err == nil {
		return nil
	}
	if strings.Contains(fileFrom(z.Log(), logged), "Address already in use") {
		err = fmt.Errorf("%w: %w", errPortTaken, err)
	}
	return fmt.Errorf("%w\n%s", err, z.LogTail())
}

// Mode is what the server says of itself: standalone, leader, follower or observer. It is an error if it serves no
// requests, as without a quorum.
func (z *ZooKeeper) Mode() (string, error) {
	text, err := z.ask("srvr")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if mode, found := strings.CutPrefix(line, "Mode: "); found {
			return strings.TrimSpace(mode), nil
		}
	}
	return "", fmt.Errorf("ZooKeeper on %s: %s", z.Addr, strings.TrimSpace(text))
}

// ask sends one of the four-letter words that ZooKeeper answers to without a session.
func (z *ZooKeeper) ask(word string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	conn, err := z.host.Dial(ctx, "tcp", z.Addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(askLimit)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, word); err != nil {
		return "", err
	}
	text, err := io.ReadAll(conn)
	return string(text), err
}

// Restart starts the server again, on the same ports with the same data, after stopping it if it runs. It returns
// when the server serves requests, which it does only in a quorum.
func (z *ZooKeeper) Restart(ctx context.Context) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if err := z.proc.stop(); err != nil {
		return err
	}
	logged := fileSize(z.Log())
	if err := z.launch(); err != nil {
		return err
	}
	if err := z.await(ctx, logged); err != nil {
		return errors.Join(err, z.proc.kill())
	}
	return nil
}

// close kills the server and gives its ports back.
func (z *ZooKeeper) close() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.releasePorts()
	if z.proc == nil {
		return nil
	}
	return z.proc.kill()
}

// Log is the path of the server's log.
func (z *ZooKeeper) Log() string { return filepath.Join(z.Dir, zooLog) }

// LogTail gives the last lines of the server's log under a heading that names it.
func (z *ZooKeeper) LogTail() string {
	return "--- log of ZooKeeper on " + z.Addr + ":\n" + logTail(z.Log(), tailLines)
}
