package topology

import "testing"

func TestAFingerprintIsTheBeginningOfAHash(t *testing.T) {
	// From: printf %s abc | sha256sum
	if got := Fingerprint("abc"); got != "ba7816bf" || !IsFingerprint(got) {
		t.Errorf("it is %q", got)
	}
	for _, s := range []string{"", "ba7816b", "ba7816bf0", "BA7816BF", "ba7816bg"} {
		if IsFingerprint(s) {
			t.Errorf("%q is taken for one", s)
		}
	}
}
