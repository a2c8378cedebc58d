package ipvsadm

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dirsw/config"
)

// Resolver finds the names that a command line may have in the place of numbers. The zero Resolver asks /etc/services and
// the system's resolver.
type Resolver struct {
	Port func(name string, proto config.Protocol) (uint16, bool)
	Host func(name string) (netip.Addr, bool) // IPv4 only, as in ipvsadm
}

func (r Resolver) port(name string, proto config.Protocol) (uint16, bool) {
	if r.Port != nil {
		return r.Port(name, proto)
	}
	n, err := net.DefaultResolver.LookupPort(context.Background(), strings.ToLower(proto.String()), name)
	return uint16(n), err == nil
}

// patience is how long a name server may take; a command that waits longer is taken for hung.
const patience = 5 * time.Second

func (r Resolver) host(name string) (netip.Addr, bool) {
	if r.Host != nil {
		return r.Host(name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", name)
	if err != nil || len(list) == 0 {
		return netip.Addr{}, false
	}
	return list[0].Unmap(), true
}

// endpoint is an address and a port as they were written.
type endpoint struct {
	addr    netip.Addr
	port    uint16
	hasPort bool
}

// endpoint reads HOST[:PORT]. IPv6 stands in brackets when a port follows, and only then. A number alone is a slip; a name
// for the port needs a protocol.
func (r Resolver) endpoint(s string, proto config.Protocol) (e endpoint, ok bool) {
	if strings.Trim(s, "0123456789") == "" {
		return e, false
	}
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		host, port, ok = strings.Cut(s[1:], "]")
		if !ok || !strings.HasPrefix(port, ":") {
			return e, false
		}
		port, e.hasPort = port[1:], true
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() && a.Zone() == "" {
		e.addr = a
	} else {
		if i := strings.LastIndexByte(host, ':'); i >= 0 {
			host, port, e.hasPort = host[:i], host[i+1:], true
		}
		if e.addr, ok = r.address4(host); !ok {
			return e, false
		}
	}
	if !e.hasPort {
		return e, true
	}
	if n, good := decimal(port, 0, 65535); good {
		e.port = uint16(n)
		return e, true
	}
	if port == "" || proto == 0 {
		return e, false
	}
	e.port, ok = r.port(port, proto)
	return e, ok
}

// address4 reads an IPv4 address, also in the short forms of inet_aton(3), of which a number alone is one, or a name.
func (r Resolver) address4(s string) (netip.Addr, bool) {
	if s == "" {
		return netip.Addr{}, false
	}
	if a, ok := inetAton(s); ok {
		return a, true
	}
	if strings.Trim(s, "0123456789.") == "" {
		return netip.Addr{}, false // a malformed address is no name
	}
	return r.host(s)
}

// inetAton reads an IPv4 address of one to four numbers, decimal, octal or hexadecimal; the last fills what is left.
func inetAton(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var v uint32
	for i, part := range parts {
		if part == "" || strings.ContainsAny(part, "_boxBO+-") && !strings.HasPrefix(strings.ToLower(part), "0x") {
			return netip.Addr{}, false
		}
		n, err := strconv.ParseUint(part, 0, 32)
		if err != nil {
			return netip.Addr{}, false
		}
		if i == len(parts)-1 {
			if n >= 1<<(8*(4-i)) {
				return netip.Addr{}, false
			}
			v |= uint32(n)
			break
		}
		if n > 255 {
			return netip.Addr{}, false
		}
		v |= uint32(n) << (24 - 8*i)
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true
}

// decimal reads a number from low to high, as strtol(3) with base 10 does: blanks and a sign may stand before it.
func decimal(s string, low, high int64) (int64, bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	if strings.Contains(s, "_") {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= low && n <= high
}
