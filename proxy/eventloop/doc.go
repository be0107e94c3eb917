// Package eventloop moves bytes between sockets and handlers on one goroutine, and knows nothing of Redis.
//
// A [Loop] owns its connections: every [Handler] method, every timer and every posted function runs on the loop's own
// goroutine, one after the other, so that what the handlers share needs no lock. A turn of the loop reads everything
// that is ready, hands it to the handlers, and only then lets those that asked for it ([Conn.Flush]) write, each
// once. That is where the speed comes from: most of a proxy's CPU goes into system calls, and a turn makes one
// read and one write per connection however many requests and replies they carry (docs/data-path.md has the figures).
//
// There are two drivers behind the one interface. The epoll driver ([NewEpoll], Linux) is the fast one. The net driver
// ([NewNet]) keeps a reading and a writing goroutine per net.Conn and serves everything else: TLS connections and
// systems without epoll.
package eventloop
