package eventloop

import (
	"bytes"
	"net"
	"testing"
)

// log is a handler that tells the test what it is told.
type log struct {
	conn    Conn
	data    chan []byte
	half    chan bool
	closed  chan error
	flushed chan struct{}
}

func newLog(c Conn) *log {
	return &log{c, make(chan []byte, 1000), make(chan bool, 10), make(chan error, 10), make(chan struct{}, 1000)}
}

func (l *log) Data(p []byte)          { l.data <- bytes.Clone(p) }
func (l *log) Flush()                 { l.flushed <- struct{}{} }
func (l *log) HalfClosed(unread bool) { l.half <- unread }
func (l *log) Closed(err error)       { l.closed <- err }

// text returns the next n bytes that arrive.
func (l *log) text(t *testing.T, n int) string {
	t.Helper()
	var got []byte
	for len(got) < n {
		got = append(got, await(t, l.data)...)
	}
	return string(got)
}

// logged returns a pair whose handler is a log. With paused, reading is paused from the beginning.
func (f *fixture) logged(paused bool) (*log, net.Conn) {
	f.t.Helper()
	var h *log
	_, peer := f.pair(func(c Conn) Handler {
		h = newLog(c)
		if paused {
			c.PauseRead()
		}
		return h
	})
	return h, peer
}
