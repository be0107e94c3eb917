package monitor

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/gomodule/redigo/redis"

	"github.com/understudy/understudy/internal/guard"
)

// trouble is what an error on the way to a node says about the node.
type trouble int

const (
	answered trouble = iota // the node answered, if only with an error: it lives
	refused                 // no server is there: refused, reset, closed without an answer, or what answers is no Redis server
	silent                  // nothing came in time
	local                   // this process or its host is in difficulties: no observation of the node
)

// diagnose says what err, from connecting to a node or talking to it, tells about the node.
func diagnose(err error) trouble {
	var reply redis.Error
	var lookup *net.DNSError
	var nonsense *guard.Error
	var timeout interface{ Timeout() bool }
	switch {
	case err == nil, errors.As(err, &reply):
		return answered
	case errors.As(err, &lookup), errors.Is(err, context.Canceled), errors.Is(err, net.ErrClosed):
		return local
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNABORTED),
		errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &nonsense):
		return refused
	// A router or the neighbour table speaks here and not the host itself, so it is no more than silence.
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		return silent
	case errors.As(err, &timeout) && timeout.Timeout():
		return silent
	}
	// Descriptors, ports, memory, our own network, certificates, and whatever else is not known to be the node's fault.
	return local
}

// denies reports whether err is the reply of a node that does not let this member ask what it is. (-BUSY, -LOADING and
// the like pass, and who answers them is the process that we know.)
func denies(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	for _, prefix := range []string{"NOAUTH", "WRONGPASS", "NOPERM", "DENIED", "ERR invalid password", "ERR operation not permitted"} {
		if strings.HasPrefix(reply.Error(), prefix) {
			return true
		}
	}
	return false
}

// loads reports whether err is the reply of a node that has yet to read its data.
func loads(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), "LOADING ")
}

// brief returns the heart of a network error: "connection refused" rather than "dial tcp 127.0.0.1:1: connect:
// connection refused", for sentences that name the node already.
func brief(err error) string {
	var errno syscall.Errno
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	}
	return strings.TrimSpace(err.Error())
}
