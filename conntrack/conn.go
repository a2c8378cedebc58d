package conntrack

import (
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// DestID names a real server of a service. It is opaque here; forward gives it meaning.
type DestID uint32

// Dir is the direction of a packet of a connection.
type Dir uint8

// The directions.
const (
	FromClient Dir = iota // client to virtual address
	FromServer            // real server to client, seen with NAT only
)

// Flags are facts about a connection that do not change while it lives, except Retired.
type Flags uint8

const (
	// Template: the entry stands for the persistence of a client, no packet belongs to it.
	Template Flags = 1 << iota
	// OneWay: replies do not pass the director (direct routing, tunnels), so the state follows the client alone and
	// Lookup does not find the reply direction.
	OneWay
	// Retired: a template that new connections do not find any more (Table.Retire).
	Retired
	// Expected: a connection that a helper announced before its first packet, whose client port nobody knows yet
	// (Table.InsertExpected, Table.Claim). It is listed with client port 0.
	Expected
	// OnePacket: a template whose connections end with their first packet (one-packet scheduling), so that nobody ever
	// uses it or assures it. Its Packets count them (Table.Touch).
	OnePacket
	// Unkeyed: a template that Table.Template does not find, because addresses and ports do not tell it from others
	// (Table.InsertUnkeyed).
	Unkeyed
	// Synced: another director has told of it, which made it (Spec.Flags).
	Synced
	// led: another entry controls it, or did: via need not be asked, which is in the second line.
	led
)

// Spaces of keys: a template never equals a connection, nor a free entry anything.
const (
	spaceFree uint8 = iota
	spaceConn
	spaceTemplate
	spaceExpected
)

// Conn is one connection, or one persistence template. It holds no pointers and is 128 bytes: what every packet touches
// stands in the first line of 64, what only creation, change of state, translation and expiry touch in the second. Dest,
// Service, Packets, Method and App are the caller's to read and set; the rest is read by methods and changed by the Table. A *Conn
// is valid until the connection has been removed or has expired.
type Conn struct {
	client   packet.Addr
	virtual  packet.Addr
	ports    uint64     // see portsKey
	deadline clock.Mono // when it ends unless something happens
	armed    uint32     // low bits of the wheel tick under which it is linked; never later than the deadline
	// Dest is the real server.
	Dest DestID
	// Packets counts the packets from the client (Advance), modulo 2^32.
	Packets uint32
	state   State
	flags   Flags
	hopPort uint8
	// Method is how packets reach the server. Its meaning is the caller's; it is 0 at first.
	Method uint8

	real  packet.Addr
	tags  [2]uint32 // of the index cells: client to virtual, real to client
	self  uint32    // own slot
	next  uint32    // in the wheel's bucket, or in the free list
	prev  uint32    // in the wheel's bucket; 0 if first
	ahead uint32    // a slot that will probably be looked at soon after this one (wheel.link); 0 for none
	via   uint32    // slot of the entry that controls it, 0 for none; of a template: its timeout in seconds
	users uint32    // how many entries name this one in via
	// Service is the virtual service. Its meaning is the caller's.
	Service uint32
	// App is for a helper that follows what the connection says. It is 0 at first; the caller clears what stands behind
	// it when the connection ends.
	App      uint32
	realPort uint16
	hopMAC   packet.MAC
}

// portsKey packs what is no address of a key. space is 0 in a free entry, so no key equals a free entry.
func portsKey(k *packet.Tuple, space uint8) uint64 {
	return uint64(k.SrcPort) | uint64(k.DstPort)<<16 | uint64(k.Proto)<<32 | uint64(k.Family)<<40 | uint64(space)<<48
}

// Client returns the client's address.
func (c *Conn) Client() packet.Addr { return c.client }

// ClientPort returns the client's port, in host order; 0 for a template.
func (c *Conn) ClientPort() uint16 { return uint16(c.ports) }

// Virtual returns the address that the client speaks to.
func (c *Conn) Virtual() packet.Addr { return c.virtual }

// VirtualPort returns the port that the client speaks to, in host order.
func (c *Conn) VirtualPort() uint16 { return uint16(c.ports >> 16) }

// Proto returns the IP protocol number.
func (c *Conn) Proto() uint8 { return uint8(c.ports >> 32) }

// Family returns packet.IPv4Family or packet.IPv6Family, that of client and virtual address.
func (c *Conn) Family() uint8 { return uint8(c.ports >> 40) }

// Tuple returns the flow from the client to the virtual address.
func (c *Conn) Tuple() packet.Tuple {
	return packet.Tuple{Src: c.client, Dst: c.virtual, SrcPort: c.ClientPort(), DstPort: c.VirtualPort(),
		Proto: c.Proto(), Family: c.Family()}
}

// Real returns the real server's address.
func (c *Conn) Real() packet.Addr { return c.real }

// RealAddr returns where the real server's address stands, VirtualAddr that which the client speaks to: to be read, while the
// *Conn is valid, by who would else copy it for each packet.
func (c *Conn) RealAddr() *packet.Addr { return &c.real }

// VirtualAddr is as RealAddr.
func (c *Conn) VirtualAddr() *packet.Addr { return &c.virtual }

// RealPort returns the real server's port, in host order.
func (c *Conn) RealPort() uint16 { return c.realPort }

// State returns the state that the last Advance led to.
func (c *Conn) State() State { return c.state }

// Flags returns the facts about the connection.
func (c *Conn) Flags() Flags { return c.flags &^ led }

// IsTemplate reports whether the entry is a persistence template.
func (c *Conn) IsTemplate() bool { return c.flags&Template != 0 }

// Slot returns the index of the entry, for Table.At. It is valid as long as the *Conn is.
func (c *Conn) Slot() uint32 { return c.self }

// Users returns how many living connections came through the template, or were announced on the connection (Control).
func (c *Conn) Users() int { return int(c.users) }

// SetHop remembers which way the client's packets come: by the lane's port, from the station with this MAC address.
// Replies go back that way. It writes only what has changed, so that the line stays clean.
func (c *Conn) SetHop(port uint8, mac packet.MAC) {
	if c.hopMAC != mac || c.hopPort != port {
		c.hopPort, c.hopMAC = port, mac
	}
}

// CameBy reports whether that is what SetHop said last.
func (c *Conn) CameBy(port uint8, mac *packet.MAC) bool { return c.hopPort == port && c.hopMAC == *mac }

// Hop returns what SetHop said last; zero if it never did.
func (c *Conn) Hop() (port uint8, mac packet.MAC) { return c.hopPort, c.hopMAC }

// Left returns how long the connection lives on if nothing happens; 0 if it is due.
func (c *Conn) Left(now clock.Mono) time.Duration { return max(0, c.deadline.Sub(now)) }

// Spec describes a connection to Insert or a template to InsertTemplate.
type Spec struct {
	packet.Tuple             // client to virtual address; for a template the client's network and port 0
	Real         packet.Addr // real server
	RealPort     uint16
	Flags        Flags // OneWay, Synced; of a template OnePacket, Synced
	Dest         DestID
	Service      uint32
	Event        Event // what the opening packet says: the first state follows from it
	State        State // if not None the first state, whatever Event says; for connections told by another director
	// Life is, if not 0, how long the connection lives at first, whatever its state says (Insert only).
	Life time.Duration
}
