package forward

import (
	"encoding/binary"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// apps is what a worker remembers of what connections say: for the helper of FTP and for the persistence engine sip. Which
// connection or template it belongs to is told by Conn.App, which is 0 where nothing is.
type apps struct {
	ftp ftpSessions
	sip sipCalls
}

// adoptApps makes room for what the services of a snapshot need. It may allocate: called when a snapshot is adopted.
func (w *Worker) adoptApps(s *Snapshot) {
	for i := range s.Services {
		if svc := &s.Services[i]; !svc.Gone && svc.Engine == SIP {
			w.apps.sip.prepare(w.plain.TableRoom, w.o.Table.Seed)
		}
	}
	for i := range s.Dests {
		d := &s.Dests[i]
		if d.Method != NAT || d.Gone {
			continue
		}
		if k := &s.Services[d.Service].Key; k.Port == ftpPort || k.Port == 0 {
			w.apps.ftp.prepare(w.plain.TableRoom)
		}
	}
	w.apps.sip.servers = sipServers(s)
}

// attach gives a new connection the helper that its port has (kernel: ip_vs_bind_app).
func attach(c *conntrack.Conn) {
	if c.VirtualPort() == ftpPort && c.Proto() == packet.ProtoTCP && c.Flags()&conntrack.OneWay == 0 {
		c.App = ftpHelped
	}
}

// help has the helper of a connection read a packet, which m describes, and change it.
func (w *Worker) help(f *packet.Frame, m *packet.Meta, c *conntrack.Conn, dir conntrack.Dir, now clock.Mono) packet.DropReason {
	w.finish(f, m)
	if !packet.ChecksumOK(f.Bytes(), m) { // what is changed gets a right one, which would hide the damage
		return packet.DropBadTransport
	}
	if dir == conntrack.FromClient {
		return w.ftpClient(f, m, c, now)
	}
	return w.ftpServer(f, m, c, now)
}

// finish completes the checksum of a frame whose sender left that to its network card.
func (w *Worker) finish(f *packet.Frame, m *packet.Meta) {
	if int(f.Port) < len(w.port) && w.port[f.Port].Unfinished && packet.FinishChecksum(f, m) {
		w.plain.Mended++
	}
}

// forget gives up what is remembered of a connection or template that ends.
func (w *Worker) forget(c *conntrack.Conn) {
	if c.IsTemplate() {
		w.apps.sip.free(c)
	} else {
		w.apps.ftp.free(c)
	}
}

// announce makes the connection that a helper has read of on ctl, unless one is known by that flow: from client to the
// virtual address and port of s, in the state LISTEN, to the same server and under the control of ctl (kernel:
// ip_vs_ftp_in, ip_vs_ftp_out).
func (w *Worker) announce(s *conntrack.Spec, ctl *conntrack.Conn, now clock.Mono) packet.DropReason {
	d := &w.snap.Dests[ctl.Dest]
	s.Dst, s.Proto, s.Family = ctl.Virtual(), ctl.Proto(), ctl.Family()
	s.Dest, s.Service, s.State = ctl.Dest, ctl.Service, conntrack.TCPListen
	c := w.announced(s)
	if c != nil {
		if w.table.Listen(c, now).Active() {
			d.Load.Add(w.id, -1, 1, 0)
		}
		return packet.NoDrop
	}
	var err error
	if s.Flags&conntrack.Expected != 0 {
		c, err = w.table.InsertExpected(s, now)
	} else {
		c, err = w.table.Insert(s, w.table.Hash(&s.Tuple), now)
	}
	if err != nil {
		return packet.DropTableFull
	}
	c.Packets, c.Method = 0, ctl.Method
	c.SetHop(ctl.Hop()) // the server may be the first to speak
	w.table.Control(c, ctl, now)
	d.Load.Add(w.id, 0, 1, 0)
	d.Load.Bound(d.Upper)
	return packet.NoDrop
}

// announced finds the connection that s describes if it has been announced before.
func (w *Worker) announced(s *conntrack.Spec) *conntrack.Conn {
	if s.Flags&conntrack.Expected == 0 {
		c, _ := w.table.Lookup(&s.Tuple, w.table.Hash(&s.Tuple))
		return c
	}
	c := w.table.Expected(&s.Tuple)
	if c != nil && c.Real() != s.Real { // another server has announced the port meanwhile
		w.end(c)
		return nil
	}
	return c
}

// claim finds the connection that a helper expects and that a packet of no known connection is the first of. It becomes
// that of the packet's port, unless its server is gone and the packet will not be forwarded.
func (w *Worker) claim(m *packet.Meta, h uint64) *conntrack.Conn {
	c := w.table.Expected(&m.Tuple)
	if c == nil || w.snap.Dests[c.Dest].Gone {
		return c
	}
	return w.table.Claim(&m.Tuple, h)
}

// maxPacket is the length of a frame whose offsets fit into a Meta.
const maxPacket = 0xffff

// replaceData puts text in the place of the bytes from start to end of a segment's data. Lengths and checksums are made
// right, and m is brought up to date. false if there is no room, nothing is changed then.
func replaceData(f *packet.Frame, m *packet.Meta, start, end int, text []byte) bool {
	at, rest := int(m.Payload)+start, int(m.Payload)+end
	n := int(m.End) + len(text) - (end - start)
	if n > maxPacket || n > f.Len() && !f.Resize(n) {
		return false
	}
	b := f.Bytes()
	copy(b[at+len(text):n], b[rest:m.End])
	copy(b[at:], text)
	m.End = uint32(n)
	if m.Family == packet.IPv4Family {
		h := packet.IPv4(b[m.L3:])
		h.SetTotalLen(n - int(m.L3))
		h.SetChecksum(0)
		h.SetChecksum(h.ComputeChecksum())
	} else {
		packet.IPv6(b[m.L3:]).SetPayloadLen(n - int(m.L3) - packet.IPv6Len)
	}
	sumTCP(b[m.L4:n], m)
	return true
}

// sumTCP writes the checksum of the segment t.
func sumTCP(t packet.TCP, m *packet.Meta) {
	t.SetChecksum(0)
	pseudo := packet.PseudoHeaderIPv6
	if m.Family == packet.IPv4Family {
		pseudo = packet.PseudoHeaderIPv4
	}
	t.SetChecksum(packet.Checksum(t, pseudo(m.Src, m.Dst, packet.ProtoTCP, len(t))))
}

// put32 writes four bytes of a segment, field, and mends its checksum by the difference (RFC 1624, section 3). The field
// must be at an even offset of the segment t, or odd.
func put32(t packet.TCP, field []byte, now uint32, odd bool) {
	old := binary.BigEndian.Uint32(field)
	binary.BigEndian.PutUint32(field, now)
	if odd { // the sum is the same over bytes shifted by one place, but for their order (RFC 1071, section 2B)
		old, now = old<<8|old>>24, now<<8|now>>24
	}
	sum := packet.UpdateChecksum16(t.Checksum(), uint16(old>>16), uint16(now>>16))
	t.SetChecksum(packet.UpdateChecksum16(sum, uint16(old), uint16(now)))
}
