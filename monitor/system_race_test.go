//go:build race

package monitor

// simRacing says that the race detector is on. It makes a schedule ten times as long, and finds nothing in them that a
// few do not show: a schedule runs in one goroutine.
const simRacing = true
