// Package web serves HTTP for machines that watch and people who look: /metrics for Prometheus, /livez and /readyz for
// a supervisor, and a page at /.
//
// /livez says that this process answers, and nothing about servers: a supervisor that restarts a proxy because its
// master is down takes the clients' connections away in the very moment when they need holding. /readyz says whether it
// is worth sending clients here: a master is known, and the process is not about to end.
//
// Nothing can be changed over HTTP.
package web
