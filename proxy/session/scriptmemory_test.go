package session

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/understudy/understudy/proxy/upstream"
)

func TestScriptsAreRememberedByWhenTheyWereUsedLastWithinABound(t *testing.T) {
	var m Scripts
	text := func(i int) []byte { return fmt.Appendf(nil, "return '%d%s'", i, strings.Repeat("x", 1<<20)) }
	first := m.Remember(text(0))
	if want := "return '0x"; !bytes.HasPrefix(m.Body(first), []byte(want)) {
		t.Fatalf("the script is %.20q", m.Body(first))
	}
	var second upstream.SHA
	for i := 1; i < 40; i++ {
		sha := m.Remember(text(i))
		if i == 1 {
			second = sha
		}
		if m.Body(first) == nil { // it is in use
			t.Fatalf("a script in use was forgotten when %d had come", i)
		}
		if m.size > scriptMemory {
			t.Fatalf("%d bytes are kept", m.size)
		}
	}
	if m.Body(second) != nil {
		t.Error("what nobody used is still there")
	}
	if huge := m.Remember(make([]byte, scriptMemory)); m.Body(huge) != nil || m.Body(first) == nil {
		t.Error("a script larger than the bound drives out all others")
	}
	if m.Flush(); m.Body(first) != nil || m.Flushes() != 1 || m.size != 0 {
		t.Error("a flush has left something")
	}
}

func TestADigestIsReadInAnyCase(t *testing.T) {
	var m Scripts
	sha := m.Remember([]byte("return 1"))
	const hex = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db" // as a server has it
	for _, text := range []string{hex, strings.ToUpper(hex)} {
		if got, ok := parseSHA([]byte(text)); !ok || got != sha {
			t.Errorf("%s is %x", text, got)
		}
	}
	for _, text := range []string{"", hex[1:], hex + "0", "x" + hex[1:]} {
		if _, ok := parseSHA([]byte(text)); ok {
			t.Errorf("%q is taken for a digest", text)
		}
	}
}
