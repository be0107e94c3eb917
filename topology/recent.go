package topology

import "time"

// Change is an unplanned change of master that is remembered in State, so that masters do not follow one another faster
// than an operator would want, whoever leads.
type Change struct {
	From string    `json:"from"` // the address of the master that was given up
	At   time.Time `json:"at"`   // when another one was in place, by the clock of the leader
}
