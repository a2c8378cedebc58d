package packet

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// slowChecksum is the example in C of RFC 1071, section 4.1, in Go.
func slowChecksum(b []byte) uint16 {
	var sum uint64
	for ; len(b) > 1; b = b[2:] {
		sum += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	fill := r.IntN(3) // carries everywhere, none at all, or as it comes
	for i := range b {
		switch fill {
		case 0:
			b[i] = 0xff
		case 1:
			b[i] = uint8(r.Uint32())
		}
	}
	return b
}

func TestChecksum(t *testing.T) {
	const seed = 1
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20000 {
		b := randomBytes(r, r.IntN(200))
		if got, want := Checksum(b, 0), slowChecksum(b); got != want {
			t.Fatalf("seed %d, %d bytes: %#04x, want %#04x of % x", seed, len(b), got, want, b)
		}
		cut := r.IntN(len(b)/2+1) * 2
		if got, want := Checksum(b[cut:], Sum(b[:cut], 0)), slowChecksum(b); got != want {
			t.Fatalf("seed %d, %d bytes cut at %d: %#04x, want %#04x", seed, len(b), cut, got, want)
		}
		initial := []uint32{r.Uint32(), r.Uint32() >> 12, 0xffffffff}[r.IntN(3)]
		want := slowChecksum(append(binary.BigEndian.AppendUint32(nil, initial), b...))
		if got := Checksum(b, initial); got != want {
			t.Fatalf("seed %d, initial %#x: %#04x, want %#04x", seed, initial, got, want)
		}
	}
}

func TestChecksumExample(t *testing.T) {
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7} // RFC 1071, section 3
	if got, want := Checksum(b, 0), ^uint16(0xddf2); got != want {
		t.Errorf("%#04x, want %#04x", got, want)
	}
}

func TestPseudoHeader(t *testing.T) {
	const seed = 2
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		src, dst := Addr(randomBytes(r, 16)), Addr(randomBytes(r, 16))
		proto, n := uint8(r.Uint32()), r.IntN(1<<16)
		four := append(append([]byte{}, src[12:]...), dst[12:]...)
		four = append(four, 0, proto, uint8(n>>8), uint8(n))
		if got, want := Fold(PseudoHeaderIPv4(src, dst, proto, n)), ^slowChecksum(four); got != want {
			t.Fatalf("seed %d: IPv4 %#04x, want %#04x", seed, got, want)
		}
		six := append(append([]byte{}, src[:]...), dst[:]...)
		six = append(binary.BigEndian.AppendUint32(six, uint32(n)), 0, 0, 0, proto)
		if got, want := Fold(PseudoHeaderIPv6(src, dst, proto, n)), ^slowChecksum(six); got != want {
			t.Fatalf("seed %d: IPv6 %#04x, want %#04x", seed, got, want)
		}
	}
}

// TestUpdateChecksum: an update gives what summing anew gives. Data are never all zero: a pseudo-header or a header
// with a version is in every sum.
func TestUpdateChecksum(t *testing.T) {
	const seed = 3
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20000 {
		b := append([]byte{0x45}, randomBytes(r, 59)...)
		sum := slowChecksum(b)
		at := 2 + 2*r.IntN(29)
		old, new := binary.BigEndian.Uint16(b[at:]), binary.BigEndian.Uint16(randomBytes(r, 2))
		binary.BigEndian.PutUint16(b[at:], new)
		if got, want := UpdateChecksum16(sum, old, new), slowChecksum(b); got != want {
			t.Fatalf("seed %d: %#04x -> %#04x: %#04x, want %#04x", seed, old, new, got, want)
		}
		sum = slowChecksum(b)
		was, is := Addr(b[8:24]), Addr(randomBytes(r, 16))
		copy(b[8:], is[:])
		if got, want := UpdateChecksumAddr(sum, was, is), slowChecksum(b); got != want {
			t.Fatalf("seed %d: %x -> %x: %#04x, want %#04x", seed, was, is, got, want)
		}
	}
}

// TestUpdateChecksumAddrIPv4: in an IPv4 header only four bytes of the address are summed.
func TestUpdateChecksumAddrIPv4(t *testing.T) {
	h := IPv4(Build(nil, spec(tuple4(ProtoTCP)))[EthernetLen:])
	was, is := h.Dst(), addr("203.0.113.9")
	h.SetDst(is)
	if got, want := UpdateChecksumAddr(h.Checksum(), was, is), h.ComputeChecksum(); got != want {
		t.Errorf("%#04x, want %#04x", got, want)
	}
}

// TestUpdateChecksumExample is the case in which RFC 1624, section 4, shows that RFC 1141 went wrong.
func TestUpdateChecksumExample(t *testing.T) {
	if got := UpdateChecksum16(0xdd2f, 0x5555, 0x3285); got != 0 {
		t.Errorf("%#04x, want 0", got)
	}
	if got := UpdateUDPChecksum16(0xdd2f, 0x5555, 0x3285); got != 0xffff {
		t.Errorf("UDP: %#04x, want 0xffff", got)
	}
}

func TestUpdateUDPChecksum(t *testing.T) {
	a, b := addr("192.0.2.1"), addr("198.51.100.7")
	if got := UpdateUDPChecksum16(0, 1, 2); got != 0 {
		t.Errorf("no checksum became %#04x", got)
	}
	if got := UpdateUDPChecksumAddr(0, a, b); got != 0 {
		t.Errorf("no checksum became %#04x", got)
	}
	for sum := 1; sum < 1<<16; sum++ {
		if got := UpdateUDPChecksumAddr(uint16(sum), a, b); got == 0 {
			t.Fatalf("%#04x became none", sum)
		}
		back := UpdateUDPChecksumAddr(UpdateUDPChecksumAddr(uint16(sum), a, b), b, a)
		if back != uint16(sum) {
			t.Fatalf("%#04x there and back is %#04x", sum, back)
		}
	}
}
