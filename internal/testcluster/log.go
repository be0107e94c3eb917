package testcluster

import (
	"bytes"
	"os"
	"strings"
)

// logTail gives the last lines of a log file, for messages about a server that failed.
func logTail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	all := strings.Split(string(bytes.TrimRight(text, "\n")), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}

func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0 // not written yet
	}
	return info.Size()
}

// fileFrom reads a file from an offset on, as far as it can be read.
func fileFrom(path string, offset int64) string {
	text, err := os.ReadFile(path)
	if err != nil || int64(len(text)) < offset {
		return ""
	}
	return string(text[offset:])
}
