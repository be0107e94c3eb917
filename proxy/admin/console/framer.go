package console

import (
	"errors"
	"io"
	"net"
	"sync"

	"github.com/understudy/understudy/resp"
)

// limits bound a request to the admin port. The longest that anybody needs is PROXY PAUSE with a reason in many words.
var limits = resp.Limits{MaxBulk: 4 << 10, MaxArgs: 64, MaxInline: 4 << 10}

// framedListener accepts connections whose Read yields whole requests.
type framedListener struct {
	net.Listener
	open *sync.WaitGroup // counts those that are not closed
}

// Accept implements net.Listener.
func (l framedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.open.Add(1)
	return &framer{Conn: c, parser: resp.RequestParser{Limits: limits}, closed: sync.OnceValue(func() error {
		defer l.open.Done()
		return c.Close()
	})}, nil
}

// framer is a connection that yields one request at a time, in the only form that redcon's reader handles safely.
type framer struct {
	net.Conn
	parser resp.RequestParser
	in     []byte // read and not yet handed over
	out    []byte // the request that is being handed over
	rest   []byte // of out
	closed func() error
}

// Read implements io.Reader. It answers what is not RESP as a server does; then the stream is at its end.
func (f *framer) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		n, err := f.parser.Parse(f.in)
		switch {
		case err != nil:
			return 0, f.refuse(err)
		case n == 0:
			if err := f.receive(); err != nil {
				return 0, err
			}
			continue
		case len(f.parser.Args) > 0:
			f.out = resp.AppendRequest(f.out[:0], f.parser.Args...)
			f.rest = f.out
		}
		f.in = append(f.in[:0], f.in[n:]...)
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// receive reads what there is. It asks for more than is there of a request by some bytes only, whatever was announced.
func (f *framer) receive() error {
	var some [4 << 10]byte
	n, err := f.Conn.Read(some[:])
	f.in = append(f.in, some[:n]...)
	if n > 0 {
		return nil
	}
	return err
}

func (f *framer) refuse(err error) error {
	text := "ERR " + err.Error()
	if _, werr := f.Conn.Write(resp.AppendError(nil, text)); werr != nil {
		return errors.Join(err, werr)
	}
	return io.EOF
}

// Close implements net.Conn. It may be called more than once.
func (f *framer) Close() error { return f.closed() }
