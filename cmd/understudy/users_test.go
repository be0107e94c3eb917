package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/understudy/understudy/proxy/session"
)

func TestAFileOfUsersIsReadOrSaysWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	sum := sha256.Sum256([]byte("secret"))
	for _, c := range []struct{ text, wrong string }{
		{fmt.Sprintf("shop:\n  password: %x\n  as: redis-shop\n  as-password: deep\nplain:\n  password: %x\n", sum, sum), ""},
		{"", "names no user"},
		{"shop:\n  password: secret\n", "the password of shop must be its SHA-256"},
		{fmt.Sprintf("shop:\n  password: %x\n  as: redis-shop\n", sum), "as-password of shop is empty"},
		{fmt.Sprintf("shop:\n  password: %x\n  role: admin\n", sum), `shop has "role", which there is not; a user is a name with password, as and as-password`},
		{"- shop\n", "line 1 is not what belongs there; a user is a name with"},
		{"shop:\n  - password\n", "line 2 is not what belongs there; a user is a name with"},
		{"shop:\n  password: [a]\n", "line 2 is not what belongs there; a user is a name with"},
		{"shop: {\n", "did not find"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		users, err := readUsers(path)
		switch {
		case c.wrong != "":
			if err == nil || !strings.Contains(err.Error(), c.wrong) || !strings.Contains(err.Error(), path) ||
				strings.Contains(err.Error(), "string") {
				t.Errorf("%q gives %v", c.text, err)
			}
		case err != nil || len(users) != 2 || users["shop"] != (session.User{Password: sum, As: "redis-shop", AsPassword: "deep"}) ||
			users["plain"] != (session.User{Password: sum}) || !slices.Equal(users.Strangers(), []string{"plain"}):
			t.Errorf("%q gives %v, %v", c.text, users, err)
		}
	}
	if _, err := readUsers(filepath.Join(t.TempDir(), "nope")); err == nil || !strings.Contains(err.Error(), "name a file that can be read") {
		t.Errorf("a file that is not there gives %v", err)
	}
	if users, err := readUsers(""); users != nil || err != nil {
		t.Errorf("no file gives %v, %v", users, err)
	}
}
