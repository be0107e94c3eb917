package monitor

import "testing"

// TestTheSimulationFindsEveryBrokenRule breaks one rule after the other. Each has to be found by what it is there for. The
// seed at which the search begins has shown it. A change of the system or of its model makes other schedules of the seeds,
// and then the search goes on to the next ones: half of the rules are found in some hundred, the others in some thousand.
func TestTheSimulationFindsEveryBrokenRule(t *testing.T) {
	if simRacing {
		t.Skip("make test searches without the race detector, in a step of its own")
	}
	for _, c := range []struct {
		rule   simRule
		from   uint64
		wanted simInvariant
	}{
		{simNoFenceWait, 126, simNothingOfDeposed},
		{simUnversionedWrite, 120, simStateInSteps},
		{simNoLease, 581, simNothingOfDeposed},
		{simNoLease, 276, simOneReceiver},
		{simNoCheckOfReplies, 581, simNothingOfDeposed},
		{simOneClock, 1549, simOneReceiver},
		{simEarlierLeadersStay, 591, simLeadersInOrder},
		{simLeaseOfAnyVersion, 1123, simOneReceiver},
		{simLeadsInAnotherSession, 54, simLeadersInOrder},
		{simLeadsWithoutLease, 303, simLeadersInOrder},
		{simBlindPromotion, 3444, simChosenProcess},
		{simSentAgain, 24, simOnce},
		{simNoDurableRule, 5503, simDurableKept},
		{simNoAcks, 1, simHeldByHolders},
		{simEarlierSample, 6, simHeldByHolders},
		{simAnyReplicaCounts, 873, simHeldByHolders},
		{simClaimsKept, 76, simNothingOfDeposed},
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
