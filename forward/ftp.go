package forward

import (
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// The helper of FTP control connections (kernel: net/netfilter/ipvs/ip_vs_ftp.c). It reads which data connections the two
// sides agree on and has the connection table expect them; where the server names its address, that of the service is put
// in its place. Only masquerading needs that: with the other methods the server knows the address of the service.
//
// One thing is better than in the kernel: an answer that the server sends again is changed again.

// Conn.App of a control connection: ftpHelped, the ftpMode, and the place of its ftpSession, from 1, if it has one.
const (
	ftpHelped       uint32 = 1 << 31
	ftpModes        uint32 = 3
	ftpSessionShift        = 2
	ftpSessionMost         = 1 << 16 // sessions that a worker keeps
)

// ftpDataPort is the port that a server's data connections come from.
const ftpDataPort = 20

// freePort is the lowest port that anybody may listen on (net.ipv4.ip_unprivileged_port_start).
const freePort = 1024

// ftpSession is a control connection whose server has named its address.
type ftpSession struct {
	shift  seqShift // of what the server sends
	answer uint32   // sequence number, as the server counts, of the answer that was changed last
	mode   ftpMode  // what it answers
	next   uint32   // in the free list, from 1
}

// ftpSessions has room for sessions, fixed when it is prepared.
type ftpSessions struct {
	list    []ftpSession
	touched uint32 // how many have ever been used
	unused  uint32 // free list
}

// prepare makes room for a part of so many connections; nothing if there is some.
func (s *ftpSessions) prepare(conns uint64) {
	if s.list == nil {
		s.list = make([]ftpSession, min(conns, ftpSessionMost))
	}
}

// of returns the session of a connection; nil if it has none.
func (s *ftpSessions) of(c *conntrack.Conn) *ftpSession {
	if i := c.App &^ ftpHelped >> ftpSessionShift; i != 0 {
		return &s.list[i-1]
	}
	return nil
}

// make gives a connection a session; nil if there is no room.
func (s *ftpSessions) make(c *conntrack.Conn) *ftpSession {
	i := s.unused
	switch {
	case i != 0:
		s.unused = s.list[i-1].next
	case int(s.touched) < len(s.list):
		s.touched++
		i = s.touched
	default:
		return nil
	}
	s.list[i-1] = ftpSession{}
	c.App |= i << ftpSessionShift
	return &s.list[i-1]
}

// free takes back the session of a connection that ends, if it has one.
func (s *ftpSessions) free(c *conntrack.Conn) {
	if i := c.App &^ ftpHelped >> ftpSessionShift; i != 0 {
		s.list[i-1].next = s.unused
		s.unused = i
	}
}

func ftpModeOf(c *conntrack.Conn) ftpMode        { return ftpMode(c.App & ftpModes) }
func setFTPMode(c *conntrack.Conn, mode ftpMode) { c.App = c.App&^ftpModes | uint32(mode) }

// ftpClient reads what a client sends on its control connection, and has it acknowledge what the server has really sent.
func (w *Worker) ftpClient(f *packet.Frame, m *packet.Meta, c *conntrack.Conn, now clock.Mono) packet.DropReason {
	b := f.Bytes()
	if s := w.apps.ftp.of(c); s != nil && m.TCPFlags&packet.ACK != 0 {
		if !s.shift.shiftAck(b[m.L4:m.End], int(m.Payload-m.L4)) {
			return packet.DropBadTransport
		}
	}
	data := b[m.Payload:m.End]
	if len(data) == 0 || c.State() != conntrack.TCPEstablished {
		return packet.NoDrop
	}
	mode, done := ftpAsked(data, m.Family, ftpModeOf(c))
	setFTPMode(c, mode)
	if done {
		return packet.NoDrop
	}
	e, ok := ftpEndpoint{}, false
	if m.Family == packet.IPv4Family {
		e, ok = ftpPORT(data)
	}
	if !ok {
		if e, ok = ftpEPRT(data, m.Family); !ok {
			return packet.NoDrop
		}
	}
	setFTPMode(c, ftpActive)
	spec := conntrack.Spec{Real: c.Real(), RealPort: c.RealPort() - 1}
	spec.Src, spec.SrcPort, spec.DstPort = e.addr, e.port, c.VirtualPort()-1
	return w.announce(&spec, c, now)
}

// ftpServer reads what a server answers on its control connection, puts the address of the service in the place of its own,
// and has the client see the sequence numbers that fit.
func (w *Worker) ftpServer(f *packet.Frame, m *packet.Meta, c *conntrack.Conn, now clock.Mono) packet.DropReason {
	s := w.apps.ftp.of(c)
	seq := packet.TCP(f.Bytes()[m.L4:]).Seq()
	data := f.Bytes()[m.Payload:m.End]
	again := -1
	if s != nil {
		if at := s.answer - seq; at < uint32(len(data)) {
			again = int(at)
		}
	}
	reason := packet.NoDrop
	switch mode := ftpModeOf(c); {
	case again >= 0:
		w.ftpAgain(f, m, c, s, again)
	case mode == ftpActive || len(data) == 0:
	case c.State() == conntrack.TCPEstablished, m.TCPFlags&packet.FIN != 0: // the FIN has just ended that state
		reason = w.ftpAnswer(f, m, c, mode, now)
	}
	if s = w.apps.ftp.of(c); s != nil {
		s.shift.shiftSeq(f.Bytes()[m.L4:m.End])
	}
	return reason
}

// ftpRead reads the answer to PASV or EPSV at the beginning of data.
func ftpRead(data []byte, c *conntrack.Conn, mode ftpMode) (ftpEndpoint, bool) {
	if mode == ftpExtended {
		return ftp229(data, c.Family(), c.Real())
	}
	return ftp227(data)
}

// ftpAnswer has the table expect what the answer to PASV or EPSV announces, and changes the answer.
func (w *Worker) ftpAnswer(f *packet.Frame, m *packet.Meta, c *conntrack.Conn, mode ftpMode, now clock.Mono) packet.DropReason {
	data := f.Bytes()[m.Payload:m.End]
	e, ok := ftpRead(data, c, mode)
	if !ok {
		return packet.NoDrop
	}
	spec := conntrack.Spec{Real: e.addr, RealPort: e.port, Flags: conntrack.Expected}
	spec.Src, spec.DstPort = c.Client(), e.port
	if r := w.announce(&spec, c, now); r != packet.NoDrop {
		return r
	}
	setFTPMode(c, ftpActive)
	var buf [ftpTextLen]byte
	virtual := c.Virtual()
	text := ftpText(buf[:0], mode, &virtual, e.port)
	if string(text) == string(data[e.start:e.end]) {
		return packet.NoDrop
	}
	s := w.apps.ftp.of(c)
	if s == nil {
		if s = w.apps.ftp.make(c); s == nil {
			return packet.DropTableFull
		}
	}
	s.answer, s.mode = packet.TCP(f.Bytes()[m.L4:]).Seq(), mode
	s.shift.change(s.answer, int32(len(text)-(e.end-e.start)))
	if !replaceData(f, m, e.start, e.end, text) {
		return packet.DropTooBig
	}
	return packet.NoDrop
}

// ftpAgain changes the answer that was changed before and that is sent again, at offset at of a segment's data. What it
// announces is known.
func (w *Worker) ftpAgain(f *packet.Frame, m *packet.Meta, c *conntrack.Conn, s *ftpSession, at int) {
	data := f.Bytes()[int(m.Payload)+at : m.End]
	e, ok := ftpRead(data, c, s.mode)
	if !ok {
		return
	}
	var buf [ftpTextLen]byte
	virtual := c.Virtual()
	replaceData(f, m, at+e.start, at+e.end, ftpText(buf[:0], s.mode, &virtual, e.port))
}
