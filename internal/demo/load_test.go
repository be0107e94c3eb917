package demo

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// answers is a connection that gives prepared replies.
type answers struct {
	redis.Conn
	replies []any // int64 or error
}

func (a *answers) Do(string, ...any) (any, error) {
	next := a.replies[0]
	a.replies = a.replies[1:]
	if err, ok := next.(error); ok {
		return nil, err
	}
	return next, nil
}

func TestACounterKnowsWhatWasLostAndWhatWasAppliedTwice(t *testing.T) {
	unknown := redis.Error("UNKNOWNRESULT connection to the master was lost after the command was sent")
	refused := redis.Error("MASTERDOWN no master was available")
	for name, c := range map[string]struct {
		replies     []any
		lost, twice uint64
	}{
		"one after the other":                  {replies: []any{int64(1), int64(2), int64(3)}},
		"an old value to begin with":           {replies: []any{int64(41), int64(42)}},
		"a refused one counts nothing":         {replies: []any{int64(1), refused, int64(2)}},
		"a refused one that was applied":       {replies: []any{int64(1), refused, int64(3)}, twice: 1},
		"an unknown one was applied":           {replies: []any{int64(1), unknown, int64(3)}},
		"an unknown one was not applied":       {replies: []any{int64(1), unknown, int64(2)}},
		"an unknown one was applied twice":     {replies: []any{int64(1), unknown, int64(4)}, twice: 1},
		"a lost connection is an unknown one":  {replies: []any{int64(1), io.EOF, io.EOF, int64(4)}},
		"answered and gone":                    {replies: []any{int64(1), int64(2), int64(3), int64(2), int64(3)}, lost: 2},
		"gone behind an unknown one":           {replies: []any{int64(5), unknown, int64(3)}, lost: 3},
		"what was unknown once is known later": {replies: []any{int64(1), unknown, int64(2), int64(4)}, twice: 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := &load{}
			counter := &counter{load: l, key: "k"}
			conn := &answers{replies: c.replies}
			for len(conn.replies) > 0 {
				want, isError := conn.replies[0].(error)
				if err := counter.increment(conn); isError != (err != nil) || !errors.Is(err, want) {
					t.Fatalf("increment returns %v", err)
				}
			}
			if got := l.counts(); got.lost != c.lost || got.twice != c.twice {
				t.Errorf("lost %d, twice %d; want %d and %d", got.lost, got.twice, c.lost, c.twice)
			}
		})
	}
}

func TestErrorsAreToldFromUnknownResults(t *testing.T) {
	l := &load{}
	l.failed(redis.Error("UNKNOWNRESULT x"))
	l.failed(redis.Error("ERR y"))
	l.failed(io.EOF)
	if got := l.counts(); got.unknown != 1 || got.errors != 2 || got.last != "EOF" {
		t.Errorf("counted %+v", got)
	}
}

func TestTheLongestPauseIsThatOfRequestsUnderWayInTheMeantime(t *testing.T) {
	l := &load{}
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	l.took(pause{at(0), 5 * time.Second})
	l.took(pause{at(10), 2 * time.Second})
	l.took(pause{at(10), time.Microsecond})
	l.took(pause{at(20), 9 * time.Second})
	if got := l.longest(at(11), at(13)); got != 2*time.Second {
		t.Errorf("longest from 11 to 13 is %v", got)
	}
	if got := l.longest(at(6), at(9)); got != 0 {
		t.Errorf("longest while nothing slow was under way is %v", got)
	}
	if got := l.takeLongest(); got != 9*time.Second {
		t.Errorf("longest of all is %v", got)
	}
	if got := l.takeLongest(); got != 0 {
		t.Errorf("longest since then is %v", got)
	}
}

func TestOnlyTheLatestSlowRequestsAreRemembered(t *testing.T) {
	l := &load{}
	for i := range 3 * slowest {
		l.took(pause{time.Unix(int64(i), 0), slow})
	}
	if len(l.slow) > slowest {
		t.Errorf("%d are remembered", len(l.slow))
	}
	if last := l.slow[len(l.slow)-1].began.Unix(); last != 3*slowest-1 {
		t.Errorf("the last one remembered is %d", last)
	}
}

func TestAConnectionThatEndsWithItsUnderstudyIsNoErrorWhereThereIsAnother(t *testing.T) {
	for addrs, want := range map[string]counts{
		"a:1":     {errors: 1},
		"a:1 b:1": {moved: 1, unknown: 1},
	} {
		l := &load{addrs: strings.Fields(addrs)}
		if err := (&counter{load: l, key: "k"}).increment(&answers{replies: []any{io.EOF}}); err != io.EOF {
			t.Fatalf("increment returns %v", err)
		}
		l.lostConnection(io.EOF)
		got := l.counts()
		if got.last = ""; got != want {
			t.Errorf("with %s: %+v, want %+v", addrs, got, want)
		}
	}
}
