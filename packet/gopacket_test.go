package packet

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// otherDecoder is what gopacket makes of a frame, as far as Parse looks.
type otherDecoder struct {
	ok             bool // decoded without error, and by no protocol that Parse does not follow
	vlan           uint16
	src, dst       Addr
	proto          uint8
	sport, dport   uint16
	payload        []byte // behind TCP, UDP or SCTP
	transport      bool
	headerChecksum bool // the IPv4 header sums up
}

// decodeOther runs gopacket over frame.
func decodeOther(frame []byte) (o otherDecoder) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{NoCopy: true})
	if p.Metadata().Truncated {
		return o
	}
	tags := 0
	o.headerChecksum = true
	for i, l := range p.Layers() {
		switch l := l.(type) {
		case *layers.Ethernet:
			if i != 0 || l.Length != 0 {
				return o
			}
		case *layers.Dot1Q:
			if tags++; tags > 1 || p.Layers()[0].(*layers.Ethernet).EthernetType != layers.EthernetTypeDot1Q {
				return o
			}
			o.vlan = uint16(l.Priority)<<13 | l.VLANIdentifier
			if l.DropEligible {
				o.vlan |= 0x1000
			}
		case *layers.IPv4:
			if l.Version != 4 || l.IHL < 5 || o.proto != 0 {
				return o
			}
			o.src, o.dst, o.proto = addr4Of(l.SrcIP), addr4Of(l.DstIP), uint8(l.Protocol)
			o.headerChecksum = slowChecksum(l.Contents) == 0
		case *layers.IPv6:
			if l.Version != 6 || o.proto != 0 {
				return o
			}
			if h := l.HopByHop; h != nil && h.ActualLength+len(l.Payload) > int(l.Length) {
				return o // gopacket does not count the header, and reads what lies behind the packet
			}
			o.src, o.dst, o.proto = Addr(l.SrcIP), Addr(l.DstIP), uint8(l.NextHeader)
		case *layers.IPv6HopByHop, *layers.IPv6Routing, *layers.IPv6Destination:
			if o.src.Is4() || len(l.LayerContents()) == 0 {
				return o // gopacket follows them behind IPv4 too; empty is one that it could not decode
			}
			o.proto = l.LayerContents()[0]
		case *layers.TCP:
			o.sport, o.dport, o.payload, o.transport = uint16(l.SrcPort), uint16(l.DstPort), l.Payload, true
			o.ok = o.proto == ProtoTCP && l.DataOffset >= 5
			return o
		case *layers.UDP:
			o.sport, o.dport, o.payload, o.transport = uint16(l.SrcPort), uint16(l.DstPort), l.Payload, true
			o.ok = o.proto == ProtoUDP && l.Length >= UDPLen
			return o
		case *layers.SCTP:
			o.sport, o.dport, o.payload, o.transport = uint16(l.SrcPort), uint16(l.DstPort), l.Payload, true
			o.ok = o.proto == ProtoSCTP && len(l.Contents) == SCTPLen
			return o
		default:
			o.ok = o.proto != 0
			return o
		}
	}
	return o
}

func addr4Of(ip []byte) Addr {
	var a Addr
	copy(a[10:], []byte{0xff, 0xff})
	copy(a[12:], ip)
	return a
}

// disagree says where Parse and gopacket differ, "" if nowhere. gopacket has no opinion on what it cannot decode.
func disagree(frame []byte, m *Meta, r DropReason) string {
	o := decodeOther(frame)
	if !o.ok || len(frame) > maxFrame {
		return ""
	}
	if r != NoDrop {
		switch {
		case r == DropBadChecksum && !o.headerChecksum:
		case r == DropExtensionHeaders:
		case r == DropBadHeader && (o.src.Is4() || o.dst.Is4()): // v4-mapped in IPv6
		case !o.transport: // gopacket does not look as deep
		default:
			return fmt.Sprintf("gopacket sees nothing wrong, Parse drops: %v", r)
		}
		return ""
	}
	if !o.headerChecksum {
		return "header checksum wrong, not dropped"
	}
	if m.VLAN != o.vlan {
		return fmt.Sprintf("VLAN %#x, gopacket %#x", m.VLAN, o.vlan)
	}
	if m.Flags&ICMPError == 0 && (m.Src != o.src || m.Dst != o.dst) {
		return fmt.Sprintf("%v > %v, gopacket %v > %v", m.Src, m.Dst, o.src, o.dst)
	}
	if !o.transport || m.Flags&Fragment != 0 {
		return ""
	}
	if m.Proto != o.proto || m.SrcPort != o.sport || m.DstPort != o.dport {
		return fmt.Sprintf("%d %d > %d, gopacket %d %d > %d", m.Proto, m.SrcPort, m.DstPort, o.proto, o.sport, o.dport)
	}
	if got := frame[m.Payload:m.End]; !bytes.HasPrefix(got, o.payload) || m.Proto == ProtoTCP && len(got) != len(o.payload) {
		return fmt.Sprintf("payload % x, gopacket % x", got, o.payload)
	}
	return ""
}

func TestGopacketAgrees(t *testing.T) {
	compared := 0
	for _, r := range append(frameRows(t), builtRows()...) {
		var m Meta
		reason := Parse(r.frame, &m)
		if s := disagree(r.frame, &m, reason); s != "" {
			t.Errorf("%s: %s", r.name, s)
		}
		if o := decodeOther(r.frame); o.ok && o.transport {
			compared++
		}
	}
	if compared < 90 {
		t.Errorf("only %d frames could be compared", compared)
	}
}

// TestGopacketChecksums: the checksums that Build writes are those that gopacket computes.
func TestGopacketChecksums(t *testing.T) {
	for _, tuple := range []Tuple{tuple4(ProtoTCP), tuple4(ProtoUDP), tuple6(ProtoTCP), tuple6(ProtoUDP), tuple6(ProtoICMPv6), tuple4(ProtoICMP)} {
		b := Build(nil, spec(tuple))
		p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
		var stack []gopacket.SerializableLayer
		for _, l := range p.Layers() {
			switch l := l.(type) {
			case *layers.TCP:
				_ = l.SetNetworkLayerForChecksum(p.NetworkLayer())
			case *layers.UDP:
				_ = l.SetNetworkLayerForChecksum(p.NetworkLayer())
			case *layers.ICMPv6:
				_ = l.SetNetworkLayerForChecksum(p.NetworkLayer())
			}
			if l.LayerType() == gopacket.LayerTypePayload {
				continue // of an ICMPv6 echo the data are no layer; they are added below for all
			}
			s, ok := l.(gopacket.SerializableLayer)
			if !ok {
				t.Fatalf("%v: layer %v", tuple, l.LayerType())
			}
			stack = append(stack, s)
		}
		stack = append(stack, gopacket.Payload(spec(tuple).Payload))
		buf := gopacket.NewSerializeBuffer()
		opts := gopacket.SerializeOptions{ComputeChecksums: true, FixLengths: true}
		if err := gopacket.SerializeLayers(buf, opts, stack...); err != nil {
			t.Fatalf("%v: %v", tuple, err)
		}
		if !bytes.Equal(buf.Bytes(), b) {
			t.Errorf("%v\n     got % x\ngopacket % x", tuple, b, buf.Bytes())
		}
	}
}

// builtRows are frames of the benchmarks.
func builtRows() (rows []frameRow) {
	for _, f := range benchFrames() {
		rows = append(rows, frameRow{name: f.name, frame: f.b})
	}
	return rows
}
