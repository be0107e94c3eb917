package topology

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// greetingLimit is more than a server's first answer can have; other protocols read as lengths beyond it.
	greetingLimit = 1 << 10

	// headStart is how long the library has to see that it has no watches yet, which takes it no time to speak of.
	headStart = 20 * time.Millisecond

	// Of ZooKeeper's protocol (org.apache.zookeeper.ZooDefs.OpCode, ClientCnxn).
	opSetAuth    = 100
	opSetWatches = 101
	authXid      = 0xfffffffc // -4
)

// conn is a connection whose handshake has one limit as a whole and ends with the password, and which can be dropped
// from outside.
type conn struct {
	net.Conn
	dialer  *dialer
	addr    string
	dropped atomic.Bool
	watches bool // the library has watches of an earlier connection

	rewatched chan struct{} // closed when the library has asked for the watches of earlier connections, or never will
	asked     sync.Once     // closes rewatched
	settled   bool          // the first Read after the handshake has waited for rewatched; the reader's

	// Until the handshake is over there is one goroutine; after it nothing of this changes.
	greeting []byte // of the server's first answer
	greeted  bool
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if c.greeted {
		c.awaitWatches()
		return c.Conn.Read(b)
	}
	n, err := c.Conn.Read(b)
	c.greeting = append(c.greeting, b[:n]...)
	if greetErr := c.greet(); greetErr != nil {
		err = greetErr
	}
	if err != nil {
		reason := err
		if _, secure := c.Conn.(*tls.Conn); secure && !errors.Is(err, io.EOF) {
			reason = explainTLS(err, "") // with TLS 1.3 what a server thinks of our certificate is read here
		}
		if errors.Is(err, io.EOF) {
			reason = errors.New("it ended the connection instead of beginning a session; it may be without a quorum, or expect TLS or a certificate")
		}
		c.dialer.failed(fmt.Errorf("%s: %w", c.addr, reason))
	}
	return n, err
}

// Write implements net.Conn. A failure is told by the next Read only, so that whatever was asked ends in one way.
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if !c.greeted {
		return n, err
	}
	// The library writes each request with one call: its length, its number, what it asks for.
	if len(b) >= 12 && binary.BigEndian.Uint32(b[8:]) == opSetWatches {
		c.asked.Do(func() { close(c.rewatched) })
	}
	if err != nil {
		c.drop()
	}
	return len(b), nil
}

// awaitWatches holds back what a server sends until the library has asked again for the watches that it has. The library
// notes the newest transaction that it has heard of with every answer, and asks for what its watches missed since that
// one, without a lock between the two: an answer that came first would make it miss events, and is a data race
// (github.com/go-zookeeper/zk/pull/35).
func (c *conn) awaitWatches() {
	if c.settled {
		return
	}
	c.settled = true
	if c.watches {
		<-c.rewatched
		return
	}
	limit := time.NewTimer(headStart)
	defer limit.Stop()
	select {
	case <-c.rewatched:
	case <-limit.C:
	}
}

// greet looks at what has arrived of the server's first answer: its length, the version of the protocol, the timeout
// of the session in milliseconds, the session, a password. The library keeps the timeout to itself.
func (c *conn) greet() error {
	const head = 4 + 4 + 4 + 8
	if len(c.greeting) < 4 {
		return nil
	}
	size := binary.BigEndian.Uint32(c.greeting)
	if size > greetingLimit || size < head-4 {
		return errors.New("it answers, but not as a ZooKeeper server does")
	}
	if len(c.greeting) < 4+int(size) {
		return nil
	}
	timeout := time.Duration(binary.BigEndian.Uint32(c.greeting[8:])) * time.Millisecond
	session := int64(binary.BigEndian.Uint64(c.greeting[12:]))
	if session != 0 && c.dialer.auth != "" {
		if err := c.authenticate(); err != nil {
			return err
		}
	}
	c.greeted, c.greeting = true, nil
	if err := c.Conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if c.dropped.Load() { // meanwhile
		return c.Conn.SetDeadline(longAgo)
	}
	if session != 0 { // 0: the session has expired
		c.dialer.greeted(session, timeout)
	}
	return nil
}

// authenticate sends the password and reads the answer to it. The library would do so too, on a connection that is in
// use by then, and waits for itself for ever when that fails. A wrong password is not noticed here, but with the first
// thing that is denied.
func (c *conn) authenticate() error {
	const scheme = "digest"
	auth := c.dialer.auth
	request := make([]byte, 4, 64)
	request = binary.BigEndian.AppendUint32(request, authXid)
	request = binary.BigEndian.AppendUint32(request, opSetAuth)
	request = binary.BigEndian.AppendUint32(request, 0) // the type of authentication, which is not in use
	request = append(binary.BigEndian.AppendUint32(request, uint32(len(scheme))), scheme...)
	request = append(binary.BigEndian.AppendUint32(request, uint32(len(auth))), auth...)
	binary.BigEndian.PutUint32(request, uint32(len(request)-4))
	if _, err := c.Conn.Write(request); err != nil {
		return err
	}
	// Nothing else is said before it: its length, the number of the request, a transaction, an error.
	var answer [4 + 4 + 8 + 4]byte
	if _, err := io.ReadFull(c.Conn, answer[:]); err != nil {
		return err
	}
	if code := int32(binary.BigEndian.Uint32(answer[16:])); code != 0 {
		return fmt.Errorf("it does not take the password (error %d); does it allow the scheme %q?", code, scheme)
	}
	return nil
}

// SetReadDeadline implements net.Conn. The limit of the handshake stands against the library's.
func (c *conn) SetReadDeadline(t time.Time) error {
	if !c.greeted || c.dropped.Load() {
		return nil
	}
	err := c.Conn.SetReadDeadline(t)
	if c.dropped.Load() { // meanwhile
		return c.Conn.SetReadDeadline(longAgo)
	}
	return err
}

// SetWriteDeadline implements net.Conn, as SetReadDeadline.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if !c.greeted || c.dropped.Load() {
		return nil
	}
	err := c.Conn.SetWriteDeadline(t)
	if c.dropped.Load() {
		return c.Conn.SetWriteDeadline(longAgo)
	}
	return err
}

var longAgo = time.Unix(1, 0)

// drop makes every read and write fail at once. The library closes the connection then; closing it here could wait for
// the peer, where it is TLS.
func (c *conn) drop() {
	c.dropped.Store(true)
	c.asked.Do(func() { close(c.rewatched) })
	// It fails only if the connection is closed already.
	_ = c.Conn.SetDeadline(longAgo)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.dialer.mu.Lock()
	if c.dialer.current == c {
		c.dialer.current = nil
	}
	c.dialer.mu.Unlock()
	c.asked.Do(func() { close(c.rewatched) })
	return c.Conn.Close()
}
