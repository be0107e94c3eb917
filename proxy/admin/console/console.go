package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/redcon"

	"github.com/understudy/understudy/resp"
)

const (
	// maxConns is how many operators may be connected at a time: enough for people and scrapers, few enough that a
	// leak of theirs costs clients no descriptors.
	maxConns = 64
	// acceptPause is how long to wait after a failure to accept: redcon tries again at once, and descriptors that have
	// run out do not come back sooner for it.
	acceptPause = 100 * time.Millisecond
)

// Admin answers. *admin.Admin implements it.
type Admin interface {
	// Info returns the section "# Understudy" of INFO.
	Info() string
	// Proxy calls done with the encoded reply to PROXY or FAILOVER with these arguments, at once or later, or never if
	// the Admin is closed before.
	Proxy(args [][]byte, proto int, by string, done func(reply []byte))
}

// Server is an admin port. Make one with Listen.
type Server struct {
	admin    Admin
	password string
	log      *slog.Logger
	listener net.Listener
	server   *redcon.Server
	conns    atomic.Int64
	open     sync.WaitGroup
	serving  sync.WaitGroup
	closing  chan struct{}
}

// Listen opens addr (host:port) and serves it until Close. With a password, connections must give it (AUTH) first.
func Listen(addr, password string, admin Admin, log *slog.Logger) (*Server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("admin port: %w", err)
	}
	s := &Server{admin: admin, password: password, log: log, listener: ln, closing: make(chan struct{})}
	s.server = redcon.NewServer(addr, s.serve, s.accept, s.closed)
	s.server.AcceptError = func(err error) {
		log.Warn("the admin port cannot accept a connection", "error", err)
		select {
		case <-time.After(acceptPause):
		case <-s.closing:
		}
	}
	s.serving.Go(func() {
		if err := s.server.Serve(framedListener{ln, &s.open}); err != nil {
			log.Error("the admin port is not served any more", "error", err)
		}
	})
	return s, nil
}

// Addr returns the address listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close ends all connections and returns when none of them is served any more. It is called once.
func (s *Server) Close() error {
	close(s.closing)
	err := s.listener.Close()
	s.serving.Wait() // redcon closes the connections then
	s.open.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// client is what is known of one connection.
type client struct {
	proto int
	name  string
	known bool // it gave the password, or none is asked for
}

func (s *Server) accept(c redcon.Conn) bool {
	if s.conns.Add(1) > maxConns {
		s.conns.Add(-1)
		c.WriteError("ERR max number of clients reached") // redcon sends it before it closes
		return false
	}
	c.SetContext(&client{proto: 2, known: s.password == ""})
	return true
}

func (s *Server) closed(redcon.Conn, error) { s.conns.Add(-1) }

// isPassword compares in a time that tells nothing of the password.
func (s *Server) isPassword(given string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.password))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// ask waits for what the Admin replies; nil when the port is closed before it does.
func (s *Server) ask(args [][]byte, proto int, by string) []byte {
	replies := make(chan []byte, 1)
	s.admin.Proxy(args, proto, by, func(reply []byte) { replies <- reply })
	select {
	case reply := <-replies:
		return reply
	case <-s.closing:
		return resp.AppendError(nil, "ERR Understudy is shutting down")
	}
}
