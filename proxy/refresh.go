package proxy

import (
	"context"
	"fmt"
	"time"

	"github.com/understudy/understudy/resp"
)

const (
	refreshTimeout = 2 * time.Second
	refreshRetry   = 5 * time.Second
	// maxCommandReply bounds a reply to COMMAND; Redis 7 needs 150 KB, a module adds little.
	maxCommandReply = 16 << 20
)

// refreshCommands asks the master for its commands whenever there may be a new one, until ctx ends, so that commands
// of modules and of newer servers are routed by the server's own flags.
func (p *Proxy) refreshCommands(ctx context.Context, stable <-chan struct{}) {
	asked := uint64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-stable:
		}
		for {
			state := p.coord.Snapshot().State
			if state == nil || state.Epoch == asked {
				break
			}
			err := p.askCommands(ctx, state.Master.Addr)
			if err == nil {
				asked = state.Epoch
				break
			}
			p.log.Debug("the master was not asked for its commands; the built-in table serves", "node", state.Master.Addr, "error", err)
			select {
			case <-ctx.Done():
				return
			case <-stable:
			case <-time.After(refreshRetry):
			}
		}
	}
}

// askCommands replaces the command table by what the node at addr lists.
func (p *Proxy) askCommands(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	conn, err := p.cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	var request []byte
	skip := 0
	if p.cfg.Password != "" {
		user := p.cfg.Username
		if user == "" {
			user = "default"
		}
		request = resp.AppendRequestStrings(request, "AUTH", user, p.cfg.Password)
		skip = 1
	}
	request = resp.AppendRequestStrings(request, "COMMAND")
	if _, err := conn.Write(request); err != nil {
		return err
	}
	var scanner resp.ReplyScanner
	var reply []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		for rest := buf[:n]; len(rest) > 0; {
			k, done, err := scanner.Scan(rest)
			if err != nil {
				return err
			}
			reply = append(reply, rest[:k]...)
			rest = rest[k:]
			if len(reply) > maxCommandReply {
				return fmt.Errorf("the reply to COMMAND has more than %d bytes", maxCommandReply)
			}
			if !done {
				continue
			}
			if skip > 0 {
				skip, reply = skip-1, nil
				continue
			}
			table, err := p.commands.Load().Refresh(reply)
			if err != nil {
				return err
			}
			p.commands.Store(table)
			return nil
		}
	}
}
