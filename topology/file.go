package topology

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// readState reads the State that lies at path, nil if there is none.
func readState(path, cluster string) (*State, error) {
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("topology: read the state: %w", err)
	}
	s, err := Decode(b)
	switch {
	case errors.Is(err, ErrNewerFormat):
		return nil, fmt.Errorf("%w; start that version, or name another file (%s)", err, path)
	case err != nil:
		return nil, fmt.Errorf("%w; it was left as it is: move %s away to begin with what the nodes say now", err, path)
	case s.Cluster != cluster:
		return nil, fmt.Errorf("topology: the state in %s belongs to cluster %q and not to %q; name that cluster with --cluster, or another file with --state",
			path, s.Cluster, cluster)
	}
	return s, nil
}

// writeFile replaces the file at path by one that holds b: after a crash at any moment there is either the old one or
// the new one, whole.
func writeFile(path string, b []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("topology: write the state: %w", err)
		}
	}()
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	if err := fill(f, b); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	// Only the directory's own sync makes the rename last.
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fill writes b to f, makes it last, and closes f.
func fill(f *os.File, b []byte) error {
	_, err := f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
