package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// interrupted ends a command that only asks and was told to stop before it had its answer.
type interrupted struct {
	signal syscall.Signal
	during string // what it was doing; "" as the cause of a context
}

func (i interrupted) Error() string {
	name := i.signal.String()
	switch i.signal {
	case syscall.SIGINT:
		name = "Ctrl-C"
	case syscall.SIGTERM:
		name = "SIGTERM"
	}
	return fmt.Sprintf("ended by %s %s", name, i.during)
}

// status is what shells report of a program that a signal ended.
func (i interrupted) status() int { return 128 + int(i.signal) }

// untilSignal returns a context that ends with the first SIGTERM or SIGINT. A second one ends the process at once, should
// ending it in order take too long.
func untilSignal() (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		select {
		case s := <-signals:
			signal.Stop(signals)
			sig, _ := s.(syscall.Signal)
			cancel(interrupted{signal: sig})
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

// interruption returns err, or, if a signal has ended ctx, what says so: err is only a consequence then.
func interruption(ctx context.Context, err error, during string) error {
	var i interrupted
	if err == nil || !errors.As(context.Cause(ctx), &i) {
		return err
	}
	i.during = during
	return i
}
