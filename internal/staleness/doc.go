// Package staleness looks for reads that miss a write which they must see, with real servers behind real proxies and
// replicas that are behind by a delay that is put into their link to the master. It has tests only.
//
// They run with as many reads as fit a test run. To have a million for each delay:
//
//	go test ./internal/staleness -run Delay -reads 1000000 -timeout 1h -v
package staleness
