package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// RouteProtocol marks the routes and rules of virtual routers (rtm_protocol): it is keepalived's number, so that what
// either left behind is known, and shown by ip-route(8) as "proto keepalived".
const RouteProtocol = unix.RTPROT_KEEPALIVED

// Route is a route with what ip-route(8) can say of it, in the numbers of rtnetlink(7).
type Route struct {
	Type     uint8        // RTN_…; 0 stands for unicast
	Dst      netip.Prefix // 0.0.0.0/0 or ::/0: the default route; its family is the route's
	From     netip.Prefix // IPv6 only; not valid: any source
	Via      netip.Addr   // not valid: on the link; may be of the other family
	Link     string       // empty: as Via says
	OnLink   bool         // Via is on Link, whatever the other routes say
	Src      netip.Addr   // preferred source address
	Table    uint32       // 0 stands for main, or local for the types that belong there
	VRF      string       // the table of this VRF device instead
	Metric   uint32       // 0: the kernel's
	Scope    uint8        // iff HasScope; otherwise as ip-route(8) chooses
	HasScope bool
	Protocol uint8 // 0 stands for RouteProtocol
	TOS      uint8
	Realm    uint32 // source<<16 | destination

	Pref         uint8 // IPv6 router preference as RFC 4191 numbers it: 1 high, 3 low, 0 medium
	TTLPropagate *bool
	Expires      uint32   // seconds, IPv6; 0: never
	Metrics      []Metric // what it gives its connections
	Congestion   string   // congestion control algorithm
	CongLock     bool
	Nexthops     []Nexthop
	Append       bool // behind others of the same key, instead of before them
}

// Metric is one number that a route gives its connections.
type Metric struct {
	Kind  uint8 // RTAX_… (linux/rtnetlink.h)
	Value uint32
	Lock  bool // not to be changed by what is measured
}

// Nexthop is one way of a route that has several.
type Nexthop struct {
	Via    netip.Addr
	Link   string
	Weight int // 1 to 256; 0 stands for 1
	OnLink bool
	Realm  uint32
}

// isIPv6 says which family the route is of.
func (r *Route) isIPv6() bool { return r.Dst.Addr().Is6() }

// AddRoute sets a route. That it is there already is no error. It lives as long as its link; what a director that was
// killed leaves is removed by the next one's Sweep.
func (o *Holdings) AddRoute(r Route) error {
	body, err := o.encodeRoute(&r)
	if err == nil {
		flags := uint16(unix.NLM_F_CREATE)
		if r.Append {
			flags |= unix.NLM_F_APPEND
		}
		// EEXIST comes without NLM_F_EXCL only if everything is equal (fib_table_insert, fib6_add_rt2node).
		err = o.one(request{unix.RTM_NEWROUTE, flags, body}, unix.EEXIST)
	}
	if err != nil {
		return fmt.Errorf("add the route to %v: %w", r.Dst, err)
	}
	return nil
}

// DelRoute removes a route. That it is gone already, or its link, is no error.
func (o *Holdings) DelRoute(r Route) error {
	body, err := o.encodeRoute(&r)
	if errors.Is(err, ErrNoLink) {
		return nil
	}
	if err == nil {
		err = o.one(request{unix.RTM_DELROUTE, 0, body}, unix.ESRCH, unix.ENODEV, unix.ENETDOWN, unix.EHOSTUNREACH)
	}
	if err != nil {
		return fmt.Errorf("remove the route to %v: %w", r.Dst, err)
	}
	return nil
}

// one does a single request; fine are errors that are none.
func (o *Holdings) one(q request, fine ...unix.Errno) error {
	o.sockMu.Lock()
	defer o.sockMu.Unlock()
	errs, err := o.sock.do([]request{q})
	if err != nil {
		return err
	}
	for _, e := range fine {
		if errors.Is(errs[0], e) {
			return nil
		}
	}
	return errs[0]
}

// index finds a link.
func (o *Holdings) index(name string) (uint32, error) {
	l, err := o.links.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("%w: %s", ErrNoLink, name)
	}
	return uint32(l.Attrs().Index), nil
}

// encodeRoute makes struct rtmsg and its attributes (linux/rtnetlink.h).
func (o *Holdings) encodeRoute(r *Route) ([]byte, error) {
	if !r.Dst.IsValid() {
		return nil, errors.New("it has no destination")
	}
	table, err := o.table(r)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, 256)
	family, from, kind, protocol := byte(unix.AF_INET), 0, r.Type, r.Protocol
	if r.isIPv6() {
		family = unix.AF_INET6
	}
	if r.From.IsValid() {
		from = r.From.Bits()
	}
	if kind == 0 {
		kind = unix.RTN_UNICAST
	}
	if protocol == 0 {
		protocol = RouteProtocol
	}
	flags := uint32(0)
	if r.OnLink {
		flags = unix.RTNH_F_ONLINK
	}
	b = append(b, family, byte(r.Dst.Bits()), byte(from), r.TOS, 0, protocol, r.scope(kind), kind)
	b = binary.NativeEndian.AppendUint32(b, flags)
	b = appendAttr32(b, unix.RTA_TABLE, table)
	if r.Dst.Bits() > 0 {
		b = appendAttr(b, unix.RTA_DST, r.Dst.Masked().Addr().AsSlice())
	}
	if from > 0 {
		b = appendAttr(b, unix.RTA_SRC, r.From.Masked().Addr().AsSlice())
	}
	if r.Src.IsValid() {
		b = appendAttr(b, unix.RTA_PREFSRC, r.Src.AsSlice())
	}
	if b, err = o.appendHop(b, r.isIPv6(), r.Via, r.Link); err != nil {
		return nil, err
	}
	if b, err = o.appendNexthops(b, r); err != nil {
		return nil, err
	}
	return appendMetrics(appendRest(b, r), r), nil
}

// table is the number of the route's table.
func (o *Holdings) table(r *Route) (uint32, error) {
	if r.VRF != "" {
		l, err := o.links.LinkByName(r.VRF)
		if err != nil {
			return 0, fmt.Errorf("%w: %s", ErrNoLink, r.VRF)
		}
		v, ok := l.(*netlink.Vrf)
		if !ok {
			return 0, fmt.Errorf("%s is no VRF", r.VRF)
		}
		return v.Table, nil
	}
	switch {
	case r.Table != 0:
		return r.Table, nil
	case r.Type == unix.RTN_LOCAL, r.Type == unix.RTN_BROADCAST, r.Type == unix.RTN_NAT, r.Type == unix.RTN_ANYCAST:
		return unix.RT_TABLE_LOCAL, nil
	}
	return unix.RT_TABLE_MAIN, nil
}

// scope chooses as ip-route(8) does.
func (r *Route) scope(kind uint8) uint8 {
	switch {
	case r.HasScope:
		return r.Scope
	case r.isIPv6():
		return unix.RT_SCOPE_UNIVERSE
	case kind == unix.RTN_LOCAL || kind == unix.RTN_NAT:
		return unix.RT_SCOPE_HOST
	case kind == unix.RTN_BROADCAST || kind == unix.RTN_MULTICAST || kind == unix.RTN_ANYCAST:
		return unix.RT_SCOPE_LINK
	case kind == unix.RTN_UNICAST && !r.Via.IsValid() && len(r.Nexthops) == 0:
		return unix.RT_SCOPE_LINK
	}
	return unix.RT_SCOPE_UNIVERSE
}

// appendHop appends a gateway and a link. A gateway of the other family has an attribute of its own (struct rtvia, RFC 5549).
func (o *Holdings) appendHop(b []byte, six bool, via netip.Addr, link string) ([]byte, error) {
	switch {
	case !via.IsValid():
	case via.Is6() == six:
		b = appendAttr(b, unix.RTA_GATEWAY, via.AsSlice())
	default:
		family := uint16(unix.AF_INET)
		if via.Is6() {
			family = unix.AF_INET6
		}
		b = appendAttr(b, unix.RTA_VIA, append(binary.NativeEndian.AppendUint16(nil, family), via.AsSlice()...))
	}
	if link == "" {
		return b, nil
	}
	index, err := o.index(link)
	if err != nil {
		return nil, err
	}
	return appendAttr32(b, unix.RTA_OIF, index), nil
}

// appendNexthops appends the ways of a route with several (struct rtnexthop).
func (o *Holdings) appendNexthops(b []byte, r *Route) ([]byte, error) {
	if len(r.Nexthops) == 0 {
		return b, nil
	}
	var all []byte
	for _, n := range r.Nexthops {
		attrs, err := o.appendHop(nil, r.isIPv6(), n.Via, "")
		if err != nil {
			return nil, err
		}
		if n.Realm != 0 {
			attrs = appendAttr32(attrs, unix.RTA_FLOW, n.Realm)
		}
		index, flags := uint32(0), byte(0)
		if n.Link != "" {
			if index, err = o.index(n.Link); err != nil {
				return nil, err
			}
		}
		if n.OnLink {
			flags = unix.RTNH_F_ONLINK
		}
		all = binary.NativeEndian.AppendUint16(all, uint16(unix.SizeofRtNexthop+len(attrs)))
		all = append(all, flags, byte(max(n.Weight, 1)-1))
		all = binary.NativeEndian.AppendUint32(all, index)
		all = append(all, attrs...)
	}
	return appendAttr(b, unix.RTA_MULTIPATH, all), nil
}

// appendRest appends what is a single number.
func appendRest(b []byte, r *Route) []byte {
	if r.Metric != 0 {
		b = appendAttr32(b, unix.RTA_PRIORITY, r.Metric)
	}
	if r.Realm != 0 {
		b = appendAttr32(b, unix.RTA_FLOW, r.Realm)
	}
	if r.Expires != 0 {
		b = appendAttr32(b, unix.RTA_EXPIRES, r.Expires)
	}
	if r.Pref != 0 {
		b = appendAttr(b, unix.RTA_PREF, []byte{r.Pref})
	}
	if r.TTLPropagate != nil {
		on := byte(0)
		if *r.TTLPropagate {
			on = 1
		}
		b = appendAttr(b, unix.RTA_TTL_PROPAGATE, []byte{on})
	}
	return b
}

// appendMetrics appends the nested attribute of metrics.
func appendMetrics(b []byte, r *Route) []byte {
	var all []byte
	lock := uint32(0)
	for _, m := range r.Metrics {
		all = appendAttr32(all, uint16(m.Kind), m.Value)
		if m.Lock || m.Kind == unix.RTAX_RTO_MIN { // which the kernel heeds only if it is locked (tcp_rto_min)
			lock |= 1 << m.Kind
		}
	}
	if r.Congestion != "" {
		all = appendAttr(all, unix.RTAX_CC_ALGO, append([]byte(r.Congestion), 0))
		if r.CongLock {
			lock |= 1 << unix.RTAX_CC_ALGO
		}
	}
	if lock != 0 {
		all = appendAttr32(all, unix.RTAX_LOCK, lock)
	}
	if len(all) == 0 {
		return b
	}
	return appendAttr(b, unix.RTA_METRICS, all)
}
