package monitor

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

const (
	channelPrefix   = "understudy:"           // of each member's own channel, CLUSTER:ID, and the identity after a space
	followingPrefix = "understudy-following:" // of that of a member who follows
	commonChannel   = "understudy"            // that every member subscribes to, whatever its cluster is called
	sentinelChannel = "__sentinel__:hello"    // that every Sentinel subscribes to on the nodes it watches
	rivalSentinel   = "a Sentinel"            // how rivals names every Sentinel
	lookInterval    = 2 * time.Second         // between two looks for company
	lookAgain       = 500 * time.Millisecond  // while there is some
)

// company is who else watches a node. Two that look after the same nodes without agreeing would promote two masters.
type company struct {
	at        time.Time
	sentinels bool
	members   []string // the channels of other members, sorted
}

// lookAround looks for company every now and then and reports what it finds. A node that has never let us ask is
// taken to be ours alone; of one that no longer does, what it showed before stands: nobody has seen the others go.
func (w *watcher) lookAround(ctx context.Context) {
	if w.cfg.Follow || time.Now().Before(w.looked) {
		return
	}
	var found company
	began := time.Now()
	err := w.control.do(ctx, w.replyLimit(), func(l *link) (err error) {
		found, err = askCompany(l, w.cfg.channels()[0].(string), 1)
		return err
	})
	pause := lookInterval
	if found.sentinels || len(found.members) > 0 {
		pause = lookAgain
	}
	w.looked = time.Now().Add(pause)
	found.at = began
	if err == nil {
		w.tell(ctx, report{observation: observation{sign: signLife, began: began}, company: &found})
	}
}

// askCompany asks a node who else has subscribed to the channels of members and of Sentinels. The channels are only
// listed, which costs a busy server time, when their number says that there is somebody but the ones that this member has
// subscribed itself.
func askCompany(l *link, own string, subscribed int) (company, error) {
	var found company
	counts, err := redis.IntMap(l.Do("PUBSUB", "NUMSUB", commonChannel, sentinelChannel))
	if err != nil {
		return found, err
	}
	found.sentinels = counts[sentinelChannel] > 0
	// One may be an older connection of our own, which the server has not noticed to be dead: only names tell.
	if counts[commonChannel] <= subscribed {
		return found, nil
	}
	channels, err := redis.Strings(l.Do("PUBSUB", "CHANNELS", channelPrefix+"*"))
	if err != nil {
		return found, err
	}
	found.members = slices.DeleteFunc(channels, func(c string) bool { return c == own })
	slices.Sort(found.members)
	return found, nil
}

// rivals names those in company of this member with whom it shares no coordination and who may promote nodes. What a
// dead node showed counts for a while longer: it may have been the only one where we saw them.
func (l *loop) rivals(now time.Time) []string {
	return l.inCompany(now, func(sentinel bool, identity string) bool {
		return sentinel || !l.coord.Shared() || identity != "" && identity != l.cfg.Identity
	})
}

// guests names the Understudies that look after the nodes of this one, which is coordinated, and are not. They promote
// nobody as long as they see it, so they are no reason for it to hold back too.
func (l *loop) guests(now time.Time) []string {
	if l.cfg.Identity == "" {
		return nil
	}
	return l.inCompany(now, func(sentinel bool, identity string) bool { return !sentinel && identity == "" })
}

// inCompany names those in company of this member for whom counts says so; identity is that of a member's cluster.
func (l *loop) inCompany(now time.Time, counts func(sentinel bool, identity string) bool) []string {
	var names []string
	for addr, r := range l.records {
		if l.cfg.Follow || !l.ours(addr) || r.vitality.down && now.Sub(r.company.at) > 2*lookInterval {
			continue
		}
		if r.company.sentinels && counts(true, "") {
			names = append(names, rivalSentinel)
		}
		for _, channel := range r.company.members {
			name, identity, _ := strings.Cut(strings.TrimPrefix(channel, channelPrefix), " ")
			if counts(false, identity) {
				names = append(names, "the Understudy "+name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
