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

	"github.com/gomodule/redigo/redis"
)

const (
	// callLimit bounds each step of a command sent with [Redis.Do]: connecting, writing, reading.
	callLimit = 5 * time.Second

	redisLog    = "redis.log"
	redisConfig = "redis.conf"
	tailLines   = 20
)

// ErrNoRedisServer means that there is no redis-server program in the PATH.
var ErrNoRedisServer = errors.New("redis-server is not installed: install Redis 6.2 or later (Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install redis; macOS: brew install redis)")

// errPortTaken means that the server ended because something else listens on its port.
var errPortTaken = errors.New("the port is in use")

// Options say how a server is started. The zero value is a server in a temporary folder on a free port.
type Options struct {
	// Dir is the folder for configuration, data and log. If empty, a temporary one is made, and removed at the end.
	Dir string

	// Port is the TCP port on 127.0.0.1; 0 means a free one between 20000 and 29999. StartCluster gives it to the
	// master.
	Port int

	// Args are options of redis-server as on its command line: "--appendonly", "yes". They override the defaults
	// made for quick tests (no saving, replication without delay). "--requirepass" also becomes the password that
	// Dial and replication use.
	Args []string

	// Host is where the server runs and listens; nil is this machine's loopback interface. The port is reserved there
	// all the same.
	Host *Host

	// Log also receives what the server prints; without it that is only kept in the file Redis.Log names. Servers of
	// a cluster write to it at the same time, so it must allow that.
	Log io.Writer
}

// Redis is one redis-server, running or not. Its configuration is a file, so what CONFIG REWRITE leaves there is in
// force after a Restart. The methods may be called by several goroutines; those that start or end the process wait
// for each other.
type Redis struct {
	server

	Addr string // 127.0.0.1:port, or that port on its host
	Port int
	Dir  string // configuration, data and log

	host     *Host
	log      io.Writer
	password string
	release  func() // gives the port back
	ownsDir  bool
}

// StartRedis starts a redis-server and returns when it answers and has loaded its data. ctx limits the start (20 s at
// most), not the server's life. The error holds the tail of the server's log, or is [ErrNoRedisServer].
func StartRedis(ctx context.Context, opts Options) (*Redis, error) {
	const attempts = 10
	for range attempts - 1 {
		r, err := startRedisOnce(ctx, opts)
		if opts.Port == 0 && errors.Is(err, errPortTaken) {
			continue // a stranger was quicker
		}
		return r, err
	}
	return startRedisOnce(ctx, opts)
}

func startRedisOnce(ctx context.Context, opts Options) (*Redis, error) {
	r := &Redis{Port: opts.Port, Dir: opts.Dir, host: opts.Host, log: opts.Log, release: func() {}}
	if opts.Port == 0 {
		var err error
		if r.Port, r.release, err = ReservePort(); err != nil {
			return nil, err
		}
	}
	r.Addr = net.JoinHostPort(r.host.ip(), strconv.Itoa(r.Port))
	if err := r.prepare(opts.Args); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// prepare makes the folder and writes the configuration.
func (r *Redis) prepare(args []string) error {
	var err error
	if r.Dir == "" {
		r.ownsDir = true
		if r.Dir, err = os.MkdirTemp("", "understudy-redis-"); err != nil {
			return err
		}
	} else if r.Dir, err = filepath.Abs(r.Dir); err != nil {
		return err
	} else if err = os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	var text string
	if text, r.password, err = redisConfiguration(r.host.ip(), r.Port, r.Dir, args); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.Dir, redisConfig), []byte(text), 0o600)
}

// start runs the server with the configuration in its folder and waits until it is ready. The caller holds mu, or is
// the only one who knows r.
func (r *Redis) start(ctx context.Context) error {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrNoRedisServer, err)
	}
	// A restarted server appends to its log: what an earlier process said must not be taken for this one's words.
	logged := fileSize(r.Log())
	cmd := exec.Command(program, filepath.Join(r.Dir, redisConfig))
	cmd.Dir = r.Dir
	proc, err := startProcess(r.host, cmd, r.Log(), r.log)
	if err != nil {
		return fmt.Errorf("start %s: %w", program, err)
	}
	r.proc = proc

	if err = proc.await(ctx, "redis-server on "+r.Addr+" to be ready", func() error { return r.ready(proc.pid()) }); err == nil {
		return nil
	}
	err = errors.Join(err, proc.kill())
	if strings.Contains(fileFrom(r.Log(), logged), "Address already in use") {
		err = fmt.Errorf("%w: %w", errPortTaken, err)
	}
	return fmt.Errorf("%w\n%s", err, r.LogTail())
}

// ready returns nil once the server with this process id answers and has loaded its data.
func (r *Redis) ready(pid int) error {
	conn, err := r.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Do("PING")
	var refusal redis.Error
	if errors.As(err, &refusal) && !strings.HasPrefix(err.Error(), "LOADING") {
		return nil // it answers; that it does not like us is its configuration
	}
	if err != nil {
		return err
	}
	info, err := parseInfo(conn.Do("INFO", "server"))
	if errors.As(err, &refusal) {
		return nil
	}
	if err != nil {
		return err
	}
	// Somebody else's server may listen on the port that ours is about to fail to get.
	if got := info["process_id"]; got != strconv.Itoa(pid) {
		return fmt.Errorf("process %s answers there, not %d", got, pid)
	}
	return nil
}

// Restart starts the server again on the same port, with the data in its folder and the configuration as CONFIG
// REWRITE left it, after stopping it if it runs. It returns as StartRedis does.
func (r *Redis) Restart(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.proc.stop(); err != nil {
		return err
	}
	return r.start(ctx)
}

// Close kills the server, gives its port back and removes its folder if StartRedis made it. The server cannot be used
// afterwards.
func (r *Redis) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.proc != nil {
		err = r.proc.kill()
	}
	if r.ownsDir && r.Dir != "" {
		err = errors.Join(err, os.RemoveAll(r.Dir))
	}
	r.release()
	return err
}

// Log is the path of the server's log.
func (r *Redis) Log() string { return filepath.Join(r.Dir, redisLog) }

// LogTail gives the last lines of the server's log under a heading that names it.
func (r *Redis) LogTail() string {
	return "--- log of redis-server on " + r.Addr + ":\n" + logTail(r.Log(), tailLines)
}

// Dial opens a connection to the server, on its own host, with limits of 5 s for connecting and for each command, and
// authenticates if the server was started with a password. The caller closes it.
func (r *Redis) Dial() (redis.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	return redis.DialContext(ctx, "tcp", r.Addr, redis.DialContextFunc(r.host.Dial),
		redis.DialReadTimeout(callLimit), redis.DialWriteTimeout(callLimit), redis.DialPassword(r.password))
}

// Do sends one command over a connection of its own and returns its reply. The first argument is the command's name;
// the reply is as redigo gives it (int64, []byte, string for a status, []any), an error reply is a redis.Error.
func (r *Redis) Do(args ...any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("no command")
	}
	conn, err := r.Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	reply, err := conn.Do(fmt.Sprint(args[0]), args[1:]...)
	if err != nil {
		return reply, fmt.Errorf("%v on %s: %w", args[0], r.Addr, err)
	}
	return reply, nil
}

// Info returns one section of the server's INFO as a map from field to value.
func (r *Redis) Info(section string) (map[string]string, error) {
	return parseInfo(r.Do("INFO", section))
}

func parseInfo(reply any, err error) (map[string]string, error) {
	text, err := redis.String(reply, err)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found && !strings.HasPrefix(name, "#") {
			fields[name] = value
		}
	}
	return fields, nil
}
