package packet

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// unfinish leaves in b what a sender with checksum offload does.
func unfinish(t testing.TB, b []byte) {
	t.Helper()
	m := mustParse(t, b)
	switch m.Proto {
	case ProtoTCP:
		TCP(b[m.L4:]).SetChecksum(slowPseudo(b, &m, int(m.End)-int(m.L4)))
	case ProtoUDP:
		h := UDP(b[m.L4:])
		h.SetChecksum(slowPseudo(b, &m, h.Len()))
	case ProtoSCTP:
		SCTP(b[m.L4:]).SetChecksum(0)
	}
}

// slowPseudo sums the pseudo-header from the bytes of the IP header, word by word.
func slowPseudo(b []byte, m *Meta, n int) uint16 {
	var p []byte
	if m.Family == IPv4Family {
		p = append(p, b[m.L3+12:m.L3+20]...)
	} else {
		p = append(p, b[m.L3+8:m.L3+40]...)
	}
	p = append(p, 0, m.Proto)
	p = binary.BigEndian.AppendUint32(p, uint32(n))
	return ^slowChecksum(p)
}

func TestFinishChecksum(t *testing.T) {
	for _, tuple := range []Tuple{tuple4(ProtoTCP), tuple4(ProtoUDP), tuple4(ProtoSCTP),
		tuple6(ProtoTCP), tuple6(ProtoUDP), tuple6(ProtoSCTP)} {
		for n := range 40 {
			s := spec(tuple)
			s.Payload = bytes.Repeat([]byte{0xa5}, n)
			want := Build(nil, s)
			b := bytes.Clone(want)
			m := mustParse(t, b)
			unfinish(t, b)
			f := frameOf(b)
			if !FinishChecksum(&f, &m) || !bytes.Equal(f.Bytes(), want) {
				t.Errorf("%v, %d bytes: not mended\n got % x\nwant % x", tuple, n, f.Bytes(), want)
			}
			if FinishChecksum(&f, &m) || !bytes.Equal(f.Bytes(), want) {
				t.Errorf("%v, %d bytes: mended a second time", tuple, n)
			}
		}
	}
}

// TestFinishChecksumShortUDP: what lies behind a UDP datagram in its IP packet is not summed.
func TestFinishChecksumShortUDP(t *testing.T) {
	s := spec(tuple6(ProtoUDP))
	want := append(Build(nil, s), 1, 2, 3, 4)
	h := IPv6(want[EthernetLen:])
	h.SetPayloadLen(h.PayloadLen() + 4)
	b := bytes.Clone(want)
	m := mustParse(t, b)
	if int(m.End) != len(b) || !ChecksumOK(b, &m) {
		t.Fatalf("End %d of %d, or a wrong checksum", m.End, len(b))
	}
	unfinish(t, b)
	f := frameOf(b)
	if ChecksumOK(b, &m) || !FinishChecksum(&f, &m) || !bytes.Equal(f.Bytes(), want) {
		t.Errorf("\n got % x\nwant % x", f.Bytes(), want)
	}
}

// TestChecksumOK: only over IPv4 may a UDP datagram go without (RFC 8200, section 8.1).
func TestChecksumOK(t *testing.T) {
	for _, tuple := range []Tuple{tuple4(ProtoUDP), tuple6(ProtoUDP)} {
		b := Build(nil, spec(tuple))
		m := mustParse(t, b)
		UDP(b[m.L4:]).SetChecksum(0)
		if got, want := ChecksumOK(b, &m), tuple.Family == IPv4Family; got != want {
			t.Errorf("family %d: %v, want %v", tuple.Family, got, want)
		}
	}
}

// TestFinishChecksumLeavesAlone: no byte changes.
func TestFinishChecksumLeavesAlone(t *testing.T) {
	tcp := Build(nil, spec(tuple4(ProtoTCP)))
	damaged := bytes.Clone(tcp)
	damaged[len(damaged)-1] ^= 0x10
	noSum := Build(nil, spec(tuple4(ProtoUDP)))
	UDP(noSum[34:]).SetChecksum(0)
	noSum6 := Build(nil, spec(tuple6(ProtoUDP)))
	UDP(noSum6[54:]).SetChecksum(0)
	badSCTP := Build(nil, spec(tuple4(ProtoSCTP)))
	SCTP(badSCTP[34:]).SetChecksum(0xdeadbeef)
	fragment := spec(tuple4(ProtoUDP))
	fragment.MoreFragments = true
	first := Build(nil, fragment)
	unfinishRaw(first, UDPLen+len(fragment.Payload))
	other := Build(nil, spec(tuple4(ProtoESP)))
	for _, tc := range []struct {
		name string
		b    []byte
	}{
		{"right", tcp},
		{"data damaged", damaged},
		{"udp without checksum", noSum},
		{"udp6 without checksum", noSum6},
		{"sctp damaged", badSCTP},
		{"first fragment", first},
		{"other protocol", other},
		{"icmp error about an unfinished packet", icmpErrorAboutUnfinished(t)},
		{"icmp error that has the sum where udp has its checksum", icmpErrorLikeUnfinished()},
		{"right, and equal to the pseudo-header's sum", coincidence(t)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := mustParse(t, tc.b)
			f := frameOf(tc.b)
			if FinishChecksum(&f, &m) {
				t.Error("says it wrote")
			}
			if !bytes.Equal(f.Bytes(), tc.b) {
				t.Errorf("\n got % x\nwant % x", f.Bytes(), tc.b)
			}
		})
	}
}

// unfinishRaw is unfinish for a UDP datagram of n bytes in an untagged IPv4 frame without options.
func unfinishRaw(b []byte, n int) {
	UDP(b[34:]).SetChecksum(slowPseudo(b, &Meta{L3: 14, Tuple: tuple4(ProtoUDP)}, n))
}

func icmpErrorAboutUnfinished(t *testing.T) []byte {
	b := Build(nil, spec(tuple4(ProtoTCP)))
	unfinish(t, b)
	return icmpError(b)
}

// icmpErrorLikeUnfinished returns an ICMP error about a UDP datagram whose four bytes behind the checksum read like
// length and checksum of an unfinished datagram between the quoted addresses.
func icmpErrorLikeUnfinished() []byte {
	quoted := tuple4(ProtoUDP)
	s := spec(tuple4(ProtoICMP).Reverse())
	s.ICMPType = ICMPv4Unreachable
	s.Payload = Build(nil, spec(quoted))[EthernetLen:]
	const n = UDPLen + 4
	s.ICMPRest = n<<16 | pseudoHeader(&quoted, n)
	return Build(nil, s)
}

// coincidence returns a TCP segment whose right checksum is what an unfinished one would hold: the data make up for it.
func coincidence(t *testing.T) []byte {
	s := spec(tuple4(ProtoTCP))
	s.Payload = make([]byte, 2)
	b := Build(nil, s)
	m := mustParse(t, b)
	pseudo := slowPseudo(b, &m, int(m.End)-int(m.L4))
	h := TCP(b[m.L4:])
	// The checksum is the complement of a sum in which the data stand as they are.
	for v := range 1 << 16 {
		binary.BigEndian.PutUint16(b[m.Payload:], uint16(v))
		h.SetChecksum(0)
		if sum := Checksum(b[m.L4:], uint32(pseudo)); sum == pseudo {
			h.SetChecksum(sum)
			return b
		}
	}
	t.Fatal("no such data")
	return nil
}

// TestFinishChecksumDamaged: of packets with any other wrong checksum none is touched.
func TestFinishChecksumDamaged(t *testing.T) {
	for _, tuple := range []Tuple{tuple4(ProtoTCP), tuple6(ProtoUDP)} {
		b := Build(nil, spec(tuple))
		m := mustParse(t, b)
		off := int(m.L4) + tcpChecksumOffset
		if tuple.Proto == ProtoUDP {
			off = int(m.L4) + udpChecksumOffset
		}
		pseudo := slowPseudo(b, &m, int(m.End)-int(m.L4))
		f := frameOf(b)
		wrote := 0
		for v := range 1 << 16 {
			binary.BigEndian.PutUint16(f.Bytes()[off:], uint16(v))
			if FinishChecksum(&f, &m) {
				if wrote++; uint16(v) != pseudo {
					t.Errorf("%v: wrote over %#04x", tuple, v)
				}
			} else if got := binary.BigEndian.Uint16(f.Bytes()[off:]); got != uint16(v) {
				t.Errorf("%v: %#04x became %#04x without saying so", tuple, v, got)
			}
		}
		if wrote != 1 {
			t.Errorf("%v: wrote %d times, want 1", tuple, wrote)
		}
	}
}

// TestFinishChecksumUDPZero: a sum that comes out as 0 is written as 0xffff.
func TestFinishChecksumUDPZero(t *testing.T) {
	s := spec(tuple4(ProtoUDP))
	s.Payload = make([]byte, 2)
	b := Build(nil, s)
	m := mustParse(t, b)
	binary.BigEndian.PutUint16(b[m.Payload:], UDP(b[m.L4:]).Checksum()) // takes the sum to 0xffff
	UDP(b[m.L4:]).SetChecksum(0xffff)
	if !ChecksumOK(b, &m) {
		t.Fatal("test data are wrong")
	}
	want := bytes.Clone(b)
	unfinish(t, b)
	f := frameOf(b)
	if !FinishChecksum(&f, &m) || !bytes.Equal(f.Bytes(), want) {
		t.Fatalf("\n got % x\nwant % x", f.Bytes(), want)
	}
}
