package monitor

import "testing"

// TestTheSimulationFindsEveryBrokenRule breaks one rule after the other. Each has to be found by what it is there for. The
// seed at which the search begins has shown it. A change of the system or of its model makes other schedules of the seeds,
// and then the search goes on to the next ones: half of the rules are found in some hundred, the others in some thousand.
func TestTheSimulationFindsEveryBrokenRule(t *testing.T) {
	if simRacing {
		t.Skip("the race detector makes the search too slow: run it without -race (make test does, in a step of its own)")
	}
	for _, c := range []struct {
		rule   simRule
		from   uint64
		wanted simInvariant
	}{
		{simNoFenceWait, 370, simNothingOfDeposed},
		{simUnversionedWrite, 719, simStateInSteps},
		{simNoLease, 589, simNothingOfDeposed},
		{simNoLease, 339, simOneReceiver},
		{simNoCheckOfReplies, 589, simNothingOfDeposed},
		{simOneClock, 2427, simOneReceiver},
		{simTickBelieved, 342, simOneReceiver},
		{simEarlierLeadersStay, 605, simLeadersInOrder},
		{simLeaseOfAnyVersion, 1218, simOneReceiver},
		{simLeadsInAnotherSession, 110, simLeadersInOrder},
		{simLeadsWithoutLease, 798, simLeadersInOrder},
		{simBlindPromotion, 7631, simChosenProcess},
		{simSentAgain, 39, simOnce},
		{simNoDurableRule, 6078, simDurableKept},
		{simNoAcks, 3, simHeldByHolders},
		{simEarlierSample, 6, simHeldByHolders},
		{simAnyReplicaCounts, 1939, simHeldByHolders},
		{simClaimsKept, 247, simNothingOfDeposed},
	} {
		t.Run(string(c.rule), func(t *testing.T) {
			const most = 30000
			seed, fault, _ := search(c.rule, c.from, most, c.wanted)
			if fault == "" {
				t.Fatalf("not found in %d schedules: %s", most, c.wanted)
			}
			t.Logf("seed %d: %s", seed, fault)
		})
	}
}
