package forward_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"dirsw/conntrack"
	"dirsw/packet"
)

// traffic sends a batch, or more than one: runs of packets of some connections, new and old ones, in either direction.
func (c *convoy) traffic() {
	c.t.Helper()
	var all []parcel
	n := 1 + c.rnd.IntN(1+c.rnd.IntN(100))
	for len(all) < n {
		worker := c.plain.w[c.rnd.IntN(len(c.plain.w))].Table()
		var k packet.Tuple
		back := false
		if x := c.some(worker); x != nil && c.rnd.IntN(8) > 0 && worker.Len() > min(70, c.h.room/2) {
			if k = x.Tuple(); c.rnd.IntN(5) < 2 {
				back = true
				k.Src, k.SrcPort, k.Dst, k.DstPort = x.Real(), x.RealPort(), x.Client(), x.ClientPort()
			}
		} else {
			k = c.stranger()
		}
		run := 1 + c.rnd.IntN(5)
		if k.Proto == packet.ProtoTCP && c.rnd.IntN(6) == 0 { // it begins or ends anew among the others
			all = append(all, c.parcel(k, packet.SYN, back), c.parcel(k, packet.ACK, back))
		}
		for range run {
			flags := packet.ACK
			if c.rnd.IntN(6) == 0 {
				flags = []uint8{packet.SYN, packet.FIN | packet.ACK, packet.RST, packet.RST | packet.ACK, 0, packet.SYN | packet.ACK,
					packet.ACK | packet.PSH | 0x20, packet.FIN}[c.rnd.IntN(8)]
			}
			all = append(all, c.parcel(k, flags, back))
		}
		if k.Proto == packet.ProtoTCP && c.rnd.IntN(10) == 0 {
			all = append(all, c.parcel(k, packet.RST, back), c.parcel(k, packet.ACK, back), c.parcel(k, packet.SYN, back), c.parcel(k, packet.ACK, back))
		}
	}
	if c.rnd.IntN(3) == 0 {
		c.rnd.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	}
	worker := c.rnd.IntN(c.h.workers)
	c.batch(fmt.Sprintf("%d frames at worker %d", len(all), worker), worker, all)
}

// some is a connection of a table, nil if none was found soon.
func (c *convoy) some(t *conntrack.Table) *conntrack.Conn {
	for range 20 {
		if x := t.At(1 + c.rnd.Uint32N(uint32(t.Len()+t.Templates()+20))); x != nil && !x.IsTemplate() {
			return x
		}
	}
	return nil
}

// stranger is a new connection's.
func (c *convoy) stranger() packet.Tuple {
	k := packet.Tuple{Proto: packet.ProtoTCP, Family: packet.IPv4Family, SrcPort: uint16(1024 + c.rnd.IntN(200)), DstPort: 80}
	src := netip.AddrFrom4([4]byte{203, 0, byte(113 + c.rnd.IntN(3)), byte(1 + c.rnd.IntN(6))})
	dst := c.pick("192.0.2.100", "192.0.2.100", "192.0.2.100", "192.0.2.102", "198.51.100.9", "172.16.0.1")
	if c.rnd.IntN(16) == 0 { // of a server, or of the service itself
		src = netip.MustParseAddr(c.pick(siteServers[0], siteServers[1], "192.0.2.100"))
	}
	if c.rnd.IntN(3) == 0 {
		a := netip.MustParseAddr("2001:db8:c::1").As16()
		a[6], a[15] = byte(c.rnd.IntN(3)), byte(1+c.rnd.IntN(6))
		k.Family, src, dst = packet.IPv6Family, netip.AddrFrom16(a), "2001:db8::100"
		if c.rnd.IntN(16) == 0 {
			src = netip.MustParseAddr(siteServers[3])
		}
	}
	if c.rnd.IntN(3) == 0 {
		k.Proto, k.DstPort = packet.ProtoUDP, 53
	} else if c.rnd.IntN(12) == 0 {
		k.DstPort = 21
	}
	k.Src, k.Dst = packet.AddrFrom(src), packet.AddrFrom(netip.MustParseAddr(dst))
	return k
}

// parcel is a packet of a flow, plain or odd.
func (c *convoy) parcel(k packet.Tuple, flags uint8, back bool) parcel {
	s := c.spec(k, flags)
	s.SrcMAC, s.DstMAC = clientMAC, directorMAC
	s.TTL = []uint8{64, 64, 64, 255, 3, 2, 1}[min(c.rnd.IntN(7), c.rnd.IntN(20))]
	port := int(k.Src[15]) % 2 * 2
	switch {
	case back:
		port = []int{1, 1, 1, 0}[c.rnd.IntN(4)]
		s.SrcMAC[5] = k.Src[15]
	case c.rnd.IntN(16) == 0:
		s.SrcMAC[5] = byte(c.rnd.IntN(3))
	case c.rnd.IntN(16) == 0:
		port = 2 - port
	case c.rnd.IntN(30) == 0:
		s.SrcMAC = packet.MAC{}
	}
	if c.rnd.IntN(8) == 0 {
		s.Payload = make([]byte, []int{540, 560, 840, 860, 1200, 1240, 1340, 1400, 1420, 1440, 1460}[c.rnd.IntN(11)]+c.rnd.IntN(24))
	}
	for i := range s.Payload {
		s.Payload[i] = byte(c.rnd.Uint32())
	}
	return parcel{min(port, c.ports-1), c.freight(s)}
}

// freight builds the frame, and damages some.
func (c *convoy) freight(s packet.Spec) []byte {
	r := c.rnd.IntN(60)
	switch r {
	case 0:
		s.VLAN = 7
	case 1:
		s.MoreFragments, s.Payload = true, make([]byte, 64)
	case 2:
		s.FragmentOffset, s.Payload = 64+packet.TCPMinLen/8*8, make([]byte, 64)
	case 3:
		if s.Src.Is4() {
			s.Options = []byte{1, 1, 1, 0}
		}
	case 4:
		s.DstMAC = []packet.MAC{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0x5e, 0, 0, 1}, {2, 9, 9, 9, 9, 9}}[c.rnd.IntN(3)]
	case 5:
		return c.report(s.Tuple)
	case 6:
		if c.rnd.IntN(10) == 0 {
			return c.complaint(s.Tuple)
		}
	}
	f := packet.Build(nil, s)
	var m packet.Meta
	if r < 7 || r > 24 || packet.Parse(f, &m) != packet.NoDrop {
		return f
	}
	sum := int(m.L4) + 16
	if m.Proto == packet.ProtoUDP {
		sum = int(m.L4) + 6
	}
	switch r {
	case 7, 8, 9:
		return append(f, make([]byte, 1+c.rnd.IntN(30))...)
	case 10:
		return f[:len(f)-1-c.rnd.IntN(20)]
	case 11, 12, 13:
		return unfinishedSum(f)
	case 14, 15:
		binary.BigEndian.PutUint16(f[sum:], []uint16{0, 0xffff}[c.rnd.IntN(2)])
	case 16:
		binary.BigEndian.PutUint16(f[sum:], uint16(c.rnd.Uint32()))
	case 17, 18: // something in a header
		f[14+c.rnd.IntN(len(f)-14)%40] ^= 1 << c.rnd.IntN(8)
		return resum(f)
	case 19: // the length of the packet, or of the datagram
		if s.Src.Is4() {
			binary.BigEndian.PutUint16(f[16:], uint16(len(f)-14+c.rnd.IntN(8)-6))
		} else {
			binary.BigEndian.PutUint16(f[18:], uint16(len(f)-54+c.rnd.IntN(8)-6))
		}
		return resum(f)
	case 20:
		if m.Proto == packet.ProtoUDP {
			binary.BigEndian.PutUint16(f[m.L4+4:], uint16(len(f)-int(m.L4)+c.rnd.IntN(8)-6))
		}
	case 21: // a header that sums up to nothing but for its checksum, of which there are two
		if s.Src.Is4() {
			h := packet.IPv4(f[14:])
			h.SetID(0)
			h.SetID(h.ComputeChecksum())
			h.SetChecksum([]uint16{0, 0xffff}[c.rnd.IntN(2)])
		}
	case 22:
		return append(unfinishedSum(f), 0, 0)
	case 23:
		f[12] ^= 1 << c.rnd.IntN(8)
	case 24:
		if m.Proto == packet.ProtoTCP {
			f[m.L4+12] = byte(c.rnd.Uint32()) // where its data begin
		}
	}
	return f
}

// resum sets the checksum of an IPv4 header to what it should be.
func resum(f []byte) []byte {
	if h := packet.IPv4(f[14:]); h[0] == 0x45 {
		h.SetChecksum(0)
		h.SetChecksum(h.ComputeChecksum())
	}
	return f
}

// report is an ICMP error about a packet that went the other way.
func (c *convoy) report(k packet.Tuple) []byte {
	quoted := packet.Build(nil, packet.Spec{Tuple: k.Reverse(), TCPFlags: packet.ACK, Payload: make([]byte, 20)})[14:]
	s := packet.Spec{SrcMAC: clientMAC, DstMAC: directorMAC, Payload: quoted}
	s.Src, s.Dst, s.Proto, s.ICMPType, s.ICMPCode, s.ICMPRest = k.Src, k.Dst, packet.ProtoICMP, 3, 4, 1300
	if k.Family == packet.IPv6Family {
		s.Proto, s.ICMPType, s.ICMPCode = packet.ProtoICMPv6, 2, 0
	}
	return packet.Build(nil, s)
}

// complaint is what a router says of a packet in a tunnel to a server: that it was too long.
func (c *convoy) complaint(k packet.Tuple) []byte {
	inner := packet.Build(nil, c.spec(k, packet.ACK))
	own, to := packet.AddrFrom(netip.MustParseAddr("172.16.0.1")), packet.AddrFrom(netip.MustParseAddr(siteServers[c.rnd.IntN(3)]))
	buf := make([]byte, 2048)
	f := packet.MakeFrame(buf, 256, copy(buf[256:], inner), 0, 0)
	var m packet.Meta
	if packet.Parse(f.Bytes(), &m) != packet.NoDrop || !(packet.Tunnel{}).Wrap(&f, &m, &packet.Outer{Src: &own, Dst: &to}) {
		return inner
	}
	s := packet.Spec{SrcMAC: packet.MAC{2, 0, 0, 0, 2, 9}, DstMAC: directorMAC, ICMPType: 3, ICMPCode: 4, ICMPRest: uint32(1000 + c.rnd.IntN(450)),
		Payload: f.Bytes()[14:]}
	s.Src, s.Dst, s.Proto = to, own, packet.ProtoICMP
	return packet.Build(nil, s)
}
