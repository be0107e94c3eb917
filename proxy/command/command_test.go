package command

import "testing"

func TestKeyedCommandsAreThoseThatABlockMayHold(t *testing.T) {
	for request, want := range map[string]bool{
		"GET k": true, "SET k v": true, "MEMORY USAGE k": true, "XGROUP CREATE k g 0": true, "EVAL s 1 k": true, "BLPOP k 0": true, "TOUCH k": true, "SORT k": true, "RESTORE-ASKING k 0 x": true,
		"PING": false, "FLUSHALL": false, "WATCH k": false, "HSCAN k 0": false, "PUBLISH c m": false, "SPUBLISH c m": false, "SSUBSCRIBE c": false,
		"CONFIG GET x": false, "NOSUCH k": false, "SELECT 1": false, "XGROUP": false,
	} {
		if got := Builtin().Lookup(words(request)).Keyed(); got != want {
			t.Errorf("Keyed of %s is %v", request, got)
		}
	}
}

func TestErrorsOfScriptsAndUnknownCommandsProveNothing(t *testing.T) {
	for request, want := range map[string]bool{
		"EVAL s 0": true, "EVALSHA s 0": true, "EVAL_RO s 0": true, "EVALSHA_RO s 0": true, "FCALL f 0": true, "FCALL_RO f 0": true, "NOSUCH": true,
		"SET k v": false, "SCRIPT LOAD s": false, "FUNCTION LOAD s": false, "EXEC": false,
	} {
		if got := Builtin().Lookup(words(request)).Script(); got != want {
			t.Errorf("Script of %s is %v", request, got)
		}
	}
}

func TestArityIsCheckedAsAServerDoes(t *testing.T) {
	get, clientID, ping := Builtin().Lookup(words("GET")), Builtin().Lookup(words("CLIENT ID")), Builtin().Lookup(words("PING"))
	if get.Accepts(1) || !get.Accepts(2) || get.Accepts(3) || clientID.Accepts(1) || !clientID.Accepts(2) || !ping.Accepts(1) || !ping.Accepts(5) {
		t.Error("wrong lengths are accepted or right ones are not")
	}
	if !unknown.Accepts(1) || !unknown.Accepts(100) {
		t.Error("an unknown command accepts only some lengths")
	}
	if got := clientID.ArityError(); got != "ERR wrong number of arguments for 'client|id' command" {
		t.Errorf("the error is %q", got)
	}
}
