package monitor

import (
	"testing"
	"time"
)

// at is a moment of the tests' own time, in milliseconds.
func at(ms int) time.Time { return time.UnixMilli(int64(1e12 + ms)) }

func TestVitality(t *testing.T) {
	type seen struct {
		sign      sign
		began, at int // ms
	}
	refusal := func(ms int) seen { return seen{signRefusal, ms, ms + 1} }
	life := func(began, at int) seen { return seen{signLife, began, at} }
	for name, c := range map[string]struct {
		seen    []seen
		gap     int // observations are discarded at this moment, after those that end before it
		at      int
		down    bool
		reason  string
		doubted bool
	}{
		"nothing known is not down":                      {at: 1e6},
		"two refusals are not enough":                    {seen: []seen{refusal(1), refusal(4)}, at: 1e6, doubted: true},
		"three refusals are":                             {seen: []seen{refusal(1), refusal(4), refusal(7)}, at: 9, down: true, reason: "refused", doubted: true},
		"refusals count in a row only":                   {seen: []seen{refusal(1), refusal(4), life(5, 6), refusal(7)}, at: 1e6, doubted: true},
		"an answer from before the death does not help":  {seen: []seen{refusal(10), refusal(14), life(2, 3), refusal(18)}, at: 20, down: true, reason: "refused", doubted: true},
		"an answer revives":                              {seen: []seen{refusal(1), refusal(4), refusal(7), life(20, 21)}, at: 22},
		"a late report of an old answer does not revive": {seen: []seen{refusal(10), refusal(13), refusal(16), life(5, 6)}, at: 30, down: true, reason: "refused", doubted: true},
		"silence is not death before stall-after":        {seen: []seen{life(0, 1), {signSilence, 100, 600}}, at: 6099, doubted: true},
		"silence is death after stall-after":             {seen: []seen{life(0, 1), {signSilence, 100, 600}}, at: 6100, down: true, reason: "no answer for 6s", doubted: true},
		"a host that takes no connection is dead after down-after": {
			seen: []seen{{signSilence, 100, 600}, {signTimeout, 600, 1100}}, at: 1100, down: true, reason: "no connection for 1s", doubted: true},
		"a host that took one is busy, not dead": {
			seen: []seen{{signAccept, 50, 100}, {signSilence, 100, 600}, {signAccept, 610, 620}, {signTimeout, 630, 1100}}, at: 3000, doubted: true},
		"a host that took one when it came back, and takes none now, is dead after down-after": {
			seen: []seen{refusal(1), refusal(4), refusal(7), {signAccept, 20, 21}, life(20, 22), {signSilence, 2000, 2500}, {signTimeout, 2500, 3000}},
			at:   3000, down: true, reason: "no connection for 1s", doubted: true},
		"a host that took one while others were silent, and then answered, is dead like that too": {
			seen: []seen{{signTimeout, 10, 500}, {signAccept, 600, 601}, life(600, 602), {signAccept, 603, 604}, {signSilence, 2000, 2500}, {signTimeout, 2500, 3000}},
			at:   3000, down: true, reason: "no connection for 1s", doubted: true},
		"an answer ends the silence":                       {seen: []seen{{signSilence, 100, 600}, life(610, 620)}, at: 1e6},
		"an answer to an earlier question does not end it": {seen: []seen{{signSilence, 100, 600}, life(90, 95)}, at: 6100, down: true, reason: "no answer for 6s", doubted: true},
		"a lost connection proves nothing":                 {seen: []seen{{signLost, 1, 2}, {signLost, 3, 4}, {signLost, 5, 6}}, at: 1e6},
		"a gap voids what was counted":                     {seen: []seen{refusal(1), refusal(4), refusal(60)}, gap: 50, at: 70, doubted: true},
		"a gap voids what began before it":                 {seen: []seen{refusal(1), refusal(4), {signRefusal, 7, 60}, {signSilence, 20, 520}}, gap: 50, at: 1e6},
		"a gap does not raise the dead": {
			seen: []seen{refusal(1), refusal(2), refusal(3)}, gap: 50, at: 60, down: true, reason: "refused"},
		"an answer after a gap does": {
			seen: []seen{refusal(1), refusal(2), refusal(3), life(55, 56)}, gap: 50, at: 60},
	} {
		t.Run(name, func(t *testing.T) {
			v := vitality{patience: patience{maxFailures: 3, downAfter: time.Second, stallAfter: 6 * time.Second}}
			gapped := c.gap == 0
			for _, s := range c.seen {
				if !gapped && s.at > c.gap {
					gapped = true
					v.discard(at(c.gap))
				}
				v.observe(observation{sign: s.sign, began: at(s.began), at: at(s.at), reason: "refused"})
				v.judge(at(s.at))
			}
			if !gapped {
				v.discard(at(c.gap))
			}
			v.judge(at(c.at))
			if _, doubted := v.doubted(); v.down != c.down || v.reason != c.reason || doubted != c.doubted {
				t.Errorf("down %v (%q), doubted %v", v.down, v.reason, doubted)
			}
		})
	}
}

func TestTheDownTimeOfANodeBeginsWithItsFirstFailure(t *testing.T) {
	v := vitality{patience: patience{maxFailures: 3, downAfter: time.Second, stallAfter: 6 * time.Second}}
	v.observe(observation{sign: signLife, began: at(0), at: at(1)})
	if view := v.view("n"); view.Down || !view.Since.Equal(at(1)) {
		t.Errorf("alive: %+v", view)
	}
	for _, ms := range []int{10, 14, 18} {
		v.observe(observation{sign: signRefusal, began: at(ms), at: at(ms + 1), reason: "refused"})
	}
	v.judge(at(20))
	if view := v.view("n"); !view.Down || !view.Since.Equal(at(10)) || view.Reason != "refused" || view.Addr != "n" {
		t.Errorf("down: %+v", view)
	}
	v.observe(observation{sign: signLife, began: at(30), at: at(31)})
	if view := v.view("n"); view.Down || !view.Since.Equal(at(31)) || view.Reason != "" {
		t.Errorf("back: %+v", view)
	}
}
