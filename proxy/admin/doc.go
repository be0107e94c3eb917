// Package admin answers what an operator asks the proxy over the clients' own connections: INFO understudy and PROXY.
//
// [Admin] implements session.Admin, so its methods run on event loops and never wait: the State comes from the
// coordinator's memory, what is known of the nodes from the monitor's last report, and what was counted from copies
// that the loops leave behind now and then. The package declares the little that it needs of each of them, because
// neither the monitor nor the proxy is below it.
package admin
