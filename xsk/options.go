package xsk

import (
	"time"

	"dirsw/forward"
	"dirsw/packet"
)

// Mode is where the filter runs.
type Mode uint8

// The modes. Auto takes native, and generic where the driver or the MTU do not allow it.
const (
	Auto    Mode = iota
	Native       // in the driver, before a socket buffer is made
	Generic      // in the kernel's stack: any driver, slower, and large frames of local senders are not taken apart before
)

// ZeroCopy is whether the driver works on our frames in place.
type ZeroCopy uint8

// The choices. ZeroCopyAuto takes it where all drivers of a lane offer it.
const (
	ZeroCopyAuto ZeroCopy = iota
	ZeroCopyOn
	ZeroCopyOff
)

// DefaultMaxKeys is how many keys and addresses a filter has room for unless Options say otherwise.
const DefaultMaxKeys = 32768

// Options is what a Set is opened with. Ports must not be empty; the zero values of the others work.
type Options struct {
	Ports    []PortOptions // at most 256; the place of a port is its index in every Lane
	Workers  int           // 0 stands for 1. Worker w serves the queues k with k mod Workers = w
	Queues   int           // of each port; 0: all it has
	Mode     Mode
	ZeroCopy ZeroCopy
	BusyPoll bool // ask the driver to poll on our system calls instead of interrupts, where it can
	Frames   int  // of each lane; 0: enough for full rings
	Replace  bool // displace a foreign XDP program
	// Accelerate lets the XDP program forward that many connections by itself, as the workers tell it (forward.Accelerator).
	// 0: none. Where no interface can do it, none either, and Ports says why.
	Accelerate int
	// Epoch is what CLOCK_MONOTONIC said, in nanoseconds, when the clock of the workers was 0. Only for Accelerate.
	Epoch int64
	// Coalesce is how long, at most, interfaces may gather frames before they wake up a worker that sleeps, where that pays (Coalesce
	// of Set). 0: never, as with BusyPoll, whose workers do not sleep, and before Linux 6.13.
	Coalesce time.Duration
	MaxKeys  int // of a forward.Filter, its addresses included; 0 stands for DefaultMaxKeys
}

// PortOptions names an interface. Index, MAC, MTU and Queues are asked of the kernel where they are zero, in the network
// namespace of the thread that calls Open.
type PortOptions struct {
	Name       string
	Index      int
	MAC        packet.MAC
	MTU        int  // bytes of the IP packet
	Queues     int  // receive queues that it has
	Receive    bool // attach the filter and receive; otherwise the port only sends
	Unfinished bool // see forward.PortInfo
	// Absent says that the interface does not exist at the moment. The port keeps its place, and frames for it are counted as
	// not sent; nothing else needs to be given.
	Absent bool
	// Tap says that the port is no NIC but the way to the kernel's own network stack: FD is the other end of an Ethernet
	// tap (host.OpenTap), which stays the caller's. MAC and MTU must be given, and one port at most can be a tap.
	Tap bool
	FD  int
}

// PortState is what a port was opened as.
type PortState struct {
	Name     string
	Mode     string // "native", "generic", "send only", "local" for a tap, or "absent"
	Note     string // what the operator should know: why not native mode, which packets are too long; or ""
	ZeroCopy bool
	Queues   int           // served
	Coalesce time.Duration // for which frames are gathered at present
}

var (
	_ forward.Lane        = (*lane)(nil)
	_ forward.Accelerated = (*lane)(nil)
)
