package vrrp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// Numbers of the protocol (RFC 9568, sections 5 and 6).
const (
	// ProtocolVRRP is the IP protocol of an advertisement.
	ProtocolVRRP = 112
	// ProtocolAH is the IP protocol of the authentication header that may precede it (RFC 2338, section 5.3.6).
	ProtocolAH = 51
	// PriorityOwner is the priority of the router whose own the addresses are.
	PriorityOwner = 255
	// PriorityStop is sent by a master that stops: the others need not wait for it.
	PriorityStop = 0
	// MaxAddrs is how many addresses an advertisement can name.
	MaxAddrs = 255

	typeAdvertisement = 1
	hopLimit          = 255 // RFC 9568, sections 5.1.1.3 and 5.1.2.3
	headerLen         = 8
	authLen           = 8 // authentication data of version 2 over IPv4 (RFC 2338, section 5.3.10)
	maxInterval3      = 0x0fff
	centisecond       = 10 * time.Millisecond
)

// AuthType is how advertisements of version 2 are authenticated (RFC 2338, section 5.3.6).
type AuthType uint8

// Authentication types.
const (
	AuthNone AuthType = 0
	AuthPass AuthType = 1 // a password in clear
	AuthAH   AuthType = 2 // an IP authentication header with HMAC-MD5-96 (RFC 2403)
)

// Advert is an ADVERTISEMENT of version 2 (RFC 3768, section 5) or 3 (RFC 9568, section 5.2).
type Advert struct {
	Version  uint8 // 2 or 3
	VRID     uint8
	Priority uint8
	AuthType AuthType      // version 2 only
	Interval time.Duration // whole seconds to 255 s in version 2, centiseconds to 40.95 s in version 3
	Auth     [authLen]byte // version 2 over IPv4 only
	Addrs    []netip.Addr  // all IPv4, or all IPv6
}

// Pseudo is what the checksum covers beside the message: the addresses of the packet that carries it.
type Pseudo struct {
	Src, Dst netip.Addr
	// Plain leaves the addresses out of the checksum of version 3 over IPv4, as version 2 does (v3_checksum_as_v2).
	Plain bool
}

// ParseAdvert reads a message, which is what follows the IP header or the authentication header, into a. The addresses
// go to the array of a.Addrs if they fit. It checks what the message says by itself: RejectLength, RejectVersion,
// RejectType or RejectChecksum. What it says beside the configuration is the machine's matter.
//
// On any reject but the first two, a holds the fields of the message nevertheless.
func ParseAdvert(a *Advert, msg []byte, p Pseudo) Reject {
	if len(msg) < headerLen {
		return RejectLength
	}
	v6 := p.Src.Is6() && !p.Src.Is4In6()
	a.Version, a.VRID, a.Priority = msg[0]>>4, msg[1], msg[2]
	if a.Version != 2 && a.Version != 3 {
		return RejectVersion
	}
	if len(msg) != messageLen(a.Version, v6, int(msg[3])) {
		return RejectLength
	}
	if a.Version == 2 {
		a.AuthType, a.Interval = AuthType(msg[4]), time.Duration(msg[5])*time.Second
	} else { // the upper four bits are reserved and ignored (RFC 9568, section 5.2.6)
		a.AuthType = AuthNone
		a.Interval = time.Duration(binary.BigEndian.Uint16(msg[4:])&maxInterval3) * centisecond
	}
	rest := a.readAddrs(msg[headerLen:], int(msg[3]), v6)
	a.Auth = [authLen]byte{}
	copy(a.Auth[:], rest)
	if msg[0]&0x0f != typeAdvertisement {
		return RejectType
	}
	if !checksumHolds(msg, a.Version, v6, p) {
		return RejectChecksum
	}
	return Accepted
}

// readAddrs takes n addresses from b and returns what follows them.
func (a *Advert) readAddrs(b []byte, n int, v6 bool) []byte {
	a.Addrs = a.Addrs[:0]
	for range n {
		if v6 {
			a.Addrs = append(a.Addrs, netip.AddrFrom16([16]byte(b)))
			b = b[16:]
		} else {
			a.Addrs = append(a.Addrs, netip.AddrFrom4([4]byte(b)))
			b = b[4:]
		}
	}
	return b
}

// Append adds the message to b. The Pseudo says whether it travels over IPv4 or IPv6. The message is right only if
// a.Addrs are of that family and at most MaxAddrs, and if a.Interval is one that the version can carry.
func (a *Advert) Append(b []byte, p Pseudo) []byte {
	v6 := p.Src.Is6() && !p.Src.Is4In6()
	start := len(b)
	b = append(b, a.Version<<4|typeAdvertisement, a.VRID, a.Priority, byte(len(a.Addrs)))
	if a.Version == 2 {
		b = append(b, byte(a.AuthType), byte(a.Interval/time.Second))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(a.Interval/centisecond)&maxInterval3)
	}
	b = append(b, 0, 0)
	for _, addr := range a.Addrs {
		if v6 {
			raw := addr.As16()
			b = append(b, raw[:]...)
		} else {
			raw := addr.Unmap().As4()
			b = append(b, raw[:]...)
		}
	}
	if a.Version == 2 && !v6 {
		b = append(b, a.Auth[:]...)
	}
	msg := b[start:]
	binary.BigEndian.PutUint16(msg[6:], ^foldSum(sumBytes(pseudoSum(a.Version, v6, p, len(msg)), msg)))
	return b
}

// messageLen is the length of a message with n addresses. Version 2 over IPv6, which no RFC has, carries no
// authentication data in keepalived's implementation.
func messageLen(version uint8, v6 bool, n int) int {
	switch {
	case v6:
		return headerLen + 16*n
	case version == 2:
		return headerLen + 4*n + authLen
	}
	return headerLen + 4*n
}

// checksumHolds verifies the checksum. A receiver that is told to leave the addresses out accepts both kinds, because
// its peers may not all have been told.
func checksumHolds(msg []byte, version uint8, v6 bool, p Pseudo) bool {
	if foldSum(sumBytes(pseudoSum(version, v6, p, len(msg)), msg)) == 0xffff {
		return true
	}
	if !p.Plain || v6 || version == 2 {
		return false
	}
	p.Plain = false
	return foldSum(sumBytes(pseudoSum(version, v6, p, len(msg)), msg)) == 0xffff
}

// pseudoSum is the part of the checksum that the addresses give (RFC 9568, section 5.2.8; RFC 8200, section 8.1):
// none in version 2 over IPv4 (RFC 3768, section 5.3.8).
func pseudoSum(version uint8, v6 bool, p Pseudo, n int) uint32 {
	if v6 {
		s, d := p.Src.As16(), p.Dst.As16()
		return sumBytes(sumBytes(ProtocolVRRP+uint32(n), s[:]), d[:])
	}
	if version == 2 || p.Plain {
		return 0
	}
	s, d := p.Src.Unmap().As4(), p.Dst.Unmap().As4()
	return sumBytes(sumBytes(ProtocolVRRP+uint32(n), s[:]), d[:])
}

// sumBytes adds b to a sum of 16 bit words (RFC 1071). b is at most a packet, so 32 bits are enough.
func sumBytes(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// foldSum adds the carries.
func foldSum(sum uint32) uint16 {
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
