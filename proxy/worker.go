package proxy

import (
	"fmt"
	"time"

	"github.com/understudy/understudy/internal/bytelog"
	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/proxy/eventloop"
	"github.com/understudy/understudy/proxy/pubsub"
	"github.com/understudy/understudy/proxy/session"
	"github.com/understudy/understudy/proxy/upstream"
)

// tendInterval is how often idle clients and connections are looked after.
const tendInterval = time.Second

var tooManyClients = []byte("-ERR max number of clients reached\r\n")

// worker is one event loop with its clients and its connections to nodes.
type worker struct {
	proxy *Proxy
	index int
	loop  eventloop.Loop
	pool  *upstream.Pool
	env   *session.Env
	stops []func() // of accepting
}

func newWorker(p *Proxy, index int) (*worker, error) {
	loop, err := eventloop.New()
	if err != nil {
		return nil, err
	}
	w := &worker{proxy: p, index: index, loop: loop}
	bytes := &bytelog.Pool{}
	commands := func() *command.Table { return p.commands.Load() }
	fresh := p.freshness.NewLoop(commands)
	w.pool = upstream.NewPool(upstream.Config{
		ClientName:   p.cfg.ClientName,
		Dial:         p.cfg.Dial,
		Username:     p.cfg.Username,
		Password:     p.cfg.Password,
		DrainTimeout: p.cfg.DrainTimeout,
		Freshness:    fresh,
		Weights:      p.cfg.Weights,
		Near:         p.cfg.near(),
		WriteAcks:    p.cfg.WriteAcks,
		PushLimit:    p.cfg.OutputLimit, // who gets it could not be given more
		Suspect:      p.coord.Suspect,
		Lease:        p.coord.Lease,
		Gate:         &p.gate,
		Fenced:       func(epoch uint64) { p.fences.done(index, len(p.workers), epoch) },
	}, loop, p.coord, bytes, p.log)
	w.env = &session.Env{
		Loop:  loop,
		Pool:  w.pool,
		Bytes: bytes,
		Config: &session.Config{
			HoldTimeout:    p.cfg.HoldTimeout,
			Policy:         p.cfg.Consistency,
			MaxStaleness:   p.cfg.MaxStaleness,
			MaxCatchUp:     p.cfg.MaxCatchUp,
			IdleTimeout:    p.cfg.IdleTimeout,
			CloseAmbiguous: p.cfg.CloseAmbiguous,
			InputLimit:     p.cfg.InputLimit,
			OutputLimit:    p.cfg.OutputLimit,
			Push:           p.cfg.Push,
			Users:          p.cfg.Users,
			AllowDebug:     p.cfg.AllowDebug,

			WriteAcks: p.cfg.WriteAcks, WriteAcksTimeout: p.cfg.WriteAcksTimeout,
		},
		Freshness: fresh,
		Commands:  commands,
		Learn:     p.learn,
		Directory: directory{p},
		Admin:     p.admin,
		Peers:     p.cfg.Peers,
		Scripts:   &p.scripts,
		Pause:     &p.pause,
		Sessions:  map[*session.Session]struct{}{},
		Hubs:      pubsub.NewHubs(w.pool, loop.Now),
		Alone:     p.alone,
		Closed:    func(s *session.Session, reason session.CloseReason) { p.closed(s, reason, loop.Now()) },
	}
	w.env.Touches = upstream.NewTouches(w.pool, p.cfg.TouchRate)
	if index == 0 {
		upstream.NewSampler(w.pool, p.cfg.SampleInterval, p.cfg.MaxClockSkew)
	}
	return w, nil
}

// run serves until the loop is stopped.
func (w *worker) run() error {
	for i, ln := range w.proxy.listeners {
		policy := w.proxy.cfg.Listen[i].Policy
		stop, err := w.loop.Listen(ln, func(c eventloop.Conn) eventloop.Handler { return w.open(c, policy) })
		if err != nil {
			return err
		}
		w.stops = append(w.stops, stop)
	}
	w.loop.After(tendInterval, w.tend)
	return w.loop.Run()
}

// open gives a new client its session.
func (w *worker) open(c eventloop.Conn, policy session.Policy) eventloop.Handler {
	p := w.proxy
	if p.clients.Add(1) > int64(p.cfg.MaxClients) {
		p.clients.Add(-1)
		p.refused.Add(1)
		p.complaints.about(w.loop.Now(), "a client was refused: there are as many as maxclients allows", fmt.Sprint(c.RemoteAddr()), "maxclients", p.cfg.MaxClients)
		c.Write(tooManyClients) // it fits an empty socket buffer; a client that has gone misses nothing
		return nil
	}
	return session.New(w.env, c, p.lastID.Add(1), policy)
}

func (w *worker) stopAccepting() {
	for _, stop := range w.stops {
		stop()
	}
	w.stops = nil
}

func (w *worker) drain() {
	for s := range w.env.Sessions {
		s.Drain()
	}
}

func (w *worker) tend() {
	now := w.loop.Now()
	for s := range w.env.Sessions {
		s.Tick(now)
	}
	w.env.Hubs.Tend()
	w.pool.Tend()
	w.loop.After(tendInterval, w.tend)
}
