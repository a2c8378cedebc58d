package health

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var (
	client4 = netip.MustParseAddrPort("192.0.2.1:61234")
	client6 = netip.MustParseAddrPort("[2001:db8::1]:61234")
	vip4    = netip.MustParseAddrPort("198.51.100.1:80")
	vip6    = netip.MustParseAddrPort("[2001:db8:1::1]:80")
)

func TestSegmentIsWhatOthersRead(t *testing.T) {
	server4, server6 := netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("2001:db8::11")
	syn4 := segment{Src: client4, Dst: vip4, Seq: 0xfffffffe, Flags: tcpSYN}
	syn6 := segment{Src: client6, Dst: vip6, Seq: 7, Flags: tcpSYN}
	rst4 := segment{Src: client4, Dst: vip4, Seq: 9, Flags: tcpRST}
	for _, tt := range []struct {
		name   string
		s      segment
		tunnel Tunnel
		server netip.Addr
		own    netip.Addr
		want   []gopacket.LayerType
	}{
		{"DR, IPv4", syn4, NoTunnel, server4, client4.Addr(), []gopacket.LayerType{layers.LayerTypeIPv4, layers.LayerTypeTCP}},
		{"DR, IPv6", syn6, NoTunnel, server6, client6.Addr(), []gopacket.LayerType{layers.LayerTypeIPv6, layers.LayerTypeTCP}},
		{"reset", rst4, NoTunnel, server4, client4.Addr(), []gopacket.LayerType{layers.LayerTypeIPv4, layers.LayerTypeTCP}},
		{"IPIP", syn4, TunnelIPIP, server4, client4.Addr(), []gopacket.LayerType{layers.LayerTypeIPv4, layers.LayerTypeIPv4, layers.LayerTypeTCP}},
		{"IPv6 in IPv4", syn6, TunnelIPIP, server4, client4.Addr(), []gopacket.LayerType{layers.LayerTypeIPv4, layers.LayerTypeIPv6, layers.LayerTypeTCP}},
		{"IPv4 in IPv6", syn4, TunnelIPIP, server6, client6.Addr(), []gopacket.LayerType{layers.LayerTypeIPv6, layers.LayerTypeIPv4, layers.LayerTypeTCP}},
		{"GRE", syn4, TunnelGRE, server4, client4.Addr(), []gopacket.LayerType{layers.LayerTypeIPv4, layers.LayerTypeGRE, layers.LayerTypeIPv4, layers.LayerTypeTCP}},
		{"GUE", syn4, TunnelGUE, server4, client4.Addr(), []gopacket.LayerType{layers.LayerTypeIPv4, layers.LayerTypeUDP}},
		{"GUE, IPv6", syn6, TunnelGUE, server6, client6.Addr(), []gopacket.LayerType{layers.LayerTypeIPv6, layers.LayerTypeUDP}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.tunnel.wrap(tt.own, tt.server, 6080, 61234, tt.s.packet())
			inner := decode(t, b, tt.want, tt.own, tt.server, tt.tunnel != NoTunnel)
			got, ok := parseSegment(inner)
			if !ok || got != tt.s {
				t.Errorf("read back %+v, %t, want %+v", got, ok, tt.s)
			}
		})
	}
}

// decode has another implementation read the packet, checks lengths and checksums, and returns the inner IP packet.
func decode(t *testing.T, b []byte, want []gopacket.LayerType, own, server netip.Addr, outer bool) []byte {
	t.Helper()
	first := layers.LayerTypeIPv4
	if b[0]>>4 == 6 {
		first = layers.LayerTypeIPv6
	}
	p := gopacket.NewPacket(b, first, gopacket.Default)
	var network gopacket.NetworkLayer
	for i, l := range p.Layers() {
		if l.LayerType() == gopacket.LayerTypePayload {
			continue
		}
		if i >= len(want) {
			break
		}
		if l.LayerType() != want[i] {
			t.Fatalf("layer %d is %v, want %v", i, l.LayerType(), want[i])
		}
		switch l := l.(type) {
		case *layers.IPv4:
			network = l
			if got := onesSum(0, l.Contents); got != 0xffff {
				t.Errorf("IPv4 header sums up to %x", got)
			}
			if i == 0 && int(l.Length) != len(b) {
				t.Errorf("length %d of %d bytes", l.Length, len(b))
			}
		case *layers.IPv6:
			network = l
			if i == 0 && int(l.Length)+40 != len(b) {
				t.Errorf("length %d of %d bytes", l.Length, len(b))
			}
		case *layers.TCP:
			checkSum(t, l, network, protoTCP, append(l.Contents, l.Payload...))
		case *layers.UDP:
			checkSum(t, l, network, protoUDP, append(l.Contents, l.Payload...))
			if l.DstPort != 6080 || l.Payload[0] != 0 {
				t.Errorf("GUE to port %d, first byte %x", l.DstPort, l.Payload[0])
			}
			b = l.Payload[4:]
		case *layers.GRE:
			b = l.Payload
		}
	}
	if o, ok := p.NetworkLayer().(*layers.IPv4); ok && outer {
		if o.SrcIP.String() != own.String() || o.DstIP.String() != server.String() {
			t.Errorf("outer header from %v to %v", o.SrcIP, o.DstIP)
		}
		if o.Protocol == layers.IPProtocolIPv4 || o.Protocol == layers.IPProtocolIPv6 {
			b = o.Payload
		}
	}
	if o, ok := p.NetworkLayer().(*layers.IPv6); ok && outer && (o.NextHeader == layers.IPProtocolIPv4 || o.NextHeader == layers.IPProtocolIPv6) {
		b = o.Payload
	}
	return b
}

func checkSum(t *testing.T, l gopacket.Layer, n gopacket.NetworkLayer, proto byte, b []byte) {
	t.Helper()
	src, _ := netip.AddrFromSlice(n.NetworkFlow().Src().Raw())
	dst, _ := netip.AddrFromSlice(n.NetworkFlow().Dst().Raw())
	if got := onesSum(pseudoSum(src, dst, proto, len(b)), b); got != 0xffff {
		t.Errorf("%v sums up to %x", l.LayerType(), got)
	}
}

func TestParseSegmentRefuses(t *testing.T) {
	good := segment{Src: vip4, Dst: client4, Flags: tcpSYN | tcpACK}.packet()
	change := func(at int, v byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = v
		return b
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "short": good[:39], "no TCP": change(9, protoUDP), "later fragment": change(7, 1),
		"header too long": change(0, 0x4f)[:40], "header too short": change(0, 0x44), "version": change(0, 0x55),
	} {
		if s, ok := parseSegment(b); ok {
			t.Errorf("%s: read %+v", name, s)
		}
	}
}

func FuzzParseSegment(f *testing.F) {
	f.Add(segment{Src: vip4, Dst: client4, Flags: tcpSYN | tcpACK}.packet())
	f.Add(segment{Src: vip6, Dst: client6, Flags: tcpRST}.packet())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := parseSegment(b)
		if !ok {
			return
		}
		again, ok := parseSegment(segment{Src: s.Src, Dst: s.Dst, Seq: s.Seq, Ack: s.Ack, Flags: s.Flags}.packet())
		if !ok || again != s {
			t.Errorf("%+v is read back as %+v", s, again)
		}
	})
}
