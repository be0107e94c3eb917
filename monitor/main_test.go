package monitor

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails the whole run if a goroutine is left over at its end.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
