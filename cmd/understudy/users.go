package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/understudy/understudy/proxy/session"
)

const whatAUserIs = "a user is a name with password, as and as-password"

// readUsers reads the file of users, a mapping of their names. Without a path there are none, and clients are users of
// the servers.
func readUsers(path string) (session.Users, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("users: %w; name a file that can be read", err)
	}
	defer f.Close()
	var entries map[string]map[string]string
	if err := yaml.NewDecoder(f).Decode(&entries); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("users: %s: %w; %s", path, withoutTypes(err), whatAUserIs)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("users: %s names no user, so nobody could be let in", path)
	}
	users := session.Users{}
	for name, e := range entries {
		for field := range e {
			if !slices.Contains([]string{"password", "as", "as-password"}, field) {
				return nil, fmt.Errorf("users: %s: %s has %q, which there is not; %s", path, name, field, whatAUserIs)
			}
		}
		as, asPassword := e["as"], e["as-password"]
		sum, err := hex.DecodeString(e["password"]) // SHA-256
		switch {
		case err != nil || len(sum) != sha256.Size:
			return nil, fmt.Errorf("users: %s: the password of %s must be its SHA-256 in 64 hexadecimal digits (printf %%s PASSWORD | sha256sum)", path, name)
		case as != "" && asPassword == "":
			return nil, fmt.Errorf("users: %s: as-password of %s is empty: it is %s at the servers and needs one", path, name, as)
		}
		users[name] = session.User{Password: [sha256.Size]byte(sum), As: as, AsPassword: asPassword}
	}
	return users, nil
}

// withoutTypes says of a file of another shape only where that begins: the library's words name types of this program.
func withoutTypes(err error) error {
	var shape *yaml.TypeError
	if !errors.As(err, &shape) {
		return err
	}
	line, _, _ := strings.Cut(shape.Errors[0], ":")
	return fmt.Errorf("%s is not what belongs there", line)
}
