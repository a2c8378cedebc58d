package forward

import "dirsw/packet"

// Addresses as EPRT writes them. The package net/netip reads strings, which would have to be made of the bytes of a frame,
// and its errors are allocated.

// parseIPv4 reads four decimal numbers up to 255, zeros before them allowed, and nothing else (kernel: in4_pton).
func parseIPv4(s []byte, a *packet.Addr) bool {
	*a = packet.Addr{10: 0xff, 11: 0xff}
	n, digits, k := 0, 0, 12
	for i := 0; ; i++ {
		if i < len(s) && isDigit(s[i]) {
			if n = n*10 + int(s[i]-'0'); n > 255 {
				return false
			}
			digits++
			continue
		}
		if digits == 0 || i < len(s) && (s[i] != '.' || k == 15) {
			return false
		}
		a[k] = byte(n)
		k++
		if i == len(s) {
			return k == 16
		}
		n, digits = 0, 0
	}
}

// parseIPv6 reads the forms of RFC 4291, section 2.2, without a zone. A v4-mapped address is none: it is not for the wire.
func parseIPv6(s []byte, a *packet.Addr) bool {
	*a = packet.Addr{}
	at, gap := 0, -1 // bytes of a that are written; where :: stands
	if len(s) >= 2 && s[0] == ':' && s[1] == ':' {
		gap, s = 0, s[2:]
	}
	for len(s) > 0 {
		n, word := 0, uint16(0)
		for n < len(s) && n < 5 && hexDigit(s[n]) >= 0 {
			word = word<<4 | uint16(hexDigit(s[n]))
			n++
		}
		if n < len(s) && s[n] == '.' {
			var tail packet.Addr
			if at > 12 || at < 12 && gap < 0 || !parseIPv4(s, &tail) {
				return false
			}
			at += copy(a[at:at+4], tail[12:])
			break
		}
		if n == 0 || n == 5 || at == 16 {
			return false
		}
		a[at], a[at+1] = byte(word>>8), byte(word)
		at += 2
		if s = s[n:]; len(s) == 0 {
			break
		}
		if s[0] != ':' || len(s) == 1 {
			return false
		}
		if s = s[1:]; s[0] == ':' {
			if gap >= 0 {
				return false
			}
			gap, s = at, s[1:]
		}
	}
	if at == 16 && gap >= 0 || at < 16 && gap < 0 {
		return false
	}
	if gap >= 0 {
		tail := at - gap
		copy(a[16-tail:], a[gap:at])
		clear(a[gap : 16-tail])
	}
	return !a.Is4()
}

// hexDigit returns the value of a hexadecimal digit, -1 if c is none.
func hexDigit(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
