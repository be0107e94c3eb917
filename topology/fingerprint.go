package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// fingerprintLength is short enough to be compared by eye, and long enough that two clusters of one company differ.
const fingerprintLength = 8

// Fingerprint returns the first eight hexadecimal digits of the SHA-256 of a cluster's identity. It may be shown to
// anybody; the identity itself is known to members alone.
func Fingerprint(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:])[:fingerprintLength]
}

// IsFingerprint reports whether s can be what Fingerprint returns.
func IsFingerprint(s string) bool {
	return len(s) == fingerprintLength && strings.Trim(s, "0123456789abcdef") == ""
}
