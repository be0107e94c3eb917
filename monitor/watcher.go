package monitor

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// probePause is the time between fresh connections to a node that is in doubt: long enough for a server that is just
// being replaced to take over the port, short against everything a client notices.
const probePause = 3 * time.Millisecond

// restlessPause is the time between two INFO of a node that is changing its part.
const restlessPause = 10 * time.Millisecond

// longestPause is the time between attempts at a node that has been down for long.
const longestPause = time.Second

// report is what a watcher tells the loop: an observation, and with some of them what the node said of itself, or why
// it would not say.
type report struct {
	from *watcher
	observation
	info    *info
	latency time.Duration
	err     error // an error reply: the node lives but does not let us in
	asked   bool  // err, if there is one, is the answer to INFO
	lost    error // why a watch connection that was up ended
	company *company
	hello   *hello
}

// watcher watches one node with three goroutines of its own: one waits on the watch connection, one asks for INFO in
// intervals, and one opens fresh connections while there is doubt.
type watcher struct {
	addr     string
	dialer   *dialer
	cfg      *Config
	control  *control
	reports  chan<- report
	stops    *stops
	restless atomic.Bool // ask more often: something is changing
	witness  atomic.Bool // ask more often: it may know whether the master lives

	doubts    chan struct{} // there is reason to probe
	polls     chan struct{} // ask now
	recovered chan struct{} // the node answers again: reconnect
	looked    time.Time     // when poll looks for company next
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// watch begins to watch addr until ctx ends or close is called.
func watch(ctx context.Context, cfg *Config, d *dialer, addr string, reports chan<- report, stops *stops) *watcher {
	ctx, stop := context.WithCancel(ctx)
	w := &watcher{
		addr: addr, dialer: d, cfg: cfg, reports: reports, stops: stops, stop: stop,
		control:   newControl(ctx, d, addr),
		doubts:    make(chan struct{}, 1),
		polls:     make(chan struct{}, 1),
		recovered: make(chan struct{}, 1),
	}
	w.running.Go(func() { w.wait(ctx) })
	w.running.Go(func() { w.poll(ctx) })
	w.running.Go(func() { w.probe(ctx) })
	return w
}

// close ends watching and waits for it. Reports that are under way when ctx of watch ended are dropped.
func (w *watcher) close() {
	w.stop()
	w.running.Wait()
	w.control.close()
}

// doubt asks for fresh connections now.
func (w *watcher) doubt() { poke(w.doubts) }

// ask asks for INFO now.
func (w *watcher) ask() { poke(w.polls) }

// replyLimit is how long a reply may take before the silence is reported; the verdict is vitality's.
func (w *watcher) replyLimit() time.Duration { return max(w.cfg.DownAfter/2, 5*time.Millisecond) }

func (w *watcher) tell(ctx context.Context, r report) {
	r.from = w
	if r.at.IsZero() {
		r.at = time.Now()
	}
	select {
	case w.reports <- r:
	case <-ctx.Done():
	}
}

// wait keeps a watch connection open. It sits in a read, so it knows of the connection's end as soon as the kernel
// does; a subscription keeps the server's idle timeout away, and works on replicas.
func (w *watcher) wait(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		connected, err := w.subscribed(ctx)
		if ctx.Err() != nil {
			return
		}
		if diagnose(err) == answered {
			w.tell(ctx, report{observation: observation{sign: signLife, began: began}, err: err})
		} else {
			r := report{observation: observation{sign: signLost, began: began}}
			if connected {
				r.lost = err
			}
			w.tell(ctx, r)
			w.doubt()
		}
		select {
		case <-ctx.Done():
		case <-w.recovered:
		case <-time.After(longestPause):
		}
	}
}

// subscribed holds one watch connection until it is lost, and returns why and whether it was ever up.
func (w *watcher) subscribed(ctx context.Context) (connected bool, err error) {
	l, err := w.dialer.openLink(ctx, w.addr, w.replyLimit())
	if err != nil {
		return false, err
	}
	defer l.Close()
	if err := l.Send("SUBSCRIBE", w.cfg.channels()...); err != nil {
		return false, err
	}
	if w.cfg.Follow {
		if err := l.Send("PSUBSCRIBE", sentinelPattern); err != nil {
			return false, err
		}
	}
	if err := l.Flush(); err != nil {
		return false, err
	}
	beating, stop := context.WithCancel(ctx)
	var heard atomic.Bool
	heard.Store(true) // it has just been introduced
	var beats sync.WaitGroup
	defer beats.Wait()
	defer stop()
	beats.Go(func() { w.beat(beating, l, &heard) })
	for {
		// Judging silence is left to the probes. The limit here only replaces a connection that died without a word.
		began := time.Now()
		message, err := l.receive(2 * w.cfg.StallAfter)
		if diagnose(err) != answered {
			return connected, err
		}
		connected = true
		heard.Store(true)
		// An error is an answer: a user who may not subscribe still has a connection to wait on.
		life := report{observation: observation{sign: signLife, began: began}}
		if h, told := parseHello(message, time.Now()); told {
			life.hello = &h
		}
		w.tell(ctx, life)
	}
}

// beat sends heartbeats until ctx ends or one cannot be sent, which the reader notices as well. The reader sets heard
// with everything it receives. When a heartbeat is followed by nothing until the next, that is silence since the first:
// without it a node that hangs would be missed only by the next INFO, up to ProbeInterval later.
func (w *watcher) beat(ctx context.Context, l *link, heard *atomic.Bool) {
	tick := time.NewTicker(w.replyLimit())
	defer tick.Stop()
	var sent time.Time // the last heartbeat; zero when there was none, or its silence is told
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		switch {
		case heard.Swap(false):
			sent = now
		case !sent.IsZero() && w.stops.spoiled(sent, now):
			sent = now // the answer may be waiting to be read
		case !sent.IsZero():
			w.tell(ctx, report{observation: observation{sign: signSilence, began: sent, at: now}})
			w.doubt()
			sent = time.Time{}
		}
		if l.Send("PING") != nil || l.Flush() != nil {
			return
		}
	}
}

// poll asks for INFO in intervals, over the control connection.
func (w *watcher) poll(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		n, latency, err := w.control.info(ctx, w.replyLimit())
		pause := w.cfg.ProbeInterval
		if w.restless.Load() {
			pause = min(pause, restlessPause)
		} else if w.witness.Load() {
			pause = min(pause, max(w.cfg.DownAfter/witnessLooks, restlessPause))
		} else if w.cfg.Follow {
			pause = min(pause, followPause)
		}
		o := observation{began: began, at: time.Now()}
		switch diagnose(err) {
		case answered:
			o.sign = signLife
			r := report{observation: o, err: err, asked: true, latency: latency}
			if err == nil {
				r.info = &n
			} else {
				pause = w.cfg.ProbeInterval
			}
			w.tell(ctx, r)
			if err == nil {
				w.lookAround(ctx)
			}
		case silent:
			if pause = longestPause; w.stops.spoiled(began, o.at) {
				pause = restlessPause
			} else {
				o.sign = signSilence
				w.tell(ctx, report{observation: o})
			}
			w.doubt()
		case refused:
			// It may be no more than an old connection that was closed: the probes find out.
			w.doubt()
			pause = longestPause
		case local:
			pause = longestPause
		}
		select {
		case <-ctx.Done():
		case <-w.polls:
		case <-time.After(pause):
		}
	}
}

// probe opens fresh connections while there is doubt, until one is answered.
func (w *watcher) probe(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.doubts:
		}
		failures := 0
		for ctx.Err() == nil && !w.alive(ctx) {
			failures++
			pause := probePause
			if failures >= w.cfg.MaxFailures {
				// Its verdict is in; from now on this is waiting for its return.
				pause = min(w.cfg.ProbeInterval*time.Duration(1+(failures-w.cfg.MaxFailures)/10), longestPause)
			}
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
		}
		w.ask()
		poke(w.recovered)
	}
}

// alive opens one fresh connection and reports whether anything at all was answered on it. That nothing was is an observation
// only if this process ran meanwhile: when it was stopped for longer than an attempt may take, or a server waits for its
// clients, everything has failed when it goes on.
func (w *watcher) alive(ctx context.Context) bool {
	began := time.Now()
	seen := func(s sign, reason string) {
		w.tell(ctx, report{observation: observation{sign: s, began: began, reason: reason}})
	}
	failed := func(s sign, reason string) {
		if !w.stops.spoiled(began, time.Now()) {
			seen(s, reason)
		}
	}
	conn, err := w.dialer.connect(ctx, w.addr, w.replyLimit())
	if err == nil {
		seen(signAccept, "")
		// A server in a long script answers when it is through: wait on this connection rather than adding to its
		// queue of new ones.
		l := newLink(ctx, conn, w.cfg.StallAfter)
		_, err = l.Do("PING")
		l.Close()
		if diagnose(err) == silent {
			failed(signSilence, "")
			return false
		}
	}
	switch diagnose(err) {
	case answered:
		seen(signLife, "")
		return true
	case refused:
		failed(signRefusal, brief(err))
	case silent:
		failed(signTimeout, "")
	}
	return false
}

// poke leaves one token in c, which has room for one.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
