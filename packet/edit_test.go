package packet

import (
	"bytes"
	"testing"
)

func TestDecrementTTL(t *testing.T) {
	for _, tuple := range []Tuple{tuple4(ProtoTCP), tuple6(ProtoTCP)} {
		for ttl := range 256 {
			s := spec(tuple)
			s.TTL = uint8(ttl)
			s.ID = uint16(ttl * 259)
			b := Build(nil, s)
			if ttl == 0 {
				setTTL(b, 0)
			}
			m := mustParse(t, b)
			want := bytes.Clone(b)
			if ttl > 1 {
				setTTL(want, uint8(ttl-1))
			}
			f := frameOf(b)
			if got := DecrementTTL(&f, &m); got != (ttl > 1) {
				t.Errorf("family %d, ttl %d: %v", tuple.Family, ttl, got)
			}
			if !bytes.Equal(f.Bytes(), want) {
				t.Errorf("family %d, ttl %d:\n got % x\nwant % x", tuple.Family, ttl, f.Bytes()[:60], want[:60])
			}
		}
	}
}

// TestDecrementTTLAnyHeader: every value of the other words, so that every carry comes up.
func TestDecrementTTLAnyHeader(t *testing.T) {
	b := Build(nil, spec(tuple4(ProtoTCP)))
	m := mustParse(t, b)
	f := frameOf(b)
	h := IPv4(f.Bytes()[m.L3:])
	for id := range 1 << 16 {
		h.SetID(uint16(id))
		h.SetTTL(64)
		h.SetChecksum(h.ComputeChecksum())
		if !DecrementTTL(&f, &m) {
			t.Fatal("refused")
		}
		if got, want := h.Checksum(), h.ComputeChecksum(); got != want || h.TTL() != 63 {
			t.Fatalf("id %#x: checksum %#04x, want %#04x, ttl %d", id, got, want, h.TTL())
		}
	}
}

// setTTL writes the time to live of an untagged frame and makes the checksum anew.
func setTTL(b []byte, ttl uint8) {
	if b[EthernetLen]>>4 == 6 {
		IPv6(b[EthernetLen:]).SetHopLimit(ttl)
		return
	}
	h := IPv4(b[EthernetLen:])
	h.SetTTL(ttl)
	h.SetChecksum(h.ComputeChecksum())
}

func TestSetMACs(t *testing.T) {
	b := Build(nil, spec(tuple4(ProtoUDP)))
	want := bytes.Clone(b)
	f := frameOf(b)
	src, dst := MAC{2, 0, 0, 0, 2, 1}, MAC{2, 0, 0, 0, 2, 0x11}
	SetMACs(&f, src, dst)
	copy(want, append(dst[:], src[:]...))
	if !bytes.Equal(f.Bytes(), want) {
		t.Errorf("got % x\nwant % x", f.Bytes(), want)
	}
}
