// Package host asks the kernel of this machine for what forwarding depends on: links, routes, neighbours and addresses,
// and tells it what must be said on the wire: address announcements.
//
// The kernel stays the authority. Nothing is cached here, so an answer is as new as the question; Watch says when
// asking again would give another answer. All methods may be called from any goroutine, and always speak of the network
// namespace in which Open was called.
package host
