package iptables

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"dirsw/config"
)

// fail makes a complaint about a word.
func fail(pos config.Pos, fix, format string, args ...any) error {
	return config.Error{Pos: pos, Message: fmt.Sprintf(format, args...), Fix: fix}
}

// addresses reads what -s and -d take: addresses parted by commas, each with a length or a mask, or none. Every address
// is a rule of its own.
func addresses(w Word, not, ipv6 bool) ([]config.MarkAddr, error) {
	parts := strings.Split(w.Text, ",")
	if not && len(parts) > 1 {
		return nil, fail(w.Pos, "write a rule that RETURNs or ACCEPTs for each of them before this one",
			"! not allowed with multiple source or destination IP addresses")
	}
	list := make([]config.MarkAddr, len(parts))
	for i, part := range parts {
		a, err := address(Word{part, w.Pos}, ipv6)
		if err != nil {
			return nil, err
		}
		if a.Not = not; not && !a.Addr.IsValid() {
			return nil, fail(w.Pos, "leave the rule out", "a rule for none of all addresses never holds")
		}
		list[i] = a
	}
	return list, nil
}

// address reads ADDRESS, ADDRESS/LENGTH or ADDRESS/MASK. One without bits that count is any address.
func address(w Word, ipv6 bool) (config.MarkAddr, error) {
	host, length, hasLength := strings.Cut(w.Text, "/")
	family, most := "an IPv4 address", 32
	if ipv6 {
		family, most = "an IPv6 address", 128
	}
	a, err := netip.ParseAddr(host)
	if err != nil || a.Is4() == ipv6 || a.Zone() != "" {
		return config.MarkAddr{}, fail(w.Pos, "write "+family+", with /LENGTH for a network", "host/network `%s' not found", host)
	}
	if !hasLength {
		return config.MarkAddr{Addr: a, Mask: maskOf(most, a)}, nil
	}
	mask, err := netip.ParseAddr(length)
	if n, numeral := strconv.ParseUint(length, 10, 8); numeral == nil && int(n) <= most {
		mask = maskOf(int(n), a)
	} else if err != nil || mask.Is4() == ipv6 || mask.Zone() != "" {
		return config.MarkAddr{}, fail(w.Pos, fmt.Sprintf("write 0 to %d, or a mask", most), "invalid mask `%s' specified", length)
	}
	if mask.IsUnspecified() {
		return config.MarkAddr{}, nil
	}
	return config.MarkAddr{Addr: masked(a, mask), Mask: mask}, nil
}

// maskOf returns the mask of that many bits for the family of a.
func maskOf(n int, a netip.Addr) netip.Addr {
	ones, _ := netip.AddrFromSlice([]byte(strings.Repeat("\xff", a.BitLen()/8)))
	p, _ := ones.Prefix(n)
	return p.Addr()
}

// masked returns the bits of a that mask has.
func masked(a, mask netip.Addr) netip.Addr {
	b, m := a.AsSlice(), mask.AsSlice()
	for i := range b {
		b[i] &= m[i]
	}
	a, _ = netip.AddrFromSlice(b)
	return a
}

// number reads an unsigned integer of 32 bits as iptables does: decimal, hexadecimal behind 0x, octal behind 0.
func number(s string) (uint32, bool) {
	s = strings.TrimPrefix(strings.TrimLeft(s, " \t"), "+")
	base := 10
	switch {
	case strings.HasPrefix(s, "0x"), strings.HasPrefix(s, "0X"):
		s, base = s[2:], 16
	case len(s) > 1 && s[0] == '0':
		s, base = s[1:], 8
	}
	if strings.HasPrefix(s, "+") || strings.HasPrefix(s, "-") {
		return 0, false
	}
	n, err := strconv.ParseUint(s, base, 32)
	return uint32(n), err == nil
}

// value reads VALUE[/MASK]; without a mask all bits count.
func value(w Word, option string) (v, mask uint32, err error) {
	first, second, hasMask := strings.Cut(w.Text, "/")
	mask = ^uint32(0)
	v, ok := number(first)
	if ok && hasMask {
		mask, ok = number(second)
	}
	if !ok {
		return 0, 0, fail(w.Pos, "write a number like 1 or 0x1, or VALUE/MASK",
			"bad integer value for option \"--%s\", or out of range: %s", option, show(w.Text))
	}
	return v, mask, nil
}

// show quotes a word, short enough for a message.
func show(s string) string {
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "…"
	}
	return strconv.Quote(s)
}

// port reads the number or the name of a port.
func port(text string, pos config.Pos) (uint16, error) {
	if n, err := strconv.ParseUint(text, 10, 16); err == nil {
		return uint16(n), nil
	} else if errors.Is(err, strconv.ErrRange) {
		return 0, fail(pos, "write a port from 0 to 65535", "invalid port/service `%s' specified", text)
	}
	for _, s := range wellKnown() {
		if s.name == text {
			return s.port, nil
		}
	}
	return 0, fail(pos, "write the number of the port", "invalid port/service `%s' specified", text)
}

// portRange reads PORT, PORT:PORT, and where an end may be left out PORT: and :PORT.
func portRange(text string, pos config.Pos, openEnds bool) (r config.PortRange, err error) {
	first, second, isRange := strings.Cut(text, ":")
	if r.Low, err = 0, nil; first != "" || !openEnds || !isRange {
		if r.Low, err = port(first, pos); err != nil {
			return r, err
		}
	}
	switch {
	case !isRange:
		r.High = r.Low
	case second == "" && openEnds:
		r.High = 65535
	default:
		if r.High, err = port(second, pos); err != nil {
			return r, err
		}
	}
	if r.Low > r.High || !openEnds && isRange && r.Low == r.High {
		return r, fail(pos, "write the lower port first", "invalid portrange specified: %s", show(text))
	}
	return r, nil
}

type service struct {
	name string
	port uint16
}

// wellKnown are names of /etc/services that rules are written with. Others are refused, with what to write instead: which
// file would be read depends on the machine, and a rule should not.
func wellKnown() []service {
	return []service{{"http", 80}, {"www", 80}, {"https", 443}, {"http-alt", 8080}, {"webcache", 8080}, {"ftp", 21}, {"ftp-data", 20},
		{"ssh", 22}, {"telnet", 23}, {"smtp", 25}, {"mail", 25}, {"smtps", 465}, {"submissions", 465}, {"submission", 587},
		{"domain", 53}, {"tftp", 69}, {"kerberos", 88}, {"pop3", 110}, {"pop3s", 995}, {"sunrpc", 111}, {"nntp", 119}, {"ntp", 123},
		{"imap2", 143}, {"imap", 143}, {"imaps", 993}, {"snmp", 161}, {"ldap", 389}, {"ldaps", 636}, {"syslog", 514}, {"ftps", 990},
		{"ftps-data", 989}, {"openvpn", 1194}, {"ms-sql-s", 1433}, {"radius", 1812}, {"radius-acct", 1813}, {"nfs", 2049},
		{"mysql", 3306}, {"sip", 5060}, {"sip-tls", 5061}, {"postgresql", 5432}, {"redis", 6379}, {"socks", 1080}}
}
