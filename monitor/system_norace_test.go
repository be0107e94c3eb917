//go:build !race

package monitor

const simRacing = false
