package vrrp

import (
	"net/netip"
	"time"
)

// Net is what the Runner asks of the machine. Only the Runner's thread calls it, but for Wake. No method may block,
// but for Receive; what takes time delays adverts.
type Net interface {
	// Open makes the path numbered id ready to send and receive, and returns the address that packets will have as their
	// source: p.Source, or else the first address of the link in that family, for IPv6 the link-local one. The address
	// is not valid when the link has none. Numbers of a Runner are unique while open. If the link does not exist yet,
	// the path opens when it appears, and that it does not is the error.
	Open(id int, p Path) (source netip.Addr, err error)
	// Shut ends what Open began.
	Shut(id int)
	// Send sends one packet. For IPv4 msg begins with the IP header, complete but for its checksum, which may be
	// overwritten; for IPv6 it is what follows the IP header, and its checksum is right for the source that Open returned.
	Send(id int, dst netip.Addr, msg []byte) error
	// Receive blocks the calling thread until a packet has come on any open path, Wake was called, or wait is over.
	// What it returns is valid until the next call. A wait of zero or less only looks.
	Receive(wait time.Duration) (Packet, bool)
	// Wake ends a Receive that is under way, or the next one. Any goroutine may call it.
	Wake()

	// Own sets an address, or prolongs its lifetime, after which it vanishes by itself: no address outlives its director.
	Own(a Address, lifetime time.Duration) error
	// Disown removes an address. That it is gone already is no error.
	Disown(a Address) error
	// Set sets a route or a rule.
	Set(e Extra) error
	// Unset removes it. That it is gone already is no error.
	Unset(e Extra) error
	// Announce sends one gratuitous ARP request or one unsolicited neighbour advertisement for the address.
	Announce(link string, a netip.Addr) error
	// MakeVMAC creates the interface of a virtual MAC address, or takes over the one that is there.
	MakeVMAC(v VMAC) error
	// RemoveVMAC removes it.
	RemoveVMAC(v VMAC) error
	// Link tells the state of a link now, and whether there is such a link.
	Link(name string) (LinkState, bool)
	// RealTime gives the calling thread the scheduling policy SCHED_RR with a priority of 1 to 99, or SCHED_OTHER with
	// 0, and binds it to the processors, if any are named.
	RealTime(priority int, cpus []int) error
}

// Packet is one that Receive brought.
type Packet struct {
	IDs      []int  // the open paths that share the socket on which it came, in rising order
	Link     string // the link on which it arrived; may be empty for unicast
	Src, Dst netip.Addr
	TTL      int    // TTL or hop limit; -1: not known
	Protocol uint8  // ProtocolVRRP or ProtocolAH
	Header   []byte // the IPv4 header with its options; nil for IPv6
	Data     []byte // what follows the IP header
}

// Path is one way by which an instance sends and hears advertisements. Two paths with equal fields but Peers, TTL and
// Source of a multicast path may share sockets.
type Path struct {
	Link   string     // interface, the one of the VMAC if there is one; empty: unicast by the routing table
	VRF    string     // the VRF of a unicast path without interface, if any
	IPv6   bool       // the family
	AH     bool       // packets have an authentication header: IP protocol 51 instead of 112
	Source netip.Addr // not valid: the address of the link, or Base's
	Base   string     // the link below a VMAC, whose address is the source; empty: Link itself
	Group  netip.Addr // multicast group to join and send to; not valid: unicast
	Peers  []Peer     // whom to send to, and from whom to hear, if unicast
	TTL    int        // of packets sent; 0 means 255
	RxBuf  int        // bytes for the socket to keep until we read; 0: the system's
}

// Unicast reports whether the path has peers instead of a group.
func (p *Path) Unicast() bool { return !p.Group.IsValid() }

// Peer is a line of unicast_peer.
type Peer struct {
	Addr           netip.Addr
	MinTTL, MaxTTL uint8 // accepted if the source is checked; MaxTTL 0 means 255
}

// VMAC is a macvlan with a MAC address that moves with the mastership (use_vmac).
type VMAC struct {
	Name   string
	Base   string  // the link it stands on
	IPv6   bool    // the family of the virtual router
	MAC    [6]byte // 00:00:5e:00:01:VRID for IPv4 (RFC 9568, section 7.3), 00:00:5e:00:02:VRID for IPv6
	IPvlan bool    // an ipvlan instead, without a MAC address of its own (use_ipvlan)
	Mode   string  // of an ipvlan: bridge, private or vepa
	Addr   netip.Prefix
	Group  uint32 // interface group
}

// Address is a virtual address with what was asked for it. It is comparable: a reload keeps what is equal.
type Address struct {
	Prefix    netip.Prefix // the address and the length of its net
	Link      string       // empty: the instance's interface, or its VMAC
	Label     string
	Broadcast netip.Addr
	Peer      netip.Prefix // far end of a point-to-point address
	Scope     uint8        // as rtnetlink numbers it: 0 global, 253 link, 254 host
	// Flags of the address (IFA_F_…).
	Home, NoDAD, ManageTempAddr, NoPrefixRoute, AutoJoin bool
	Deprecated                                           bool // never chosen as a source
	NoTrack                                              bool // its link does not matter to the instance
	UseVMAC                                              bool // on a VMAC of its own link
}

// Extra is a route or a rule that comes and goes with the mastership.
type Extra struct {
	Rule  bool   // a rule; else a route
	Text  string // as the configuration says it; two with the same text are the same
	Value any    // what Net needs to set it; the package never looks at it
}

// LinkState is what the package wants to know of a link.
type LinkState struct {
	Name  string
	Up    bool         // administratively up, with a carrier
	Addrs []netip.Addr // without ours; the first one of a family, over IPv6 of link scope, is the source of adverts
}
