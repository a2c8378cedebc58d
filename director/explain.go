package director

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"dirsw/config"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/packet"
)

// ParseFlow reads what explain is asked: "tcp 192.0.2.1:40000 > 192.168.56.200:80", with an optional list of TCP flags
// before the addresses ("tcp ACK 192.0.2.1:40000 > …"; SYN when there is none). "->" and "to" are understood for ">".
func ParseFlow(q string) (packet.Spec, error) {
	var s packet.Spec
	w := strings.Fields(strings.NewReplacer("->", " > ", ">", " > ", " to ", " > ").Replace(q))
	if len(w) == 5 && strings.EqualFold(w[0], "tcp") {
		for _, name := range strings.Split(strings.ToUpper(w[1]), ",") {
			bit, ok := map[string]uint8{"FIN": packet.FIN, "SYN": packet.SYN, "RST": packet.RST, "PSH": packet.PSH,
				"ACK": packet.ACK, "URG": packet.URG}[name]
			if !ok {
				return s, fmt.Errorf("%q is not a TCP flag; write some of FIN,SYN,RST,PSH,ACK,URG", name)
			}
			s.TCPFlags |= bit
		}
		w = append(w[:1], w[2:]...)
	}
	if len(w) != 4 || w[2] != ">" {
		return s, fmt.Errorf("%q is not a flow; write it as \"tcp 192.0.2.1:40000 > 192.0.2.100:80\"", q)
	}
	switch strings.ToLower(w[0]) {
	case "tcp":
		if s.Proto = packet.ProtoTCP; s.TCPFlags == 0 {
			s.TCPFlags = packet.SYN
		}
	case "udp":
		s.Proto = packet.ProtoUDP
	case "sctp":
		s.Proto = packet.ProtoSCTP
	default:
		return s, fmt.Errorf("%q is not a protocol of a service; write tcp, udp or sctp", w[0])
	}
	src, err := netip.ParseAddrPort(w[1])
	if err != nil {
		return s, fmt.Errorf("%q is not an address and port; write 192.0.2.1:40000 or [2001:db8::1]:40000", w[1])
	}
	dst, err := netip.ParseAddrPort(w[3])
	if err != nil {
		return s, fmt.Errorf("%q is not an address and port; write 192.0.2.100:80 or [2001:db8::100]:80", w[3])
	}
	if src.Addr().Is4() != dst.Addr().Is4() {
		return s, fmt.Errorf("%s and %s are of different families", src.Addr(), dst.Addr())
	}
	s.Src, s.Dst, s.SrcPort, s.DstPort = packet.AddrFrom(src.Addr()), packet.AddrFrom(dst.Addr()), src.Port(), dst.Port()
	if s.Family = packet.IPv6Family; src.Addr().Is4() {
		s.Family = packet.IPv4Family
	}
	return s, nil
}

// Inquiry is a flow that explain is asked about: the question for a worker, and what came of it.
type Inquiry struct {
	Flow     packet.Spec
	Question forward.Question                // for a Command, or Worker.Explain
	Checks   func(forward.ServiceKey) string // what the checks have changed of a service; nil: nothing
	given    []byte                          // the frame as it came
}

// NewInquiry makes the frame of a flow as it would come in by a port.
func NewInquiry(flow packet.Spec, port forward.PortInfo) *Inquiry {
	s := flow
	s.SrcMAC, s.DstMAC = packet.MAC{2, 0, 0, 0, 0, 1}, port.MAC
	const headroom = 256
	buf := make([]byte, 2048)
	frame := packet.Build(buf[headroom:headroom], s)
	return &Inquiry{Flow: flow, given: bytes.Clone(frame),
		Question: forward.Question{Frame: packet.MakeFrame(buf, headroom, len(frame), 0, 0)}}
}

// Answer says in words what a worker answered: the service, the server, why, whom the scheduler passed over, the bytes that
// change and the frame that would leave. Ports are the names of the lanes' ports; the model gives the places in the
// configuration and may be nil.
func (in *Inquiry) Answer(m *config.Model, ports []string) string {
	var b strings.Builder
	q, flow := &in.Question, &in.Flow
	v := &q.Verdict
	fmt.Fprintf(&b, "%s %s > %s\n", protoName(flow.Proto), addrPort(flow.Src, flow.SrcPort), addrPort(flow.Dst, flow.DstPort))
	if q.Mark != 0 {
		fmt.Fprintf(&b, "mark:    %d, by the rules of the mangle table\n", q.Mark)
	}
	if v.Service != forward.NoService {
		fmt.Fprintf(&b, "service: %s\n", describeService(&q.Snapshot.Services[v.Service], m))
	}
	if q.HasRetired {
		fmt.Fprintf(&b, "retired: the client's persistence template, to %s: %s\n", destination(q.Snapshot, q.Retired), retiredFor(q))
	}
	if placed(v) {
		d := &q.Snapshot.Dests[v.Dest]
		fmt.Fprintf(&b, "server:  %s %v weight %d\n", addrPort(d.Addr, d.Port), d.Method, d.Weight)
		fmt.Fprintf(&b, "because: %s\n", because(q, d))
	}
	if chosen, asked := scheduled(v, q.Snapshot); asked {
		svc := &q.Snapshot.Services[v.Service]
		b.WriteString(candidates(svc, chosen))
		if in.Checks != nil {
			b.WriteString(in.Checks(svc.Key))
		}
	}
	refused := refusal{}
	if v.Why == forward.WhyKernel || v.Drop == packet.DropNoService {
		refused = refusalOf(m, q.Snapshot, flow.Dst)
	}
	switch {
	case refused.in != nil && refused.here: // whatever a worker would say of it
	case v.Drop != packet.NoDrop:
		fmt.Fprintf(&b, "dropped: %v: %s\n", v.Drop, DropText(v.Drop))
	case v.Why == forward.WhyKernel:
		b.WriteString("kernel:  it is nothing of ours; the network stack of this host gets it\n")
	default:
		in.leaves(&b, ports)
	}
	if refused.in != nil {
		b.WriteString(refused.text(flow.Dst))
	}
	return b.String()
}

// leaves tells of the frame that would leave.
func (in *Inquiry) leaves(b *strings.Builder, ports []string) {
	q := &in.Question
	frame := q.Frame.Bytes()
	if text := changes(in.given, frame); text != "" {
		fmt.Fprintf(b, "changes, by the bytes of the frame that came:\n%s", text)
	}
	eth := packet.Ethernet(frame)
	port := fmt.Sprint("port ", q.Frame.Port)
	if int(q.Frame.Port) < len(ports) {
		port = ports[q.Frame.Port]
	}
	if q.Verdict.Dir != conntrack.FromServer && q.Snapshot.Dests[q.Verdict.Dest].Hop.Local {
		port = "the way to this host's own network stack"
	}
	fmt.Fprintf(b, "frame:   %v > %v, %d bytes, out of %s\n", macString(eth.Src()), macString(eth.Dst()), len(frame), port)
	for i := 0; i < len(frame); i += 16 {
		fmt.Fprintf(b, "         %04x  % x\n", i, frame[i:min(i+16, len(frame))])
	}
}

// placed reports whether a verdict names a real server.
func placed(v *forward.Verdict) bool {
	switch v.Why {
	case forward.WhyConnection, forward.WhyTemplate, forward.WhyScheduler, forward.WhyRelated:
		return true
	}
	return false
}

func destination(s *forward.Snapshot, id conntrack.DestID) string {
	d := &s.Dests[id]
	return addrPort(d.Addr, d.Port)
}

// retiredFor says why a template places no connections any more.
func retiredFor(q *forward.Question) string {
	if q.Snapshot.Dests[q.Retired].Gone {
		return "the server was removed"
	}
	if q.Snapshot.Dests[q.Retired].Ends {
		return "the server has weight 0, and the service says expire_quiescent_conn"
	}
	return "the server has weight 0, and expire_quiescent_template is on"
}

func because(q *forward.Question, d *forward.Dest) string {
	v := &q.Verdict
	switch v.Why {
	case forward.WhyTemplate:
		return fmt.Sprintf("persistence template %v -> %s, %s left; it is renewed by every new connection",
			q.TemplateClient, addrPort(d.Addr, d.Port), seconds(v.Left))
	case forward.WhyConnection:
		who := ""
		if v.Dir == conntrack.FromServer {
			who = "it is the server's answer; "
		}
		return fmt.Sprintf("%sthe connection is known, state %v, %s left", who, v.State, seconds(v.Left))
	case forward.WhyScheduler:
		return fmt.Sprintf("a new connection; scheduler %s gives it the turn", q.Snapshot.Services[v.Service].Kind.Name)
	}
	return v.Why.String()
}

func describeService(s *forward.Service, m *config.Model) string {
	name, pos := "", ""
	if m != nil {
		for i := range m.Services {
			if keyOf(&m.Services[i]) == s.Key {
				name, pos = m.Services[i].Key().String(), " ("+m.Services[i].Whence()+")"
			}
		}
	}
	switch {
	case name != "":
	case s.Key.ByMark():
		name = fmt.Sprintf("fwmark %d", s.Key.Mark())
	default:
		name = fmt.Sprintf("%s %s", strings.ToUpper(protoName(s.Key.Proto)), addrPort(s.Key.Addr, s.Key.Port))
	}
	name += " " + s.Kind.Name
	if s.Persistence > 0 {
		name += fmt.Sprintf(" persistent %d", int(s.Persistence.Seconds()))
	}
	return name + pos
}

// DropText says in a sentence what a drop reason means to an operator.
func DropText(r packet.DropReason) string {
	switch r {
	case packet.DropNoService:
		return "no virtual service has this address, protocol and port; the packet filter leaves such frames to the kernel"
	case packet.DropNoConnection:
		return "it does not open a connection (TCP needs SYN for that) and no connection is known"
	case packet.DropNoServer:
		return "the service has no real server with a weight above 0 and below its threshold"
	case packet.DropTableFull:
		return "the connection table is full; raise connections in the dataplane block"
	case packet.DropDefence:
		return "drop_packet drops some new connections, and it was this one's turn; look at the room in the connection table"
	case packet.DropServerGone:
		return "the connection's real server was removed from the service; it works again when the server comes back"
	case packet.DropNoNextHop:
		return "the link layer address of the next hop to the real server is not known"
	case packet.DropTTL:
		return "its time to live is used up"
	case packet.DropTooBig:
		return "it is longer than the MTU towards the real server"
	case packet.DropFragment:
		return "the other fragments of its datagram did not come"
	case packet.DropDuplicate:
		return "it is a fragment that has come before"
	case packet.DropOverlap:
		return "it is a fragment that overlaps another one; the datagram is given up (RFC 5722)"
	case packet.DropBadFragment:
		return "it is a fragment that contradicts itself or the others of its datagram"
	case packet.DropNoFrame:
		return "no frame was left for a piece of it; it was too long to leave as it is"
	case packet.DropBadOptions:
		return "one of its IPv4 options contradicts itself"
	case packet.DropSourceRoute:
		return "it names its own route (source route option)"
	case packet.DropMartian:
		return "it is for this host itself, and says that it comes from there"
	case packet.DropTunnelError:
		return "it is an ICMP error about a tunnel; what it says was told to the client, or is kept in mind"
	case packet.DropMethod:
		return "this kind of packet is not served with the server's forwarding method"
	case packet.DropNoCall:
		return "it is no SIP message with a Call-ID, which the service's persistence goes by (persistence_engine sip)"
	case packet.DropProtocol:
		return "no service has this IP protocol"
	case packet.DropNotAccepted:
		return "this host is the master of the address and answers nothing there but what a virtual_server is for, ARP and neighbour discovery"
	case packet.DropHandover:
		return "the worker that owns the client took no more from this one"
	case packet.DropOverload:
		return "more came than the worker could take, and it would open a connection"
	case packet.DropICMP:
		return "it is an ICMP error about a connection that is not known"
	}
	return "the packet is not well formed or not served"
}

func protoName(p uint8) string {
	switch p {
	case packet.ProtoTCP:
		return "tcp"
	case packet.ProtoUDP:
		return "udp"
	case packet.ProtoSCTP:
		return "sctp"
	}
	return fmt.Sprint("protocol ", p)
}

func addrPort(a packet.Addr, port uint16) string { return netip.AddrPortFrom(a.Netip(), port).String() }

func seconds(d time.Duration) string {
	return fmt.Sprintf("%d s", int(d.Round(time.Second)/time.Second))
}

// FlowText says in a few words what a packet is.
func FlowText(m *packet.Meta) string {
	t := fmt.Sprintf("%s %s > %s", protoName(m.Proto), addrPort(m.Src, m.SrcPort), addrPort(m.Dst, m.DstPort))
	switch {
	case m.Flags&packet.ICMPError != 0:
		return "ICMP error about " + t
	case m.Flags&packet.LaterFragment != 0:
		return t + " later fragment"
	case m.Proto == packet.ProtoTCP:
		return t + " " + tcpFlagText(m.TCPFlags)
	}
	return t
}

func tcpFlagText(f uint8) string {
	var names []string
	for i, n := range []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"} {
		if f&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, ",")
}

// MACText is the usual form of an Ethernet address.
func MACText(m packet.MAC) string { return macString(m).String() }
