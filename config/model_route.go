package config

import (
	"net/netip"
	"strconv"
)

// Route is a line of virtual_routes or static_routes, in the words of ip-route(8).
type Route struct {
	Pos        Pos
	Type       string       // unicast, local, broadcast, multicast, blackhole, unreachable, prohibit, throw; empty: unicast
	Dst        netip.Prefix // 0.0.0.0/0 or ::/0: the default route
	Via        netip.Addr   // unset: on the link; may be of the other family
	Dev        string       // empty: as Via says
	Src        netip.Addr   // preferred source address
	Table      string       // a number, or a name of rt_tables; empty: main
	Priority   uint32       // metric; 0: the kernel's
	Scope      string       // global, site, link, host, nowhere or a number; empty: as the kernel has it for such a route
	Protocol   string       // a number, or a name of rt_protos; empty: keepalived's (18)
	TOS        uint8
	Realm      string // [SOURCE/]DESTINATION
	VRF        string
	OnLink     bool
	Pref       string // of IPv6 routers: low, medium, high; empty: medium
	Metrics    []RouteMetric
	Congestion string // congctl: a congestion control algorithm; empty: the system's
	CongLock   bool
	ECN        bool   // features ecn
	TTLProp    string // ttl-propagate: enabled or disabled; empty: the system's
	Expires    uint32 // seconds; 0: never
	Nexthops   []Nexthop
	Append     bool   // behind other routes of the same key, instead of before them
	NoTrack    bool   // its loss is not repaired, and is no reason to step down
	TrackGroup string // of static_routes; has no effect
}

// Is6 reports whether it is a route of IPv6.
func (r *Route) Is6() bool { return r.Dst.Addr().Is6() }

// RouteMetric is one of the numbers that a route gives its connections.
type RouteMetric struct {
	// Name is mtu, hoplimit, advmss, rtt, rttvar, reordering, window, cwnd, ssthresh, rto_min, initcwnd, initrwnd, quickack
	// or fastopen_no_cookie.
	Name  string
	Value uint32 // as the kernel has it: bytes, packets, eighths (rtt) and quarters (rttvar) of milliseconds, milliseconds
	Lock  bool   // not to be changed by what is measured
}

// Nexthop is one way of a route that has several.
type Nexthop struct {
	Via    netip.Addr
	Dev    string
	Weight int // 1 to 256
	OnLink bool
	Realm  string
}

// Rule is a line of virtual_rules or static_rules, in the words of ip-rule(8).
type Rule struct {
	Pos        Pos
	IPv6       bool
	Not        bool
	From, To   netip.Prefix // invalid: any
	IIF, OIF   string
	Mark, Mask uint32 // of the packet; Mask 0: any
	TOS        uint8
	UIDs       Span // of the sending user
	IPProto    string
	SrcPorts   Span
	DstPorts   Span
	TunnelID   uint64
	L3MDev     bool
	Realm      string // [SOURCE/]DESTINATION
	Protocol   string // who made it: a number, or a name of rt_protos; empty: keepalived's (18)

	Priority          uint32
	Action            string // lookup, goto, nop, blackhole, unreachable, prohibit
	Table             string // of lookup: a number, or a name of rt_tables
	Goto              uint32 // of goto: the priority to go on at
	SuppressPrefixLen int    // routes of a shorter or equal length do not count; -1: all do
	SuppressGroup     int    // routes by interfaces of this group do not count; -1: all do

	NoTrack    bool
	TrackGroup string // of static_rules; has no effect
}

// Span is a range of numbers, both ends included; without Set it is all of them.
type Span struct {
	First, Last uint32
	Set         bool
}

// String returns "10", "10-20", or nothing.
func (s Span) String() string {
	if !s.Set {
		return ""
	}
	if s.First == s.Last {
		return strconv.FormatUint(uint64(s.First), 10)
	}
	return strconv.FormatUint(uint64(s.First), 10) + "-" + strconv.FormatUint(uint64(s.Last), 10)
}

// WellKnownTable returns the number of a routing table: one in digits, or one of the names that every system has. ok is
// false for other names: those are in rt_tables.
func WellKnownTable(name string) (table uint32, ok bool) {
	switch name {
	case "", "main":
		return 254, true
	case "local":
		return 255, true
	case "default":
		return 253, true
	}
	n, err := strconv.ParseUint(name, 0, 32)
	return uint32(n), err == nil
}

// WellKnownScope returns the number of a scope, as WellKnownTable does. The empty name is that of global.
func WellKnownScope(name string) (scope uint8, ok bool) {
	switch name {
	case "", "global", "universe":
		return 0, true
	case "site":
		return 200, true
	case "link":
		return 253, true
	case "host":
		return 254, true
	case "nowhere":
		return 255, true
	}
	n, err := strconv.ParseUint(name, 0, 8)
	return uint8(n), err == nil
}

// WellKnownProtocol returns the number of who made a route, as WellKnownTable does. The empty name is that of keepalived.
func WellKnownProtocol(name string) (protocol uint8, ok bool) {
	for n, list := range map[uint8]string{0: "unspec", 1: "redirect", 2: "kernel", 3: "boot", 4: "static", 8: "gated", 9: "ra", 10: "mrt",
		11: "zebra", 12: "bird", 13: "dnrouted", 14: "xorp", 15: "ntk", 16: "dhcp", 18: "keepalived", 42: "babel", 186: "bgp", 187: "isis",
		188: "ospf", 189: "rip", 192: "eigrp"} {
		if name == list {
			return n, true
		}
	}
	if name == "" {
		return 18, true
	}
	n, err := strconv.ParseUint(name, 0, 8)
	return uint8(n), err == nil
}
