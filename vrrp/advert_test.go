package vrrp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// TestParseRejects damages good messages in one place each.
func TestParseRejects(t *testing.T) {
	p4 := Pseudo{Src: addr("192.0.2.1"), Dst: Group4()}
	p6 := Pseudo{Src: addr("fe80::1"), Dst: Group6()}
	v2 := Advert{Version: 2, VRID: 51, Priority: 100, AuthType: AuthPass, Auth: [8]byte{1, 2, 3}, Interval: time.Second, Addrs: []netip.Addr{addr("192.0.2.10"), addr("192.0.2.11")}}
	v3 := Advert{Version: 3, VRID: 52, Priority: 255, Interval: 10 * time.Millisecond, Addrs: []netip.Addr{addr("192.0.2.10")}}
	v6 := Advert{Version: 3, VRID: 53, Priority: 1, Interval: 40950 * time.Millisecond, Addrs: []netip.Addr{addr("fe80::10"), addr("2001:db8::10")}}
	resum := func(m []byte, p Pseudo) []byte {
		m[6], m[7] = 0, 0
		binary.BigEndian.PutUint16(m[6:], ^foldSum(sumBytes(pseudoSum(m[0]>>4, p.Src.Is6(), p, len(m)), m)))
		return m
	}
	for _, c := range []struct {
		name   string
		a      Advert
		p      Pseudo
		damage func([]byte, Pseudo) []byte
		want   Reject
	}{
		{"v2", v2, p4, nil, Accepted},
		{"v3", v3, p4, nil, Accepted},
		{"v3 over IPv6", v6, p6, nil, Accepted},
		{"v2 without addresses", Advert{Version: 2, VRID: 1, Interval: time.Second}, p4, nil, Accepted},
		{"empty", v2, p4, func(m []byte, _ Pseudo) []byte { return nil }, RejectLength},
		{"seven bytes", v2, p4, func(m []byte, _ Pseudo) []byte { return m[:7] }, RejectLength},
		{"header only", v3, p4, func(m []byte, _ Pseudo) []byte { return m[:8] }, RejectLength},
		{"one byte short", v2, p4, func(m []byte, _ Pseudo) []byte { return m[:len(m)-1] }, RejectLength},
		{"one byte long", v3, p4, func(m []byte, _ Pseudo) []byte { return append(m, 0) }, RejectLength},
		{"more addresses than there are", v6, p6, func(m []byte, p Pseudo) []byte { m[3] = 200; return resum(m, p) }, RejectLength},
		{"fewer addresses than there are", v6, p6, func(m []byte, p Pseudo) []byte { m[3] = 1; return resum(m, p) }, RejectLength},
		{"version 1", v2, p4, func(m []byte, p Pseudo) []byte { m[0] = 0x11; return resum(m, p) }, RejectVersion},
		{"version 4", v3, p4, func(m []byte, p Pseudo) []byte { m[0] = 0x41; return resum(m, p) }, RejectVersion},
		{"version 2 called 3", v2, p4, func(m []byte, p Pseudo) []byte { m[0] = 0x31; return resum(m, p) }, RejectLength},
		{"type 2", v3, p4, func(m []byte, p Pseudo) []byte { m[0] = 0x32; return resum(m, p) }, RejectType},
		{"priority changed", v2, p4, func(m []byte, _ Pseudo) []byte { m[2]++; return m }, RejectChecksum},
		{"address changed", v3, p4, func(m []byte, _ Pseudo) []byte { m[11]++; return m }, RejectChecksum},
		{"password changed", v2, p4, func(m []byte, _ Pseudo) []byte { m[len(m)-1]++; return m }, RejectChecksum},
		{"plain checksum in v3", v3, p4, func(m []byte, p Pseudo) []byte { p.Plain = true; return resum(m, p) }, RejectChecksum},
		{"other source in v3", v3, p4, func(m []byte, p Pseudo) []byte { p.Src = addr("192.0.2.3"); return resum(m, p) }, RejectChecksum},
		{"reserved bits in v3", v3, p4, func(m []byte, p Pseudo) []byte { m[4] |= 0xf0; return resum(m, p) }, Accepted},
		{"checksum over IPv6", v6, p6, func(m []byte, _ Pseudo) []byte { m[7]++; return m }, RejectChecksum},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := c.a.Append(nil, c.p)
			if c.damage != nil {
				m = c.damage(m, c.p)
			}
			var got Advert
			if r := ParseAdvert(&got, m, c.p); r != c.want {
				t.Fatalf("%v, want %v", r, c.want)
			}
			if c.want == Accepted && (!slices.Equal(got.Addrs, c.a.Addrs) || got.VRID != c.a.VRID || got.Priority != c.a.Priority ||
				got.Interval != c.a.Interval || got.AuthType != c.a.AuthType || got.Auth != c.a.Auth) {
				t.Errorf("got %+v, want %+v", got, c.a)
			}
		})
	}
}

// TestPlainChecksum is v3_checksum_as_v2: sent without the addresses, accepted with and without them.
func TestPlainChecksum(t *testing.T) {
	p := Pseudo{Src: addr("192.0.2.1"), Dst: Group4()}
	plain := p
	plain.Plain = true
	a := Advert{Version: 3, VRID: 7, Priority: 9, Interval: time.Second, Addrs: []netip.Addr{addr("192.0.2.10")}}
	var got Advert
	for _, m := range [][]byte{a.Append(nil, p), a.Append(nil, plain)} {
		if r := ParseAdvert(&got, m, plain); r != Accepted {
			t.Errorf("%v for %x", r, m)
		}
	}
}

// TestReceiveAllocatesNothing: a flood of adverts costs no garbage.
func TestReceiveAllocatesNothing(t *testing.T) {
	p := Pseudo{Src: addr("fe80::1"), Dst: Group6()}
	a := Advert{Version: 3, VRID: 7, Priority: 9, Interval: time.Second, Addrs: []netip.Addr{addr("fe80::2"), addr("2001:db8::2")}}
	m, got := a.Append(nil, p), Advert{Addrs: make([]netip.Addr, 0, MaxAddrs)}
	if n := testing.AllocsPerRun(100, func() { ParseAdvert(&got, m, p) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// FuzzParseAdvert: no input makes the parser crash, and what it accepts is encoded to the same bytes, but for the
// reserved bits of version 3.
func FuzzParseAdvert(f *testing.F) {
	for i, c := range capturedAdverts(f) {
		if i%20 == 0 {
			f.Add(c.pkt.Data, c.pkt.Header == nil, false)
		}
	}
	f.Add([]byte{0x21, 1, 0, 255, 0, 1, 0, 0}, false, true)
	f.Fuzz(func(t *testing.T, msg []byte, v6, plain bool) {
		p := Pseudo{Src: addr("192.0.2.1"), Dst: Group4(), Plain: plain}
		if v6 {
			p = Pseudo{Src: addr("fe80::1"), Dst: Group6()}
		}
		var a Advert
		if r := ParseAdvert(&a, msg, p); r != Accepted {
			return
		}
		if a.Version == 3 {
			if msg[4]&0xf0 != 0 {
				return
			}
			if p.Plain && !bytes.Equal(a.Append(nil, p), msg) {
				p.Plain = false
			}
		}
		got := a.Append(nil, p)
		// The two representations of zero are equal in one's complement arithmetic.
		if x, y := binary.BigEndian.Uint16(got[6:]), binary.BigEndian.Uint16(msg[6:]); x^y == 0xffff && (x == 0 || y == 0) {
			copy(got[6:8], msg[6:8])
		}
		if !bytes.Equal(got, msg) {
			t.Errorf("got  %x\nwant %x", got, msg)
		}
	})
}
