//go:build !unix

package topology

import (
	"errors"
	"os"
)

// lockFile refuses: without a lock two processes could share one State and promote two masters.
func lockFile(string) (*os.File, error) {
	return nil, errors.New("topology: a state file needs file locks, which this build has for Unix systems only; run without a file, or on ZooKeeper")
}
