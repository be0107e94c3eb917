package main

import (
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// silentServer takes connections, reads what is sent, and never answers. It tells when it was sent something.
func silentServer(t *testing.T) (addr string, asked <-chan struct{}) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan struct{}, 1)
	var serving sync.WaitGroup
	t.Cleanup(func() { ln.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				for buf := make([]byte, 1024); ; {
					if _, err := conn.Read(buf); err != nil {
						return // who asked has gone
					}
					select {
					case told <- struct{}{}:
					default:
					}
				}
			})
		}
	})
	return ln.Addr().String(), told
}

func TestACommandThatWaitsForAnAnswerEndsWithTheSignal(t *testing.T) {
	for _, c := range []struct {
		args   []string
		signal syscall.Signal
		status int
		word   string
	}{
		{[]string{"status"}, syscall.SIGINT, 130, "ended by Ctrl-C while waiting for an answer of "},
		{[]string{"status", "--password", "secret"}, syscall.SIGTERM, 143, "ended by SIGTERM while waiting"},
		{[]string{"nodes"}, syscall.SIGTERM, 143, "while waiting"},
		{[]string{"members"}, syscall.SIGINT, 130, "while waiting"},
		{[]string{"events"}, syscall.SIGINT, 130, "while waiting"},
		{[]string{"failover"}, syscall.SIGINT, 130, "it is carried out all the same"},
		{[]string{"pause", "new kernel"}, syscall.SIGTERM, 143, "it is carried out all the same"},
		{[]string{"resume"}, syscall.SIGINT, 130, "it is carried out all the same"},
		{[]string{"check"}, syscall.SIGINT, 130, "ended by Ctrl-C while the nodes were asked"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			addr, asked := silentServer(t)
			env := []string{"UNDERSTUDY_ADDR=" + addr, "UNDERSTUDY_NODES=" + addr}
			p := start(t, env, c.args...)
			select {
			case <-asked:
			case <-time.After(time.Minute):
				t.Fatal("nothing was asked")
			}
			p.signal(c.signal)
			if status := p.exit(); status != c.status {
				t.Errorf("the status is %d, want %d", status, c.status)
			}
			if told := p.err.String(); strings.Count(told, "\n") != 1 || !strings.Contains(told, c.word) {
				t.Errorf("standard error is %q, want one line with %q", told, c.word)
			}
		})
	}
}
