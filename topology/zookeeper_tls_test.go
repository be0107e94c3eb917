package topology

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/internal/testcert"
	"github.com/understudy/understudy/internal/testcluster"
)

// secureEnsemble is one server with a port for TLS.
func secureEnsemble(t *testing.T, with *testcluster.ZooKeeperTLS) *testcluster.ZooKeeper {
	t.Helper()
	e, err := testcluster.StartEnsemble(t.Context(), 1, testcluster.ZooKeeperOptions{TLS: with})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	})
	return e.Servers[0]
}

// refusedTLS opens a member that gets no session, for reasons that have all these words.
func refusedTLS(t *testing.T, cfg ZooKeeperConfig, words ...string) {
	t.Helper()
	testcluster.WaitFor(t, "words about "+words[0], func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the first handshakes of a server are slow
		defer cancel()
		z, err := OpenZooKeeper(ctx, cfg)
		if err == nil {
			z.Close()
			t.Fatalf("it is not refused, and should be with %q", words)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Logf("not yet: %v", err)
				return false
			}
		}
		if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "majority of the servers runs") {
			t.Errorf("%q is not one sentence about certificates", err)
		}
		return true
	})
}

func TestAServerWithASecurePortAndAMemberProveWhoTheyAre(t *testing.T) {
	t.Parallel()
	authority, stranger := testcert.NewAuthority(t), testcert.NewAuthority(t)
	server := authority.Sign("server", time.Now().Add(time.Hour), "127.0.0.1", "zookeeper.example")
	mine := authority.Sign("member", time.Now().Add(time.Hour))
	forged := stranger.Sign("stranger", time.Now().Add(time.Hour))
	secure := secureEnsemble(t, &testcluster.ZooKeeperTLS{KeyStore: server.Both, TrustStore: authority.File})
	with := func(files TLSFiles) ZooKeeperConfig {
		cfg := memberConfig(t, secure.SecureAddr, "a")
		cfg.Dial = files.Dial
		return cfg
	}
	right := TLSFiles{CA: authority.File, Cert: mine.Cert, Key: mine.Key}
	a := open(t, with(right))
	update(t, a, stable(1))
	awaitGrant(t, a, 1)
	began := time.Now()
	a.session.Load().dialer.drop()
	testcluster.WaitFor(t, "another connection", func() bool { l := a.lease.Load(); return l != nil && l.Sent.After(began) })

	named := right
	named.ServerName = "zookeeper.example"
	b := with(named)
	b.ID = "b"
	open(t, b)

	otherCA := right
	otherCA.CA = stranger.File
	refusedTLS(t, with(otherCA), "not signed by an authority that is trusted here", "zookeeper-ca")
	refusedTLS(t, with(TLSFiles{Cert: mine.Cert, Key: mine.Key}), "not signed by an authority that is trusted here") // the system's
	otherName := right
	otherName.ServerName = "other.example"
	refusedTLS(t, with(otherName), "its certificate is for zookeeper.example, 127.0.0.1 and not for other.example", "zookeeper-server-name")
	refusedTLS(t, with(TLSFiles{CA: authority.File}), "refuses this member's certificate, or wants one", "zookeeper-cert")
	refusedTLS(t, with(TLSFiles{CA: authority.File, Cert: forged.Cert, Key: forged.Key}), "refuses this member's certificate, or wants one", "zookeeper-cert")

	plain := with(right)
	plain.Servers = secure.Addr
	refusedTLS(t, plain, "does not speak TLS on this port", "secureClientPort")
	open2, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := OpenZooKeeper(open2, memberConfig(t, secure.SecureAddr, "c")); err == nil || !strings.Contains(err.Error(), "expect TLS") {
		t.Errorf("without TLS on the secure port: %v", err)
	}
}

func TestACertificateOfAServerThatExpiredIsNamed(t *testing.T) {
	t.Parallel()
	authority := testcert.NewAuthority(t)
	server := authority.Sign("server", time.Now().Add(-time.Minute), "127.0.0.1")
	secure := secureEnsemble(t, &testcluster.ZooKeeperTLS{KeyStore: server.Both})
	cfg := memberConfig(t, secure.SecureAddr, "a")
	cfg.Dial = TLSFiles{CA: authority.File}.Dial
	refusedTLS(t, cfg, "its certificate expired at ", "renew it on the server")
}

func TestARenewedCertificateNeedsNoRestart(t *testing.T) {
	t.Parallel()
	old, young := testcert.NewAuthority(t), testcert.NewAuthority(t)
	secure := secureEnsemble(t, &testcluster.ZooKeeperTLS{KeyStore: young.Sign("server", time.Now().Add(time.Hour), "127.0.0.1").Both})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	replace := func(with string) {
		t.Helper()
		text, err := os.ReadFile(with)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(ca, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replace(old.File)
	files := TLSFiles{CA: ca}
	if _, err := files.Dial(t.Context(), "tcp", secure.SecureAddr); err == nil {
		t.Fatal("a server of another authority is trusted")
	}
	replace(young.File)
	conn, err := files.Dial(t.Context(), "tcp", secure.SecureAddr)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestFilesForTLSThatCannotBeUsedAreNamed(t *testing.T) {
	authority := testcert.NewAuthority(t)
	one, two := authority.Sign("one", time.Now().Add(time.Hour)), authority.Sign("two", time.Now().Add(time.Hour))
	expired := authority.Sign("expired", time.Now().Add(-time.Hour))
	missing := filepath.Join(t.TempDir(), "missing.pem")
	encrypted := filepath.Join(t.TempDir(), "encrypted.key")
	if err := os.WriteFile(encrypted, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, files := range map[string]TLSFiles{
		"zookeeper-ca is " + missing + ": no such file":              {CA: missing},
		"zookeeper-ca is " + one.Key + ": there is no certificate":   {CA: one.Key},
		"zookeeper-cert is " + missing + ": no such file":            {Cert: missing, Key: one.Key},
		"zookeeper-key is " + missing + ": no such file":             {Cert: one.Cert, Key: missing},
		"zookeeper-key is " + encrypted + ": the key is encrypted":   {Cert: one.Cert, Key: encrypted},
		"zookeeper-key is empty":                                     {Cert: one.Cert},
		"zookeeper-cert is empty":                                    {Key: one.Key},
		"zookeeper-key is " + two.Key + ": they do not fit together": {Cert: one.Cert, Key: two.Key},
		"zookeeper-cert is " + expired.Cert + ": it expired at ":     {Cert: expired.Cert, Key: expired.Key},
	} {
		if err := files.Validate(); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if err := (TLSFiles{CA: authority.File, Cert: one.Cert, Key: one.Key}).Validate(); err != nil {
		t.Error(err)
	}
}
