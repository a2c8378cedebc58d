// Package host asks the kernel of this machine for what forwarding depends on: links, routes, neighbours and addresses,
// and tells it what must be said on the wire: address announcements. For virtual routers it sends and receives
// advertisements, and holds their addresses, routes, rules and links.
//
// The kernel stays the authority. Host caches nothing, so an answer is as new as the question; Watch says when
// asking again would give another answer. Its methods may be called from any goroutine. VRRP belongs to one thread, and
// knows links by the kernel's news, so that it waits for no answer; Holdings and VMACs remember what they set, to take
// it away again. All of them always speak of the network namespace in which Open was called.
package host
