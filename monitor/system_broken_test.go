package monitor

import "testing"

func TestTheSimulationFindsEveryBrokenRule(t *testing.T) {
	if simRacing {
		t.Skip("make test searches without the race detector, in a step of its own")
	}
	for _, rule := range []simRule{simNoFenceWait, simUnversionedWrite, simNoLease, simNoCheckOfReplies, simOneClock, simEarlierLeadersStay,
		simLeaseOfAnyVersion, simLeadsInAnotherSession, simLeadsWithoutLease, simBlindPromotion, simSentAgain, simNoDurableRule, simNoAcks} {
		t.Run(string(rule), func(t *testing.T) {
			const most = 30000
			seed, fault, _ := search(rule, most)
			if fault == "" {
				t.Fatalf("not found in %d schedules", most)
			}
			t.Logf("seed %d: %s", seed, fault)
		})
	}
}
