package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/understudy/understudy/proxy/command"
	"github.com/understudy/understudy/resp"
)

const (
	refreshTimeout = 2 * time.Second
	refreshRetry   = 5 * time.Second
	// maxCommandReply bounds a reply to COMMAND; Redis 7 needs 150 KB, a module adds little.
	maxCommandReply = 16 << 20
)

// commandsKnown is whose commands the table has: those of the master of an epoch, with these modules.
type commandsKnown struct {
	epoch   uint64
	run     string // of the master: redis.conf may have changed before it was started again
	modules []byte // replies to whichModules
	told    bool   // in the log, that the master refuses to say what they are
}

// refusedError is what the master says instead of what its commands are, where it is not about to say them soon.
type refusedError struct{ text string }

func (e *refusedError) Error() string { return "it says: " + e.text }

// refusal is reply as an error if it is one: a refusedError unless the master is only not ready yet.
func refusal(reply []byte) error {
	if len(reply) == 0 || reply[0] != '-' {
		return nil
	}
	text := strings.TrimSpace(string(reply[1:]))
	switch string(resp.ErrorCode(reply)) {
	case "LOADING", "BUSY", "MASTERDOWN":
		return errors.New("it says: " + text)
	}
	return &refusedError{text}
}

// whichModules are two small questions whose answers change when a module is loaded or unloaded. The second needs a permission
// that the first does not.
var whichModules = [][]string{{"COMMAND", "COUNT"}, {"MODULE", "LIST"}}

// refreshCommands asks the master for its commands whenever there may be a new one, until ctx ends, so that commands
// of modules and of newer servers are routed by the server's own flags. That is when the master changes, and when it
// has loaded or unloaded a module, which it is asked for every CommandInterval.
func (p *Proxy) refreshCommands(ctx context.Context, stable <-chan struct{}, known *commandsKnown) {
	again := time.NewTicker(p.cfg.CommandInterval)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		case <-stable:
		}
		for !p.learnCommandsOrSay(ctx, known) {
			select {
			case <-ctx.Done():
				return
			case <-stable:
			case <-time.After(refreshRetry):
			}
		}
	}
}

// learnCommandsOrSay is learnCommands that logs what went wrong, and reports whether nothing did.
func (p *Proxy) learnCommandsOrSay(ctx context.Context, known *commandsKnown) bool {
	err := p.learnCommands(ctx, known)
	var refused *refusedError
	switch {
	case err == nil:
		return true
	case errors.As(err, &refused) && !known.told:
		known.told = true
		p.log.Warn("the master does not say what its commands are: names are taken for what they usually are, and others are refused. "+
			"Understudy's user needs COMMAND at every node, under that name", "error", err)
	default:
		p.log.Debug("the master was not asked for its commands; the table of before serves", "error", err)
	}
	return false
}

// learn adds to the table what the master has under a name that it lacks. It may be called from any goroutine.
func (p *Proxy) learn(name, reply []byte) (known bool, err error) {
	for {
		table := p.commands.Load()
		learned, err := table.Learn(name, reply)
		if learned == nil || err != nil {
			return false, err
		}
		if p.commands.CompareAndSwap(table, learned) {
			p.log.Info("the master has a command that was not in the table", "name", string(name), "command", learned.Lookup([][]byte{name}).Name)
			return true, nil
		}
	}
}

// learnCommands replaces the command table by what the master lists, if that may have changed.
func (p *Proxy) learnCommands(ctx context.Context, known *commandsKnown) error {
	state := p.coord.Snapshot().State
	if state == nil {
		return nil
	}
	now := commandsKnown{epoch: state.Epoch, run: state.Master.RunID}
	replies, err := p.askMaster(ctx, state.Master.Addr, whichModules...)
	if err != nil {
		return err
	}
	if now.modules = bytes.Join(replies, nil); now.epoch == known.epoch && now.run == known.run && bytes.Equal(now.modules, known.modules) {
		return nil
	}
	table, renamed, err := p.commandsOf(ctx, state.Master.Addr)
	if err != nil {
		return fmt.Errorf("the commands of %s: %w", state.Master.Addr, err)
	}
	p.commands.Store(table)
	for _, r := range renamed {
		p.log.Warn("the master has another command under the name of one (rename-command); where Understudy itself sends that one, the wrong thing is done",
			"name", r.Name, "command", r.Command, "master", state.Master.Addr)
	}
	*known = now
	return nil
}

// commandsOf asks the node at addr for its commands, and then for what it has under the name of each, which it says to
// nobody who does not ask about that very name.
func (p *Proxy) commandsOf(ctx context.Context, addr string) (*command.Table, []command.Renamed, error) {
	ask := func(args ...string) ([]byte, error) {
		replies, err := p.askMaster(ctx, addr, args)
		if err != nil {
			return nil, err
		}
		return replies[0], refusal(replies[0])
	}
	list, err := ask("COMMAND")
	if err != nil {
		return nil, nil, err
	}
	table, err := p.commands.Load().Refresh(list)
	if err != nil {
		return nil, nil, err
	}
	names := table.Names()
	info, err := ask(slices.Concat([]string{"COMMAND", "INFO"}, names)...)
	if err != nil {
		return nil, nil, err
	}
	return table.Confirm(names, info)
}

// askMaster sends commands to the node at addr over a connection of their own and returns the raw replies.
func (p *Proxy) askMaster(ctx context.Context, addr string, commands ...[]string) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	conn, err := p.cfg.Dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	var request []byte
	due, skip := len(commands), 0
	if p.cfg.Password != "" {
		user := p.cfg.Username
		if user == "" {
			user = "default"
		}
		request = resp.AppendRequestStrings(request, "AUTH", user, p.cfg.Password)
		due, skip = due+1, 1
	}
	for _, args := range commands {
		request = resp.AppendRequestStrings(request, args...)
	}
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	var scanner resp.ReplyScanner
	var replies [][]byte
	var reply []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		for rest := buf[:n]; len(rest) > 0; {
			k, done, err := scanner.Scan(rest)
			if err != nil {
				return nil, err
			}
			reply = append(reply, rest[:k]...)
			rest = rest[k:]
			if len(reply) > maxCommandReply {
				return nil, fmt.Errorf("a reply of %s has more than %d bytes", addr, maxCommandReply)
			}
			if !done {
				continue
			}
			if replies = append(replies, reply); len(replies) == due {
				return replies[skip:], nil
			}
			reply = nil
		}
	}
}
