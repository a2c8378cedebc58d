package vrrp

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"net/netip"
)

// Sizes and fields of the headers before a message.
const (
	ip4Len      = 20
	ahLen       = 24   // RFC 4302 with an ICV of 96 bits
	ahICV       = 12   // offset and length of the ICV
	tosInternet = 0xc0 // internetwork control, as keepalived marks adverts
)

// ah is an IP authentication header as VRRP uses it (RFC 2338, section 5.3.6.3; RFC 2403).
type ah struct {
	spi uint32 // keepalived puts the source address there
	seq uint32
	icv [ahICV]byte
}

// header4 is what may differ in the IPv4 header of an advert.
type header4 struct {
	id       uint16
	ttl      uint8
	src, dst netip.Addr
	auth     bool // an authentication header follows
}

// appendHeader4 adds an IPv4 header for a payload of n bytes (RFC 791), without DF, as keepalived's.
func appendHeader4(b []byte, h header4, n int) []byte {
	proto, start := byte(ProtocolVRRP), len(b)
	if h.auth {
		proto = ProtocolAH
	}
	b = append(b, 0x45, tosInternet)
	b = binary.BigEndian.AppendUint16(b, uint16(ip4Len+n))
	b = binary.BigEndian.AppendUint16(b, h.id)
	b = append(b, 0, 0, h.ttl, proto, 0, 0)
	src, dst := h.src.Unmap().As4(), h.dst.Unmap().As4()
	b = append(append(b, src[:]...), dst[:]...)
	binary.BigEndian.PutUint16(b[start+10:], ^foldSum(sumBytes(0, b[start:])))
	return b
}

// sealAH puts an authentication header before the message in packet, which is an IPv4 header, ahLen unused bytes and the
// message.
func sealAH(packet []byte, seq uint32, key [authLen]byte, unicast bool) {
	h := packet[ip4Len:]
	h[0], h[1], h[2], h[3] = ProtocolVRRP, ahLen/4-2, 0, 0 // RFC 4302, sections 2.1 to 2.3
	copy(h[4:8], packet[12:16])
	binary.BigEndian.PutUint32(h[8:], seq)
	sum := authSum(packet[:ip4Len], h[:ahLen], packet[ip4Len+ahLen:], key, unicast)
	copy(h[ahICV:ahLen], sum[:])
}

// openAH reads the authentication header that data begins with. The header before it and the message behind it are what
// it protects. It reports whether the header is one, and whether its integrity check value is right.
func openAH(header, data []byte, key [authLen]byte, unicast bool) (h ah, msg []byte, whole, authentic bool) {
	if len(header) < ip4Len || len(data) < ahLen || data[0] != ProtocolVRRP || data[1] != ahLen/4-2 {
		return ah{}, nil, false, false
	}
	h = ah{spi: binary.BigEndian.Uint32(data[4:]), seq: binary.BigEndian.Uint32(data[8:]), icv: [ahICV]byte(data[ahICV:])}
	sum := authSum(header, data[:ahLen], data[ahLen:], key, unicast)
	ok := hmac.Equal(h.icv[:], sum[:]) && h.spi == binary.BigEndian.Uint32(header[12:])
	return h, data[ahLen:], true, ok
}

// authSum is HMAC-MD5-96 over the packet with what changes on the way set to zero (RFC 4302, section 3.3.3.1.1):
// type of service, fragment offset and checksum; the TTL only where there may be routers between, as keepalived does.
func authSum(header, auth, msg []byte, key [authLen]byte, unicast bool) (sum [ahICV]byte) {
	var head [60 + ahLen]byte // longest IPv4 header
	n := copy(head[:60], header)
	head[1], head[6], head[7], head[10], head[11] = 0, 0, 0, 0, 0
	if unicast {
		head[8] = 0
	}
	copy(head[n:], auth[:ahICV])
	mac := hmac.New(md5.New, key[:])
	mac.Write(head[:n+ahLen])
	mac.Write(msg)
	copy(sum[:], mac.Sum(nil))
	return sum
}

// sender makes the packets of one instance. Its counters go on over a reload.
type sender struct {
	id  uint16 // of the last IPv4 header; 0 would let the kernel choose
	seq uint32 // of the last authentication header
	buf []byte
	msg Advert // reused
}

// next begins another advert: all packets of one, to several peers, share their numbers.
func (s *sender) next() {
	if s.id++; s.id == 0 {
		s.id = 1
	}
}

// packet returns the advert as it goes to one destination, valid until the next call.
func (s *sender) packet(c *Config, a *Advert, src, dst netip.Addr, ttl int, oldChecksum bool) []byte {
	p := Pseudo{Src: src, Dst: dst, Plain: c.ChecksumAsV2}
	if oldChecksum {
		p.Dst = c.checksumGroup()
	}
	if c.IPv6 {
		s.buf = a.Append(s.buf[:0], p)
		return s.buf
	}
	if ttl == 0 {
		ttl = hopLimit
	}
	n := messageLen(a.Version, false, len(a.Addrs))
	h := header4{id: s.id, ttl: uint8(ttl), src: src, dst: dst, auth: c.Auth == AuthAH}
	if h.auth {
		n += ahLen
	}
	s.buf = appendHeader4(s.buf[:0], h, n)
	if !h.auth {
		s.buf = a.Append(s.buf, p)
		return s.buf
	}
	var room [ahLen]byte
	s.buf = a.Append(append(s.buf, room[:]...), p)
	sealAH(s.buf, s.seq, c.Password, !dst.IsMulticast())
	return s.buf
}

// checksumGroup is the destination that an old unicast checksum was computed for.
func (c *Config) checksumGroup() netip.Addr { return Group4() }
