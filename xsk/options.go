package xsk

import (
	"dirsw/forward"
	"dirsw/packet"
)

// Mode is where the filter runs.
type Mode uint8

// The modes. Auto takes native and falls back to generic.
const (
	Auto Mode = iota
	Native
	Generic
)

// ZeroCopy is whether the driver works on our frames in place.
type ZeroCopy uint8

// The choices. ZeroCopyAuto takes it where the driver offers it.
const (
	ZeroCopyAuto ZeroCopy = iota
	ZeroCopyOn
	ZeroCopyOff
)

// Options is what a Set is opened with. Ports must not be empty; the zero values of the others work.
type Options struct {
	Ports    []PortOptions // at most 256; the place of a port is its index in every Lane
	Workers  int           // 0 stands for 1. Worker w serves the queues k with k mod Workers = w
	Queues   int           // of each port; 0: all it has
	Mode     Mode
	ZeroCopy ZeroCopy
	BusyPoll bool // ask the driver to poll on our system calls instead of interrupts, where it can
	Replace  bool // displace a foreign XDP program
	RingSize int  // descriptors in each ring, a power of two; 0: chosen by the number of queues
}

// PortOptions describes an interface as the kernel knows it at this moment.
type PortOptions struct {
	Name       string
	Index      int
	MAC        packet.MAC
	MTU        int  // bytes of the IP packet
	Queues     int  // receive queues that it has
	Receive    bool // attach the filter and receive; otherwise the port only sends
	Unfinished bool // see forward.PortInfo
}

// PortState is what a port was opened as.
type PortState struct {
	Name     string
	Mode     string // "native", "generic", or "send only"
	ZeroCopy bool
	Queues   int
}

// Filter is what the packet filter takes.
type Filter struct{ Services []Key }

// Key is a virtual service as the filter knows it. Port 0 stands for all ports.
type Key struct {
	Addr  packet.Addr
	Port  uint16
	Proto uint8
}

var _ forward.Lane = (*lane)(nil)
