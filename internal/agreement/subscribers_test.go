package agreement

import (
	"testing"

	"github.com/gomodule/redigo/redis"
)

func TestEachMemberCountsTheSubscribersOfAll(t *testing.T) {
	s := start(t, options{})
	want := 0
	for i, m := range s.members {
		for range i + 1 {
			c := s.dial(m)
			defer c.Close()
			if _, err := c.Do("SUBSCRIBE", "news"); err != nil {
				t.Fatal(err)
			}
			want++
		}
	}
	for _, m := range s.members {
		counts, err := redis.IntMap(s.do(m, "PUBSUB", "NUMSUB", "news"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if counts["news"] != want {
			t.Errorf("%s counts %d of %d subscribers", m.id, counts["news"], want)
		}
		channels, err := redis.Strings(s.do(m, "PUBSUB", "CHANNELS"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(channels) != 1 || channels[0] != "news" {
			t.Errorf("%s lists the channels %q", m.id, channels)
		}
	}
}
