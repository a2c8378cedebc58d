package host

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Address is an address with what ip-address(8) can say of it.
type Address struct {
	Link      string       // name of the interface
	Prefix    netip.Prefix // the address and the length of its net
	Peer      netip.Prefix // the other end of a point-to-point address; not valid: none
	Broadcast netip.Addr   // IPv4; not valid: none
	Label     string       // IPv4; empty: the interface's name
	Scope     uint8        // as rtnetlink numbers it: 0 global, 200 site, 253 link, 254 host, 255 nowhere; IPv6: the kernel knows
	// Flags of the address (IFA_F_…, linux/if_addr.h). NoDAD: without it an IPv6 address cannot be used for a second.
	Home, NoDAD, ManageTempAddr, NoPrefixRoute, AutoJoin bool
	Deprecated                                           bool // preferred_lft 0: not chosen as a source (RFC 4862, section 5.5.4)
}

// forever is a lifetime without end (INFINITY_LIFE_TIME, net/addrconf.h).
const forever = ^uint32(0)

// seconds rounds a lifetime up as the kernel counts it; 0 is for good.
func seconds(d time.Duration) uint32 {
	if d <= 0 {
		return forever
	}
	return uint32(min(max(1, (d+time.Second-1)/time.Second), time.Duration(forever-1)))
}

// body is struct ifaddrmsg and its attributes (linux/if_addr.h).
func (h *holding) body(lifetime time.Duration) []byte {
	a := &h.spec
	ip, family := a.Prefix.Addr(), byte(unix.AF_INET)
	if ip.Is6() {
		family = unix.AF_INET6
	}
	bits, far := a.Prefix.Bits(), ip
	if a.Peer.IsValid() {
		bits, far = a.Peer.Bits(), a.Peer.Addr().Unmap()
	}
	b := make([]byte, 0, 96)
	b = append(b, family, byte(bits), 0, a.Scope)
	b = binary.NativeEndian.AppendUint32(b, uint32(h.key.link))
	b = appendAttr(b, unix.IFA_LOCAL, ip.AsSlice())
	b = appendAttr(b, unix.IFA_ADDRESS, far.AsSlice())
	if f := a.flags(); f != 0 {
		b = appendAttr32(b, unix.IFA_FLAGS, f)
	}
	if ip.Is4() {
		if a.Broadcast.Is4() {
			b = appendAttr(b, unix.IFA_BROADCAST, a.Broadcast.AsSlice())
		}
		if a.Label != "" {
			b = appendAttr(b, unix.IFA_LABEL, append([]byte(a.Label), 0))
		}
	}
	valid := seconds(lifetime)
	preferred := valid
	if a.Deprecated {
		preferred = 0
	}
	if valid == forever && preferred == forever {
		return b // the kernel's default
	}
	info := binary.NativeEndian.AppendUint32(nil, preferred) // struct ifa_cacheinfo
	info = binary.NativeEndian.AppendUint32(info, valid)
	return appendAttr(b, unix.IFA_CACHEINFO, append(info, make([]byte, 8)...))
}

// flags are those of linux/if_addr.h. IPv4 knows one of them.
func (a *Address) flags() uint32 {
	var f uint32
	if a.NoPrefixRoute {
		f |= unix.IFA_F_NOPREFIXROUTE
	}
	if a.AutoJoin {
		f |= unix.IFA_F_MCAUTOJOIN
	}
	if a.Prefix.Addr().Is4() {
		return f
	}
	if a.NoDAD {
		f |= unix.IFA_F_NODAD
	}
	if a.Home {
		f |= unix.IFA_F_HOMEADDRESS
	}
	if a.ManageTempAddr {
		f |= unix.IFA_F_MANAGETEMPADDR
	}
	return f
}
