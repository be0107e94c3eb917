package admin_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/understudy/understudy/proxy/admin"
	"github.com/understudy/understudy/topology"
)

// electorate is a world whose authority and promises the test chooses.
type electorate struct {
	*world
	authority topology.Authority
	watch     func(topology.Authority)
	asked     topology.PromiseRequest
	refusal   error
}

func (e *electorate) Authority() topology.Authority { return e.authority }
func (e *electorate) WatchAuthority(f func(topology.Authority)) (stop func()) {
	e.watch = f
	f(e.authority)
	return func() {}
}
func (e *electorate) Promise(r topology.PromiseRequest) error {
	e.asked = r
	return e.refusal
}

// admin returns an Admin of this world.
func (e *electorate) admin(t *testing.T) *admin.Admin {
	e.world = afterFailover()
	e.Local = newLocal(t)
	a := admin.New(admin.Identity{Version: "v1", Cluster: "shop", ID: "web-1"}, e, e)
	t.Cleanup(a.Close)
	return a
}

func words(text string) (args [][]byte) {
	for word := range strings.FieldsSeq(text) {
		args = append(args, []byte(word))
	}
	return args
}

func TestAPromiseIsAnsweredWithWhoGivesItOrWhyItIsNotGiven(t *testing.T) {
	e := &electorate{}
	a := e.admin(t)
	if got := string(a.Promise(words("proxy promise c0ffee web-2 7 3 6000"))); got != "+PROMISED web-1\r\n" {
		t.Errorf("the answer is %q", got)
	}
	if want := (topology.PromiseRequest{Identity: "c0ffee", ID: "web-2", Version: 7, Epoch: 3, Duration: 6 * time.Second}); e.asked != want {
		t.Errorf("asked was %+v", e.asked)
	}
	e.refusal = errors.New("the moon\r\nis full")
	if got := string(a.Promise(words("PROXY PROMISE c0ffee web-2 7 3 6000"))); got != "-NOPROMISE web-1 the moon  is full\r\n" {
		t.Errorf("the refusal is %q", got)
	}
}

func TestWhoIsNoMemberIsNotToldThatThereArePromises(t *testing.T) {
	e := &electorate{refusal: topology.ErrStranger}
	a := e.admin(t)
	for _, text := range []string{
		"PROXY PROMISE guess web-2 7 3 6000", "PROXY PROMISE", "PROXY PROMISE c0ffee web-2 7 3", "PROXY PROMISE c0ffee web-2 7 3 6000 1",
		"PROXY PROMISE c0ffee web-2 seven 3 6000", "PROXY PROMISE c0ffee web-2 7 -3 6000", "PROXY PROMISE c0ffee web-2 7 3 9999999999", "PROXY INFO",
	} {
		if got := a.Promise(words(text)); got != nil {
			t.Errorf("%s is answered %q", text, got)
		}
	}
	if v := ask(t, a, 2, "PROMISE", "guess", "web-2", "7", "3", "6000"); string(v.Str) != "ERR unknown subcommand 'PROMISE'. Try PROXY HELP." {
		t.Errorf("PROXY PROMISE of a stranger is answered %q", v.Str)
	}
}

func TestInfoAndEventsTellWhatWritesRestOn(t *testing.T) {
	e := &electorate{authority: topology.Authority{Source: topology.Leased, Until: time.Now().Add(time.Hour)}}
	a := e.admin(t)
	check := func(want map[string]string) {
		t.Helper()
		got := lines(t, a.Info())
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s is %q, want %q", key, got[key], value)
			}
		}
	}
	be := func(is topology.Authority) {
		e.authority = is
		e.watch(is)
	}
	check(map[string]string{"grant": "lease", "grant_promised_by": "", "no_failsafe_because": "", "electors": "0", "alarms": "1"})
	be(topology.Authority{Source: topology.Promised, Until: time.Now().Add(time.Hour), By: []string{"web-2", "web-3"}})
	check(map[string]string{"grant": "failsafe", "grant_promised_by": "web-2,web-3"})
	if left := lines(t, a.Info())["grant_remaining_ms"]; len(left) != len("3599999") {
		t.Errorf("an hour remains, and %s ms are told", left)
	}
	be(topology.Authority{Source: topology.NoGrant, Reason: "web-3 did not promise: connection refused", Alarm: "nobody may lead"})
	check(map[string]string{"grant": "none", "grant_remaining_ms": "0", "no_failsafe_because": "web-3 did not promise: connection refused",
		"alarms": "2", "alarm1": "nobody may lead"})
	be(topology.Authority{Source: topology.Leased, Until: time.Now().Add(time.Hour)})
	be(topology.Authority{Source: topology.Promised})
	e.authority = topology.Authority{Source: topology.Endless}
	check(map[string]string{"grant": "alone", "grant_remaining_ms": "-1"})
	var got []string
	for _, event := range nodeMaps(t, ask(t, a, 2, "EVENTS"), '*') {
		if event["kind"] == "grant" {
			got = append(got, event["text"])
		}
	}
	want := []string{
		"writes go on without ZooKeeper: promised by web-2, web-3",
		"nobody may lead",
		"writes stop, because ZooKeeper does not answer: web-3 did not promise: connection refused",
		"ZooKeeper is back, and writes are under a lease",
		"writes go on without ZooKeeper: nobody else may lead",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the events are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAFirstLeaseAfterAWaitIsNoReturnOfZooKeeper(t *testing.T) {
	e := &electorate{authority: topology.Authority{Source: topology.NoGrant}}
	a := e.admin(t)
	e.watch(topology.Authority{Source: topology.Leased, Until: time.Now().Add(time.Hour)})
	list := nodeMaps(t, ask(t, a, 2, "EVENTS"), '*')
	if last := list[len(list)-1]; last["text"] != "writes are under a lease" || last["duration_us"] != "0" {
		t.Errorf("the event is %q and took %s us", last["text"], last["duration_us"])
	}
}
