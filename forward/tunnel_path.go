package forward

import (
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

const (
	// pathLife is how long a path MTU that a router told is believed (net.ipv4.route.mtu_expires).
	pathLife = 10 * time.Minute
	// leastPath4 is the least that is believed: less is a lie, or a way to make work (net.ipv4.route.min_pmtu). In IPv6
	// it is leastMTU6 (RFC 8201, section 4).
	leastPath4 = 552
)

// path is what the worker has learnt of the way to a tunnel's end. There is one for each destination of the snapshot, so
// their number is bounded by the configuration.
type path struct {
	addr  packet.Addr // the destination it is about: slots are reused
	until clock.Mono
	mtu   uint16 // of the outer packet; 0: nothing is known
	used  bool   // a packet has been sent, or refused, by it
}

// tunnelEnd names tunnels by what an ICMP error about them quotes. Sum is never set.
type tunnelEnd struct {
	addr packet.Addr
	tun  packet.Tunnel
}

// adoptTunnels notes the tunnels of a new snapshot. What was learnt of a destination stays with its slot.
func (w *Worker) adoptTunnels(s *Snapshot) {
	clear(w.tunnels)
	for i := range s.Dests {
		d := &s.Dests[i]
		if d.Method != TUN {
			continue
		}
		if w.tunnels == nil {
			w.tunnels = map[tunnelEnd]bool{}
		}
		tun := d.Tunnel
		tun.Sum = false
		w.tunnels[tunnelEnd{d.Addr, tun}] = true
	}
	if n := len(s.Dests); n > len(w.paths) {
		w.paths = append(w.paths, make([]path, n-len(w.paths))...)
	}
}

// pathTo returns what is known of the way to d, without what has been forgotten.
func (w *Worker) pathTo(id conntrack.DestID, d *Dest) *path {
	p := &w.paths[id]
	if p.mtu != 0 && (p.until <= w.now || p.addr != d.Addr) {
		*p = path{}
		w.setWay(id)
		w.setCourse(id)
	}
	return p
}

// limit returns the MTU of the path; if nothing is known the most there is.
func (p *path) limit() uint16 {
	if p.mtu == 0 {
		return 0xffff
	}
	return p.mtu
}

// learnPath takes note of what a router tells about the way to the real server at addr: only packets of at most mtu bytes
// get through; 0 from a router that does not tell. As in the kernel an MTU only gets smaller until it is forgotten, and all
// destinations with the address learn (ipv4_update_pmtu, __ip6_rt_update_pmtu).
//
// It returns what the client of a connection to dest is told: what the kernel's cached route says. That is the MTU of the
// interface until a packet has been sent since the first error, and the new one from then on.
func (w *Worker) learnPath(addr *packet.Addr, dest conntrack.DestID, mtu uint16) (told uint16) {
	least := uint16(leastMTU6)
	if addr.Is4() {
		least = leastPath4
	}
	for i := range w.snap.Dests {
		d := &w.snap.Dests[i]
		if d.Method != TUN || d.Addr != *addr {
			continue
		}
		p := w.pathTo(conntrack.DestID(i), d)
		known := min(d.Hop.MTU, p.limit())
		if now := max(mtu, min(least, known)); now <= known {
			*p = path{*addr, w.now.Add(pathLife), now, p.used}
			w.setWay(conntrack.DestID(i))
			w.setCourse(conntrack.DestID(i))
		}
		if conntrack.DestID(i) != dest {
			continue
		}
		if told = d.Hop.MTU; p.used {
			told = p.mtu
		}
	}
	return told
}
