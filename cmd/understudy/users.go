package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"

	"github.com/understudy/understudy/proxy/session"
)

// fileUser is one entry of the file of users.
type fileUser struct {
	Password   string `yaml:"password"` // SHA-256 in hexadecimal digits
	As         string `yaml:"as"`
	AsPassword string `yaml:"as-password"`
}

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
	var entries map[string]fileUser
	dec := yaml.NewDecoder(f)
	dec.KnownFields(true)
	if err := dec.Decode(&entries); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("users: %s: %w; a user is a name with password, as and as-password", path, err)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("users: %s names no user, so nobody could be let in", path)
	}
	users := session.Users{}
	for name, e := range entries {
		sum, err := hex.DecodeString(e.Password)
		switch {
		case err != nil || len(sum) != sha256.Size:
			return nil, fmt.Errorf("users: %s: the password of %s must be its SHA-256 in 64 hexadecimal digits (printf %%s PASSWORD | sha256sum)", path, name)
		case e.As != "" && e.AsPassword == "":
			return nil, fmt.Errorf("users: %s: as-password of %s is empty: it is %s at the servers and needs one", path, name, e.As)
		}
		users[name] = session.User{Password: [sha256.Size]byte(sum), As: e.As, AsPassword: e.AsPassword}
	}
	return users, nil
}
