package topology

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// TLSFiles says how this member and the servers of ZooKeeper prove to each other who they are, on the servers' secure
// port (secureClientPort). The files are PEM. They are read anew for every connection, so that renewed certificates
// need no restart.
type TLSFiles struct {
	CA         string // the authorities that sign the servers' certificates; "": those that the system trusts
	Cert, Key  string // this member's certificate (with what leads to its authority) and its key; both or none
	ServerName string // the name that every server's certificate must have; "": the one by which it is addressed
}

// Validate returns an error that names the first file that cannot be used, and why.
func (f TLSFiles) Validate() error {
	_, err := f.config()
	return err
}

// Dial opens a TLS connection to a server; it fits ZooKeeperConfig.Dial. The error is one sentence for a user.
func (f TLSFiles) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	config, err := f.config()
	if err != nil {
		return nil, certificateProblem{err}
	}
	if config.ServerName == "" {
		if config.ServerName, _, err = net.SplitHostPort(addr); err != nil {
			return nil, err
		}
	}
	tcp, err := dialAny(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(tcp, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		// The connection is of no use any more, however it closes.
		_ = tcp.Close()
		return nil, explainTLS(err, config.ServerName)
	}
	return secure, nil
}

// config reads the files.
func (f TLSFiles) config() (*tls.Config, error) {
	config := &tls.Config{ServerName: f.ServerName, MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		text, err := readFile("zookeeper-ca", f.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("topology: zookeeper-ca is %s: there is no certificate in it that can be read; it must be PEM", f.CA)
		}
	}
	switch {
	case f.Cert == "" && f.Key == "":
		return config, nil
	case f.Key == "":
		return nil, fmt.Errorf("topology: zookeeper-key is empty: the certificate %s needs its key", f.Cert)
	case f.Cert == "":
		return nil, fmt.Errorf("topology: zookeeper-cert is empty: the key %s needs its certificate", f.Key)
	}
	pair, err := f.pair()
	if err != nil {
		return nil, err
	}
	// Always this one: a server that names its authorities wrongly is better refused by its own words.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	return config, nil
}

// pair reads this member's certificate and key.
func (f TLSFiles) pair() (*tls.Certificate, error) {
	cert, err := readFile("zookeeper-cert", f.Cert)
	if err != nil {
		return nil, err
	}
	key, err := readFile("zookeeper-key", f.Key)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(key); block != nil && (strings.Contains(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "") {
		return nil, fmt.Errorf("topology: zookeeper-key is %s: the key is encrypted; it must be without a passphrase", f.Key)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("topology: zookeeper-cert is %s and zookeeper-key is %s: they do not fit together (%s)", f.Cert, f.Key, strings.TrimPrefix(err.Error(), "tls: "))
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("topology: zookeeper-cert is %s: it expired at %s; renew it", f.Cert, pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	return &pair, nil
}

// readFile reads the file of an option.
func readFile(option, path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("topology: %s is %s: %w", option, path, withoutPath(err))
	}
	return text, nil
}

// withoutPath is what happened to a file whose name has been said already.
func withoutPath(err error) error {
	var failed *os.PathError
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// certificateProblem is that one side does not prove to the other who it is. That the servers run, and where, is not to
// be doubted then.
type certificateProblem struct{ error }

func (p certificateProblem) Unwrap() error { return p.error }

// explainTLS says in a user's words why TLS with a server that should be called name has failed. Errors that are not
// of TLS stay as they are.
func explainTLS(err error, name string) error {
	var (
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		hostname x509.HostnameError
		garbled  tls.RecordHeaderError
		refused  *net.OpError
	)
	explained := func(format string, args ...any) error { return certificateProblem{fmt.Errorf(format, args...)} }
	switch {
	case errors.As(err, &unknown):
		return explained("its certificate is not signed by an authority that is trusted here: check zookeeper-ca (%w)", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil && time.Now().After(invalid.Cert.NotAfter):
		return explained("its certificate expired at %s: renew it on the server", invalid.Cert.NotAfter.Format(time.RFC3339))
	case errors.As(err, &hostname):
		return explained("its certificate is for %s and not for %s: address the server by that name, or give the name as zookeeper-server-name",
			strings.Join(namesOf(hostname.Certificate), ", "), name)
	case errors.As(err, &garbled), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return explained("it does not speak TLS on this port: give the servers' secureClientPort, or leave zookeeper-tls out")
	case errors.As(err, &refused) && refused.Op == "remote error":
		return explained("it refuses this member's certificate, or wants one: check zookeeper-cert and zookeeper-key (%w)", err)
	}
	var verification *tls.CertificateVerificationError
	if errors.As(err, &verification) {
		return explained("its certificate cannot be trusted (%w)", err)
	}
	return err
}

// namesOf are the names that a certificate is for.
func namesOf(c *x509.Certificate) []string {
	names := slices.Clone(c.DNSNames) // certificates are shared between connections
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return []string{"no name"}
	}
	return names
}
