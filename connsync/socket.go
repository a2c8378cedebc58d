package connsync

import (
	"errors"
	"net/netip"
	"time"

	"dirsw/clock"
)

// Endpoint is where messages go to and come from: a multicast group on one interface. Receivers ignore TTL.
type Endpoint struct {
	Interface string
	Group     netip.Addr
	Port      uint16
	TTL       int
	Buffer    int // of the socket, bytes; 0: the system's
}

// Conn is an open socket of an Endpoint. Send and Receive may wait; Close, from another goroutine, ends that with an error.
type Conn interface {
	Send(msg []byte) error
	// Receive fills buf with a datagram. One that is longer than buf is cut.
	Receive(buf []byte) (n int, from netip.Addr, err error)
	// Check returns an error if the socket has to be opened again, because its interface is another one than then.
	Check() error
	Close() error
}

// Sockets opens sockets. What it returns is used by one Master or Backup.
type Sockets interface {
	OpenSender(Endpoint) (Conn, error)
	OpenReceiver(Endpoint) (Conn, error)
}

const (
	// DefaultPort and defaults of the kernel (IP_VS_SYNC_PORT, IP_VS_SYNC_GROUP).
	DefaultPort = 8848

	reopenAfter = time.Second // after a socket failed
)

// errGone is what a socket that is not there fails with.
var errGone = errors.New("there is no socket")

// pause waits for d, or until done is closed, which it reports.
func pause(c clock.Clock, d time.Duration, done <-chan struct{}) (ended bool) {
	over := make(chan struct{})
	t := c.AfterFunc(d, func() { close(over) })
	defer t.Stop()
	select {
	case <-over:
		return false
	case <-done:
		return true
	}
}
