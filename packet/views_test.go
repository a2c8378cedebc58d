package packet

import (
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// decodeLayer returns the first layer of type T that gopacket finds in b.
func decodeLayer[T gopacket.Layer](t *testing.T, b []byte) (l T) {
	t.Helper()
	for _, other := range gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default).Layers() {
		if l, ok := other.(T); ok {
			return l
		}
	}
	t.Fatalf("gopacket finds no %T in % x", l, b)
	return l
}

// equal complains if a field read through a view is not what another decoder read.
func equal[T comparable](t *testing.T, field string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", field, got, want)
	}
}

func TestEthernetFields(t *testing.T) {
	s := spec(tuple4(ProtoTCP))
	s.VLAN = 0x2064
	e := Ethernet(Build(nil, s))
	equal(t, "Dst", e.Dst(), s.DstMAC)
	equal(t, "Src", e.Src(), s.SrcMAC)
	equal(t, "Type", e.Type(), EtherTypeVLAN)
	equal(t, "TCI", e.TCI(), 0x2064)
	equal(t, "InnerType", e.InnerType(), EtherTypeIPv4)
	q := decodeLayer[*layers.Dot1Q](t, e)
	equal(t, "priority", e.TCI()>>13, uint16(q.Priority))
	equal(t, "identifier", e.TCI()&0xfff, q.VLANIdentifier)
}

func TestIPv4Fields(t *testing.T) {
	s := spec(tuple4(ProtoUDP))
	s.TOS, s.TTL, s.DF = 0xb9, 17, true
	for _, b := range [][]byte{Build(nil, s), withIPv4Options(Build(nil, s), 1, 1, 1, 0)} {
		h, l := IPv4(b[EthernetLen:]), decodeLayer[*layers.IPv4](t, b)
		equal(t, "Version", h.Version(), int(l.Version))
		equal(t, "HeaderLen", h.HeaderLen(), int(l.IHL)*4)
		equal(t, "TOS", h.TOS(), l.TOS)
		equal(t, "TotalLen", h.TotalLen(), int(l.Length))
		equal(t, "ID", h.ID(), l.Id)
		equal(t, "DontFragment", h.DontFragment(), l.Flags&layers.IPv4DontFragment != 0)
		equal(t, "MoreFragments", h.MoreFragments(), l.Flags&layers.IPv4MoreFragments != 0)
		equal(t, "FragmentOffset", h.FragmentOffset(), int(l.FragOffset)*8)
		equal(t, "TTL", h.TTL(), l.TTL)
		equal(t, "Protocol", h.Protocol(), uint8(l.Protocol))
		equal(t, "Checksum", h.Checksum(), l.Checksum)
		equal(t, "Src", h.Src(), addr4Of(l.SrcIP))
		equal(t, "Dst", h.Dst(), addr4Of(l.DstIP))
	}
	s.DF, s.MoreFragments, s.FragmentOffset = false, true, 2960
	h, l := IPv4(Build(nil, s)[EthernetLen:]), decodeLayer[*layers.IPv4](t, Build(nil, s))
	equal(t, "DontFragment", h.DontFragment(), false)
	equal(t, "MoreFragments", h.MoreFragments(), l.Flags&layers.IPv4MoreFragments != 0)
	equal(t, "FragmentOffset", h.FragmentOffset(), int(l.FragOffset)*8)
}

func TestIPv6Fields(t *testing.T) {
	s := spec(tuple6(ProtoUDP))
	s.TOS, s.TTL = 0xb9, 17
	b := Build(nil, s)
	h := IPv6(b[EthernetLen:])
	h.SetVersion(s.TOS, 0xabcde)
	l := decodeLayer[*layers.IPv6](t, b)
	equal(t, "Version", h.Version(), int(l.Version))
	equal(t, "TrafficClass", h.TrafficClass(), l.TrafficClass)
	equal(t, "FlowLabel", h.FlowLabel(), l.FlowLabel)
	equal(t, "PayloadLen", h.PayloadLen(), int(l.Length))
	equal(t, "NextHeader", h.NextHeader(), uint8(l.NextHeader))
	equal(t, "HopLimit", h.HopLimit(), l.HopLimit)
	equal(t, "Src", h.Src(), Addr(l.SrcIP))
	equal(t, "Dst", h.Dst(), Addr(l.DstIP))
}

func TestTCPFields(t *testing.T) {
	s := spec(tuple4(ProtoTCP))
	s.Seq, s.Ack, s.Window, s.TCPFlags = 0x01020304, 0xfffefdfc, 0x1234, ACK|PSH|URG|0x40
	b := Build(nil, s)
	h, l := TCP(b[34:]), decodeLayer[*layers.TCP](t, b)
	equal(t, "SrcPort", h.SrcPort(), uint16(l.SrcPort))
	equal(t, "DstPort", h.DstPort(), uint16(l.DstPort))
	equal(t, "Seq", h.Seq(), l.Seq)
	equal(t, "Ack", h.Ack(), l.Ack)
	equal(t, "HeaderLen", h.HeaderLen(), int(l.DataOffset)*4)
	equal(t, "Window", h.Window(), l.Window)
	equal(t, "Checksum", h.Checksum(), l.Checksum)
	equal(t, "UrgentPointer", h.UrgentPointer(), l.Urgent)
	for i, set := range []bool{l.FIN, l.SYN, l.RST, l.PSH, l.ACK, l.URG, l.ECE, l.CWR} {
		equal(t, "flag", h.Flags()>>i&1 == 1, set)
	}
	h.SetHeaderLen(32)
	equal(t, "HeaderLen", h.HeaderLen(), 32)
}

func TestUDPFields(t *testing.T) {
	b := Build(nil, spec(tuple6(ProtoUDP)))
	h, l := UDP(b[54:]), decodeLayer[*layers.UDP](t, b)
	equal(t, "SrcPort", h.SrcPort(), uint16(l.SrcPort))
	equal(t, "DstPort", h.DstPort(), uint16(l.DstPort))
	equal(t, "Len", h.Len(), int(l.Length))
	equal(t, "Checksum", h.Checksum(), l.Checksum)
}

func TestSCTPFields(t *testing.T) {
	s := spec(tuple4(ProtoSCTP))
	s.Tag = 0xcafe0001
	s.Payload = []byte{10, 0, 0, 4} // COOKIE ECHO without a cookie
	b := Build(nil, s)
	h, l := SCTP(b[34:]), decodeLayer[*layers.SCTP](t, b)
	equal(t, "SrcPort", h.SrcPort(), uint16(l.SrcPort))
	equal(t, "DstPort", h.DstPort(), uint16(l.DstPort))
	equal(t, "VerificationTag", h.VerificationTag(), l.VerificationTag)
	equal(t, "Checksum", h.Checksum(), h.ComputeChecksum())
}

// TestSCTPChecksum: captured packets of a stack that is not ours have the checksum that we compute.
func TestSCTPChecksum(t *testing.T) {
	seen := 0
	for _, r := range frameRows(t) {
		var m Meta
		if Parse(r.frame, &m) == NoDrop && m.Proto == ProtoSCTP && m.Flags == 0 {
			h := SCTP(r.frame[m.L4:m.End])
			equal(t, r.name, h.Checksum(), h.ComputeChecksum())
			seen++
		}
	}
	if seen < 10 {
		t.Errorf("only %d packets", seen)
	}
}

func TestICMPFields(t *testing.T) {
	echo := spec(tuple4(ProtoICMP))
	b := Build(nil, echo)
	h, l := ICMPv4(b[34:]), decodeLayer[*layers.ICMPv4](t, b)
	equal(t, "Type", h.Type(), l.TypeCode.Type())
	equal(t, "Code", h.Code(), l.TypeCode.Code())
	equal(t, "Checksum", h.Checksum(), l.Checksum)
	equal(t, "ID", h.ID(), l.Id)
	equal(t, "Seq", h.Seq(), l.Seq)

	echo6 := spec(tuple6(ProtoICMPv6))
	b = Build(nil, echo6)
	h6, l6 := ICMPv6(b[54:]), decodeLayer[*layers.ICMPv6](t, b)
	e6 := decodeLayer[*layers.ICMPv6Echo](t, b)
	equal(t, "Type", h6.Type(), l6.TypeCode.Type())
	equal(t, "Code", h6.Code(), l6.TypeCode.Code())
	equal(t, "Checksum", h6.Checksum(), l6.Checksum)
	equal(t, "ID", h6.ID(), e6.Identifier)
	equal(t, "Seq", h6.Seq(), e6.SeqNumber)
}

// TestICMPErrorFields: MTU and quote, in captured packets.
func TestICMPErrorFields(t *testing.T) {
	seen := 0
	for _, r := range frameRows(t) {
		var m Meta
		if Parse(r.frame, &m) != NoDrop || m.Flags&ICMPError == 0 {
			continue
		}
		t4, t6 := ICMPv4(r.frame[m.L4:m.End]), ICMPv6(r.frame[m.L4:m.End])
		switch {
		case m.Family == IPv4Family && t4.Type() == ICMPv4Unreachable && t4.Code() == ICMPv4FragNeeded:
			equal(t, r.name, uint32(t4.MTU()), 1300)
			equal(t, r.name, t4.Rest(), 1300)
			equal(t, r.name, t4.Quoted().Src(), m.Src)
			seen++
		case m.Family == IPv6Family && t6.Type() == ICMPv6PacketTooBig:
			equal(t, r.name, t6.MTU(), 1300)
			equal(t, r.name, t6.Rest(), 1300)
			equal(t, r.name, t6.Quoted().Dst(), m.Dst)
			seen++
		}
	}
	if seen < 3 {
		t.Errorf("only %d packets", seen)
	}
}
