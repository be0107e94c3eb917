package main

import (
	"fmt"
	"runtime/debug"
)

// version is set by the linker; see the Makefile.
var version = ""

// versionText is the version of this program: the linker's, else the one that "go install" knows.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(s *streams) error {
	_, err := fmt.Fprintln(s.out, "understudy "+versionText())
	return err
}
