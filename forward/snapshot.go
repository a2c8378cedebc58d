package forward

import (
	"time"

	"dirsw/conntrack"
	"dirsw/packet"
	"dirsw/sched"
)

// Snapshot is everything a worker needs to know, immutable once published and free of configuration types. The
// director compiles it; slots of Services and Dests keep their meaning from one snapshot to the next.
type Snapshot struct {
	Gen      uint64    // grows with every snapshot; the first is 1
	Services []Service // slot = ServiceID
	Dests    []Dest    // slot = conntrack.DestID; reused only when no connection refers to it
	Lookup   map[ServiceKey]ServiceID
	Steer    Steer
	Timeouts conntrack.Timeouts
	Settings Settings
	Sync     Sync

	// Kernel is the way to the director's own network stack: for frames that the packet filter took and that turn out
	// not to be ours. Not OK where the lane has no such port.
	Kernel Hop
	// Own are the director's addresses on each port of the lane, IPv4 and IPv6: what errors about replies come from.
	Own [][2]packet.Addr
	// Local are all addresses of the director, in order.
	Local []packet.Addr
	// Shut are those of Local, in order, to which the director's own network stack gets nothing: addresses that the master
	// of a virtual router does not accept packets for (RFC 9568, section 6.4.3).
	Shut []packet.Addr
	// Marks gives packets their firewall marks; nil: none has one.
	Marks *Marks
}

// ServiceID is a slot of Snapshot.Services.
type ServiceID uint32

// NoService is the ServiceID of a packet that no service is for.
const NoService = ^ServiceID(0)

// ServiceKey is what a packet is looked up by. Port 0 stands for all ports of the address.
type ServiceKey struct {
	Addr  packet.Addr
	Port  uint16
	Proto uint8
}

// Service is a virtual service.
type Service struct {
	Key  ServiceKey
	Gone bool // removed; the slot stays for its connections

	// Kind and Flags make the scheduler. SchedGen changes when a worker must start a new one; PoolGen when Pool has
	// changed. Both are generations of the snapshot that brought the change.
	Kind              sched.Kind
	Flags             sched.Flags
	SchedGen, PoolGen uint64
	// Taken says that the scheduler takes over a list of servers that another one served (ipvsadm -E -s), instead
	// of seeing them come one by one.
	Taken bool
	Pool  *sched.Pool

	Persistence time.Duration // 0: not persistent
	Mask        packet.Addr   // of the client address in a template; all ones above the IPv4 part
	OnePacket   bool
	// Bypass is the destination of what finds no server and goes where the client wanted, if Bypasses: a service by
	// firewall mark only, with cache_bypass.
	Bypass   conntrack.DestID
	Bypasses bool
	Engine   Engine // what besides the client's address its template stands for

	Tally *Tally
}

// Method is how a frame reaches a destination.
type Method uint8

// The forwarding methods.
const (
	// DR: the frame goes to the server's link layer address, the packet as it is (direct routing).
	DR Method = iota + 1
	// TUN: the packet travels to the server inside another one (tunnelling).
	TUN
	// NAT: the packet gets the server's address and port, replies come back by the director and get those of the service.
	NAT
	// Bypass: the packet goes where the client wanted, by the director's own network stack; there is no server.
	Bypass
)

// String returns the name as ipvsadm lists it.
func (m Method) String() string {
	switch m {
	case DR:
		return "Route"
	case TUN:
		return "Tunnel"
	case NAT:
		return "Masq"
	case Bypass:
		return "Bypass"
	}
	return "invalid"
}

// Dest is a real server of one service.
type Dest struct {
	Hop     Hop
	Method  Method
	Tunnel  packet.Tunnel // iff Method == TUN
	Gone    bool          // removed from its service: packets of its connections are dropped until it comes back
	Awaited bool          // Gone only while it does not answer: what other directors tell of its connections is kept for then
	WasNAT  bool          // its method has been NAT, and connections of that time may live
	Ends    bool          // its connections end now: its weight is 0, and its service says that they do then
	Service ServiceID
	// Established is how many seconds a connection lives that is established, or of UDP, in the place of what
	// Snapshot.Timeouts says; 0: that. It stands here because every packet asks for it.
	Established uint32

	Upper, Lower uint32 // connection thresholds; 0: none
	Weight       int32
	Port         uint16
	Addr         packet.Addr
	Load         *sched.Load
	Tally        *Tally
}

// Hop is the next hop towards a destination.
type Hop struct {
	OK bool // resolved: frames can be sent there
	// Local: the address is the director's own. Frames go to its network stack: nothing is taken from their time to live,
	// and they may have any length.
	Local    bool
	Fail     HopFail // if not OK
	Port     uint8
	MTU      uint16 // bytes of the IP packet
	Src, Dst packet.MAC
	Own      packet.Addr // what the director sends from on this way: the source of the outer header of a tunnel
}

// HopFail is why there is no next hop, as far as somebody must be told.
type HopFail uint8

// The reasons.
const (
	HopUnknown     HopFail = iota // not asked yet, or no route: nobody is told
	HopUnreachable                // the route says unreachable, prohibit or blackhole
	HopSilent                     // the neighbour has not answered (ARP, neighbour discovery)
)
