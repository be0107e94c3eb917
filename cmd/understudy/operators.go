package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/understudy/understudy/internal/port"
	"github.com/understudy/understudy/proxy/admin"
	"github.com/understudy/understudy/proxy/admin/console"
	"github.com/understudy/understudy/proxy/admin/web"
)

// operators is what serves operators beside the clients' own port: the admin port and HTTP, where they are asked for.
type operators struct {
	options *options
	log     *slog.Logger
	web     *web.Server     // nil: not asked for
	console *console.Server // nil: not asked for, or there is nothing to tell yet
}

// openOperators begins to answer over HTTP, /livez at once. ctx ends when the process is told to stop.
func openOperators(ctx context.Context, o *options, log *slog.Logger) (*operators, error) {
	p := &operators{options: o, log: log}
	if o.HTTP == "" {
		return p, nil
	}
	var err error
	if p.web, err = web.Listen(o.HTTP, log); err != nil {
		return nil, explainListen(listenError{err}, "--http")
	}
	context.AfterFunc(ctx, p.web.Drain)
	return p, nil
}

// answer opens the admin port.
func (p *operators) answer(a *admin.Admin) (err error) {
	if p.options.Admin == "" {
		return nil
	}
	if p.console, err = console.Listen(p.options.Admin, p.options.AdminPassword, a, p.log); err != nil {
		return explainListen(listenError{err}, "--admin")
	}
	return nil
}

// show has what a knows shown over HTTP: clients can be served from now on.
func (p *operators) show(a *admin.Admin) {
	if p.web != nil {
		p.web.Show(a)
	}
}

// addresses are those listened on, for the log.
func (p *operators) addresses() (attrs []any) {
	if p.console != nil {
		attrs = append(attrs, "admin", p.console.Addr().String())
	}
	if p.web != nil {
		attrs = append(attrs, "http", p.web.Addr().String())
	}
	return attrs
}

func (p *operators) close() error {
	var errs []error
	if p.console != nil {
		errs = append(errs, p.console.Close())
	}
	if p.web != nil {
		errs = append(errs, p.web.Close())
	}
	return errors.Join(errs...)
}

// validateOperators says what is wrong with the options about operators.
func (o *options) validateOperators() error {
	var errs []error
	for option, addr := range map[string]string{"admin": o.Admin, "http": o.HTTP} {
		if _, ok := port.Of(addr); addr != "" && !ok {
			errs = append(errs, fmt.Errorf("%s is %q: it must be host:port or :port, with a port up to 65535", option, addr))
		}
	}
	host, _, err := net.SplitHostPort(o.Admin)
	if err == nil && o.AdminPassword == "" && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		errs = append(errs, fmt.Errorf("admin is %q: whoever reaches it can change the master, so it needs admin-password, or an address of this machine alone such as 127.0.0.1:6390", o.Admin))
	}
	if o.Admin == "" && o.AdminPassword != "" {
		errs = append(errs, errors.New("admin-password is given: it is of no use without admin, the address it protects"))
	}
	return errors.Join(errs...)
}
