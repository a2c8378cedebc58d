package forward

import (
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// A course is how plain packets of known connections reach a destination, worked out once for all of them. Most packets take
// one: nothing changes by what they say, and nothing about their way is out of the ordinary. All others, and those of
// destinations without a course, are decided and rewritten step by step, with the same result
// (TestCoursesAreAsWithout).
type course struct {
	method Method // 0: there is none
	port   uint8
	mtu    uint16 // bytes of the IP packet as it came
	to     packet.Stations
	pipe   packet.Pipe // iff TUN: IP in IP, both of them IPv4
}

// setCourses works out the courses of a snapshot. It may allocate.
func (w *Worker) setCourses() {
	w.courses = append(w.courses[:0], make([]course, len(w.snap.Dests))...)
	for i := range w.courses {
		w.setCourse(conntrack.DestID(i))
	}
}

// setCourse works out the course to one destination.
func (w *Worker) setCourse(id conntrack.DestID) {
	if int(id) < len(w.courses) {
		w.courses[id] = w.courseTo(id, &w.snap.Dests[id])
	}
}

// courseTo returns the course to d.
func (w *Worker) courseTo(id conntrack.DestID, d *Dest) course {
	hop := &d.Hop
	if d.Gone || d.Established != 0 || w.sync.aside || !hop.OK || hop.Local {
		return course{}
	}
	k := course{method: d.Method, port: hop.Port, mtu: hop.MTU, to: packet.MakeStations(hop.Src, hop.Dst)}
	switch d.Method {
	case DR, NAT:
		return k
	case TUN:
		n := uint16(d.Tunnel.Len(&d.Addr))
		if d.Tunnel.Type != packet.IPIP || !d.Addr.Is4() || hop.Own == (packet.Addr{}) || hop.MTU < leastMTU4+n ||
			w.paths[id].mtu != 0 { // which is forgotten when a packet comes
			return course{}
		}
		k.mtu -= n
		k.pipe = packet.MakePipe(&packet.Outer{Src: &hop.Own, Dst: &d.Addr, MayCut: !w.snap.Settings.PMTUDisc})
		return k
	}
	return course{}
}

// sail does all that is to be done with a plain packet of connection c, in direction dir, if it can take its destination's
// course, and reports whether it can. If not, nothing has happened, but that the checksum of one that goes into a tunnel may
// have been finished.
func (w *Worker) sail(f *packet.Frame, m *packet.Meta, c *conntrack.Conn, dir conntrack.Dir, now clock.Mono) bool {
	k := &w.courses[c.Dest]
	n := m.Len()
	if !c.Steady(m) || Method(c.Method) != k.method || n > int(k.mtu) || packet.Hops(f, m) <= 1 || int(f.Port) >= len(w.port) {
		return false
	}
	oneWay, unfinished := c.Flags()&conntrack.OneWay != 0, w.port[f.Port].Unfinished
	switch {
	case !oneWay:
		if k.method != NAT || c.App != 0 || !w.sailNAT(f, m, c, dir, k) {
			return false
		}
	case k.method == DR:
		if unfinished {
			w.finish(f, m)
		}
		packet.Relay(f, m, &k.to)
		f.Port = k.port
	case k.method == TUN && m.Family == packet.IPv4Family:
		if unfinished {
			w.finish(f, m)
		}
		if !packet.RelayIn(f, m, &k.to, &k.pipe, w.ipID+1) {
			return false
		}
		w.ipID++
		f.Port = k.port
	default:
		return false
	}
	w.table.Renew(c, dir, now)
	if dir == conntrack.FromServer {
		w.acc.reply(uint32(c.Dest), n)
	} else {
		w.acc.packet(uint32(c.Dest), n)
		if w.sync.telling {
			w.inform(c, now)
		}
	}
	if w.o.Observer != nil {
		w.o.Observer(f, m, Verdict{Why: WhyConnection, Service: w.snap.Dests[c.Dest].Service, Dest: c.Dest, Dir: dir,
			State: c.State(), Left: c.Left(now)})
	}
	if oneWay && w.fast.to != nil && c.Packets%w.fast.every == 0 {
		w.speedUp(c, m, &w.snap.Dests[c.Dest])
	}
	return true
}

// sailNAT is what sail does to the frame of a packet by masquerading.
func (w *Worker) sailNAT(f *packet.Frame, m *packet.Meta, c *conntrack.Conn, dir conntrack.Dir, k *course) bool {
	if dir == conntrack.FromClient {
		if !c.CameBy(f.Port, packet.Sender(f)) {
			return false // what is new about its way is noted by cameBy
		}
		if w.port[f.Port].Unfinished {
			w.finish(f, m)
		}
		packet.RelayTo(f, m, &k.to, c.RealAddr(), c.RealPort())
		f.Port = k.port
		return true
	}
	port, mac := c.Hop()
	if mac == (packet.MAC{}) || int(port) >= len(w.port) || m.Len() > w.port[port].MTU || m.Proto == packet.ProtoUDP && c.Led() {
		return false
	}
	if w.port[f.Port].Unfinished {
		w.finish(f, m)
	}
	to := packet.MakeStations(w.port[port].MAC, mac)
	packet.RelayFrom(f, m, &to, c.VirtualAddr(), c.VirtualPort())
	f.Port = port
	return true
}
