package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/understudy/understudy/proxy/admin"
)

const (
	// requestTimeout bounds everything about one request: whoever asks over HTTP is a scraper, a supervisor or a person.
	requestTimeout = 10 * time.Second
	// closeTimeout is how long Close waits for answers that are under way.
	closeTimeout = time.Second
)

// Source tells what is shown. *admin.Admin implements it. Overview must not block.
type Source interface {
	Overview() admin.Overview
}

// Server answers HTTP. Make one with Listen.
type Server struct {
	listener net.Listener
	server   http.Server
	log      *slog.Logger
	source   atomic.Pointer[Source]
	draining atomic.Bool
	serving  sync.WaitGroup
}

// Listen opens addr (host:port) and answers there until Close: /livez at once, the rest from Show on.
func Listen(addr string, log *slog.Logger) (*Server, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	s := &Server{listener: ln, log: log}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", s.live)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /{$}", s.page)
	s.server = http.Server{
		Handler: mux, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	s.serving.Go(func() {
		if err := s.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("HTTP is not served any more", "error", err)
		}
	})
	return s, nil
}

// Addr returns the address listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Show begins to show what source tells.
func (s *Server) Show(source Source) { s.source.Store(&source) }

// Drain makes /readyz say no: the process is about to end.
func (s *Server) Drain() { s.draining.Store(true) }

// Close answers what was asked, for a second at most, and ends.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.server.Close()
	}
	s.serving.Wait()
	return err
}

// overview returns what there is to show, if there is anything yet.
func (s *Server) overview() (admin.Overview, bool) {
	source := s.source.Load()
	if source == nil {
		return admin.Overview{}, false
	}
	return (*source).Overview(), true
}

func (s *Server) live(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") }

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	o, known := s.overview()
	switch {
	case s.draining.Load():
		say(w, http.StatusServiceUnavailable, "this process is about to end")
	case !known || o.State == nil:
		say(w, http.StatusServiceUnavailable, "no master is known yet")
	case o.Authority.Namesake != "": // its clients could not write for as long as that is so
		say(w, http.StatusServiceUnavailable, o.Authority.Namesake)
	default:
		say(w, http.StatusOK, "ok")
	}
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n") // who has gone misses nothing
}
