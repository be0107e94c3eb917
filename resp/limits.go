package resp

import "math"

// Limits bounds what one request may ask for. A field that is zero means the value in [DefaultLimits].
type Limits struct {
	// MaxBulk is the largest argument in bytes, Redis's proto-max-bulk-len.
	MaxBulk int64
	// MaxArgs is the largest number of arguments of a multibulk request. Inline requests are bounded by MaxInline.
	MaxArgs int
	// MaxInline is the longest line in bytes, its end not counted: an inline request, or a count or length that never ends.
	MaxInline int
	// Unauthenticated makes a request over MaxArgs or MaxBulk fail with the texts Redis uses for clients that have not
	// authenticated yet. Beyond Redis's absolute limits the ordinary texts remain, as in Redis.
	Unauthenticated bool
}

// DefaultLimits are those of redis-server in its default configuration, except for MaxArgs: Redis 7 lets an authenticated
// client announce up to 2^31-1 arguments, earlier servers 1024*1024, and the earlier limit is kept.
var DefaultLimits = Limits{MaxBulk: defaultMaxBulk, MaxArgs: defaultMaxArgs, MaxInline: defaultMaxInline}

// UnauthenticatedLimits are those of redis-server for a client that must authenticate and has not.
var UnauthenticatedLimits = Limits{MaxBulk: 16384, MaxArgs: 10, MaxInline: defaultMaxInline, Unauthenticated: true}

const (
	defaultMaxBulk   = 512 << 20
	defaultMaxArgs   = 1 << 20
	defaultMaxInline = 64 << 10

	// Beyond these Redis calls a number invalid whoever the client is.
	absoluteMaxArgs = math.MaxInt32
	absoluteMaxBulk = defaultMaxBulk
)

// checkCount says whether a request may have n > 0 arguments.
func (l *Limits) checkCount(n int64) *ProtocolError {
	switch {
	case n <= int64(l.args()):
		return nil
	case l.Unauthenticated && n <= absoluteMaxArgs:
		return errUnauthenticatedCount
	}
	return errInvalidCount
}

// checkBulk is checkCount's counterpart for the length of an argument, n >= 0.
func (l *Limits) checkBulk(n int64) *ProtocolError {
	switch {
	case n <= l.bulk():
		return nil
	case l.Unauthenticated && n <= absoluteMaxBulk:
		return errUnauthenticatedBulk
	}
	return errInvalidBulk
}

// args is MaxArgs, or its default.
func (l *Limits) args() int {
	if l.MaxArgs == 0 {
		return defaultMaxArgs
	}
	return l.MaxArgs
}

// bulk is MaxBulk, or its default.
func (l *Limits) bulk() int64 {
	if l.MaxBulk == 0 {
		return defaultMaxBulk
	}
	return l.MaxBulk
}

// inline is MaxInline, or its default.
func (l *Limits) inline() int {
	if l.MaxInline == 0 {
		return defaultMaxInline
	}
	return l.MaxInline
}

// ProtocolError says that a byte stream is not RESP, or asks for more than is allowed. Nothing after it in the stream can
// be understood, so the connection must be closed once what came before has been answered.
type ProtocolError struct{ text string }

// Error returns what Redis sends a client after "-ERR ", such as "Protocol error: invalid bulk length". It has no
// newlines.
func (e *ProtocolError) Error() string { return e.text }

var (
	errTooBigInline         = &ProtocolError{"Protocol error: too big inline request"}
	errTooBigCount          = &ProtocolError{"Protocol error: too big mbulk count string"}
	errTooBigBulkHeader     = &ProtocolError{"Protocol error: too big bulk count string"}
	errInvalidCount         = &ProtocolError{"Protocol error: invalid multibulk length"}
	errInvalidBulk          = &ProtocolError{"Protocol error: invalid bulk length"}
	errUnauthenticatedCount = &ProtocolError{"Protocol error: unauthenticated multibulk length"}
	errUnauthenticatedBulk  = &ProtocolError{"Protocol error: unauthenticated bulk length"}
	errUnbalancedQuotes     = &ProtocolError{"Protocol error: unbalanced quotes in request"}
)

// errExpectedBulk is the error for an argument that starts with got instead of '$'.
func errExpectedBulk(got byte) *ProtocolError {
	// The byte is copied raw, as Redis does, even where that is not UTF-8; only newlines would break the reply.
	return &ProtocolError{"Protocol error: expected '$', got '" + string([]byte{noNewline(got)}) + "'"}
}
