package web

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/understudy/understudy/proxy/admin"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"since": func(t time.Time) string {
		if t.IsZero() {
			return "–"
		}
		return time.Since(t).Round(time.Second).String()
	},
	"short": func(d time.Duration) string {
		if d == 0 {
			return "–"
		}
		return d.Round(10 * time.Microsecond).String()
	},
	"bytes": func(n int64) string {
		switch {
		case n < 1<<10:
			return fmt.Sprintf("%d B", n)
		case n < 1<<20:
			return fmt.Sprintf("%.1f KB", float64(n)/(1<<10))
		}
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	},
	"newest": func(all []admin.Failover) []admin.Failover {
		reversed := make([]admin.Failover, 0, len(all))
		for i := len(all) - 1; i >= 0; i-- {
			reversed = append(reversed, all[i])
		}
		return reversed
	},
}).Parse(pageText))

// page answers /. It is made whole before anything of it is sent.
func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	o, known := s.overview()
	if !known || o.State == nil {
		say(w, http.StatusServiceUnavailable, "no master is known yet")
		return
	}
	var b bytes.Buffer
	if err := page.Execute(&b, o); err != nil {
		s.log.Error("the status page could not be made", "error", err)
		say(w, http.StatusInternalServerError, "the status page could not be made; the log says why")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.Write(b.Bytes()) // who has gone misses nothing
}
