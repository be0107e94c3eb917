package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// machine is where a report comes from.
type machine struct {
	cores    int
	model    string // of the processor, with "virtual machine" where it is known to be one
	kernel   string
	versions []string // "Redis 7.0.15"
}

// describeMachine finds out what it can; what it cannot find out is not named.
func describeMachine(ctx context.Context) machine {
	m := machine{cores: runtime.NumCPU(), model: runtime.GOARCH, kernel: runtime.GOOS}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if found := regexp.MustCompile(`(?m)^model name\s*:\s*(.+)$`).FindSubmatch(text); found != nil {
			m.model = strings.TrimSpace(string(found[1]))
		}
		if regexp.MustCompile(`(?m)^flags\s*:.*\bhypervisor\b`).Match(text) {
			m.model += ", virtual machine"
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.kernel = "Linux " + strings.TrimSpace(string(text))
	}
	for _, p := range []struct{ name, program, option string }{
		{"Redis", "redis-server", "--version"}, {"HAProxy", "haproxy", "-v"}, {"twemproxy", "nutcracker", "-V"},
	} {
		out, err := exec.CommandContext(ctx, p.program, p.option).CombinedOutput()
		version := regexp.MustCompile(`\d+\.\d+\.\d+`).Find(out)
		if err == nil && version != nil {
			m.versions = append(m.versions, p.name+" "+string(version))
		}
	}
	m.versions = append(m.versions, "Go "+strings.TrimPrefix(runtime.Version(), "go"))
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("%d cores (%s), everything on loopback; %s; %s", m.cores, m.model, m.kernel, strings.Join(m.versions, ", "))
}
