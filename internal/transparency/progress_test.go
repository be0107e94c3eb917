package transparency

import (
	"sync/atomic"
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

// progress counts what a client has done.
type progress struct{ n atomic.Int64 }

func (p *progress) add() { p.n.Add(1) }

// more waits until that much more has been done.
func (p *progress) more(t *testing.T, n int64) {
	t.Helper()
	goal := p.n.Load() + n
	testcluster.WaitFor(t, "a client to go on", func() bool { return p.n.Load() >= goal })
}
