package forwardtest

import (
	"encoding/binary"
	"slices"

	"dirsw/clock"
	"dirsw/forward"
	"dirsw/packet"
)

// Accelerator does in memory what the XDP program does for package xsk: the slow twin of it, on top of packet. One of a Lane
// (Options.Accelerate) is asked for each frame before the worker gets it.
type Accelerator struct {
	*program
	room int
	ways [1024]forward.Shortcut
	all  []entry
	free []uint32 // places in all
	beat clock.Mono
}

// program is what the accelerators of all workers share.
type program struct {
	now   func() clock.Mono
	ports []forward.PortInfo
	flows map[packet.Tuple][]held // the first counts
	sent  uint64
	id    uint16
}

// held is where a connection is.
type held struct {
	by    *Accelerator
	place uint32
}

// entry is a connection.
type entry struct {
	key    packet.Tuple
	way    uint32
	passed forward.Passed
	last   clock.Mono
}

var (
	_ forward.Accelerator = (*Accelerator)(nil)
	_ forward.Accelerated = (*Lane)(nil)
)

// NewAccelerator returns one for so many connections, which takes the time from now.
func NewAccelerator(ports []forward.PortInfo, room int, now func() clock.Mono) *Accelerator {
	return &Accelerator{program: &program{now: now, ports: ports, flows: map[packet.Tuple][]held{}}, room: room}
}

// Beside returns the accelerator of another worker of the same director: what a frame belongs to is found in either. They are
// for one goroutine.
func (a *Accelerator) Beside() *Accelerator { return &Accelerator{program: a.program, room: a.room} }

// Room returns how many connections it takes, and how many ways there are.
func (a *Accelerator) Room() (conns, ways int) { return a.room, len(a.ways) }

// Sends is true for all ports of the lane.
func (a *Accelerator) Sends(port uint8) bool { return int(port) < len(a.ports) }

// SetWay says what happens to packets of connections with that way.
func (a *Accelerator) SetWay(i uint32, to forward.Shortcut) { a.ways[i] = to }

// Put hands over a connection.
func (a *Accelerator) Put(k *packet.Tuple, way uint32) (place uint32, ok bool) {
	if a.Len() == a.room {
		return 0, false
	}
	if n := len(a.free); n > 0 {
		place, a.free = a.free[n-1], a.free[:n-1]
	} else {
		place = uint32(len(a.all))
		a.all = append(a.all, entry{})
	}
	a.all[place] = entry{key: *k, way: way}
	a.flows[*k] = append(a.flows[*k], held{a, place})
	return place, true
}

// Read returns what has been sent of a connection.
func (a *Accelerator) Read(place uint32) (forward.Passed, clock.Mono) {
	return a.all[place].passed, a.all[place].last
}

// Remove takes a connection back, and returns what has been sent of it.
func (a *Accelerator) Remove(place uint32) (forward.Passed, clock.Mono) {
	e := &a.all[place]
	rest := slices.DeleteFunc(a.flows[e.key], func(h held) bool { return h == held{a, place} })
	if a.flows[e.key] = rest; len(rest) == 0 {
		delete(a.flows, e.key)
	}
	a.free = append(a.free, place)
	n, last := e.passed, e.last
	e.passed, e.last = 0, 0 // it is another's now
	return n, last
}

// Beat tells that the worker lives.
func (a *Accelerator) Beat(now clock.Mono) { a.beat = now }

// Len returns how many connections it has.
func (a *Accelerator) Len() int { return len(a.all) - len(a.free) }

// Sent returns how many packets have been sent, of all workers.
func (a *Accelerator) Sent() uint64 { return a.sent }

// Send makes the frame that leaves of f, whose port then is where to, and reports whether it does. If not, f is as it was.
func (a *Accelerator) Send(f *packet.Frame) bool {
	var m packet.Meta
	if packet.Parse(f.Bytes(), &m) != packet.NoDrop || !a.plain(f, &m) || len(a.flows[m.Tuple]) == 0 {
		return false
	}
	h := a.flows[m.Tuple][0]
	e := &h.by.all[h.place]
	w := &h.by.ways[e.way]
	n := m.Len()
	if a.now().Sub(h.by.beat) >= stale || w.Method == 0 || n > int(w.MTU) || a.unfinished(f, &m) || !packet.DecrementTTL(f, &m) {
		return false
	}
	f.Resize(int(m.End))
	if w.Method == forward.TUN {
		a.id++
		if !(packet.Tunnel{}).Wrap(f, &m, &packet.Outer{Src: &w.Outer, Dst: &w.Server, ID: a.id, MayCut: w.MayCut}) {
			panic("forwardtest: no room for a tunnel in front of a frame")
		}
	}
	packet.SetMACs(f, w.Src, w.Dst)
	f.Port = w.Port
	a.sent++
	e.passed += forward.OnePassed(n)
	e.last = a.now()
	return true
}

const stale = 1e9 // nanoseconds

// plain reports whether a packet is of a kind that can be sent at all.
func (a *Accelerator) plain(f *packet.Frame, m *packet.Meta) bool {
	const ends = packet.FIN | packet.SYN | packet.RST | packet.ACK
	l4 := m.L3 + packet.IPv4MinLen
	if m.Family == packet.IPv6Family {
		l4 = m.L3 + packet.IPv6Len
	}
	return m.Flags == 0 && m.L3 == packet.EthernetLen && m.L4 == l4 &&
		(m.Proto == packet.ProtoUDP || m.Proto == packet.ProtoTCP && m.TCPFlags&ends == packet.ACK)
}

// unfinished reports whether the checksum holds no more than the sum of the pseudo-header.
func (a *Accelerator) unfinished(f *packet.Frame, m *packet.Meta) bool {
	if !a.ports[f.Port].Unfinished {
		return false
	}
	t := f.Bytes()[m.L4:m.End]
	n, at := len(t), 16
	if m.Proto == packet.ProtoUDP {
		n, at = int(binary.BigEndian.Uint16(t[4:])), 6
	}
	sum := packet.PseudoHeaderIPv6(m.Src, m.Dst, m.Proto, n)
	if m.Family == packet.IPv4Family {
		sum = packet.PseudoHeaderIPv4(m.Src, m.Dst, m.Proto, n)
	}
	return packet.Fold(sum) == binary.BigEndian.Uint16(t[at:])
}
