package transparency

import (
	"testing"

	"github.com/understudy/understudy/internal/testcluster"
)

func TestConversationsThroughTheProxyAreThoseWithTheServer(t *testing.T) {
	f := newFront(t, testcluster.New(t, 2), nil)
	runScripts(t, f, "testdata/plain")
}
