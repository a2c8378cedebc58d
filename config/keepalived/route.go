package keepalived

import (
	"math"
	"net/netip"
	"strings"

	"dirsw/config"
)

// routes reads the lines of virtual_routes or static_routes.
func (p *parser) routes(s *statement) []config.Route {
	var out []config.Route
	for _, line := range p.values(s) {
		if r, ok := p.route(line); ok {
			out = append(out, r)
		}
	}
	return out
}

// routeReader reads one route.
type routeReader struct {
	reader
	config.Route
	six, four, hasDst bool
	viaSix            bool // `via inet6 ADDRESS`: also the gateway of a route of IPv4
}

// route reads a line as `ip route add` takes it.
func (p *parser) route(line *statement) (config.Route, bool) {
	r := &routeReader{reader: reader{p: p, words: line.words, what: "a route"}, Route: config.Route{Pos: line.pos()}}
	for r.more() && !r.bad {
		w := r.next()
		if !r.place(w) && !r.option(w) && !r.metric(w) && !r.destination(w) {
			r.bad = true
		}
	}
	r.finish()
	return r.Route, !r.bad
}

// place reads where packets go to.
func (r *routeReader) place(w token) bool {
	switch w.text {
	case "via", "gw":
		r.via(&r.Via)
	case "or":
		r.or(w)
	case "dev", "oif":
		r.link(&r.Dev)
	case "src":
		r.Src, _ = r.address()
		r.family(r.Src)
	case "onlink":
		r.OnLink = true
	case "nexthop":
		r.nexthop()
	case "to":
		if v, ok := r.value(); ok {
			r.bad = r.bad || !r.destination(v)
		}
	case "inet", "inet6":
		r.six, r.four = w.text == "inet6", w.text == "inet"
	default:
		return false
	}
	return true
}

// via reads [inet|inet6] ADDRESS.
func (r *routeReader) via(to *netip.Addr) {
	other := false
	if r.more() && (r.words[r.at].text == "inet" || r.words[r.at].text == "inet6") {
		other = true
		r.next()
	}
	*to, _ = r.address()
	if other {
		r.viaSix = r.viaSix || to.Is6()
	} else {
		r.family(*to)
	}
}

// or reads the second gateway of `via A or B`, keepalived's own way to write two next hops.
func (r *routeReader) or(w token) {
	a, ok := r.address()
	if !ok {
		return
	}
	if !r.Via.IsValid() {
		r.bad = true
		r.p.fail(w.pos, "write `via ADDRESS or ADDRESS`", "%q without via", w.text)
		return
	}
	r.Nexthops = append(r.Nexthops, config.Nexthop{Via: r.Via, Weight: 1}, config.Nexthop{Via: a, Weight: 1})
	r.Via = netip.Addr{}
}

// nexthop reads what follows the word, up to the next one that begins another option.
func (r *routeReader) nexthop() {
	h := config.Nexthop{Weight: 1}
	for r.more() && !r.bad {
		switch w := r.words[r.at]; w.text {
		case "via", "gw":
			r.next()
			r.via(&h.Via)
		case "dev", "oif":
			r.next()
			r.link(&h.Dev)
		case "weight":
			r.next()
			if v, ok := r.value(); ok {
				n, ok := r.p.integer(v, 1, 256)
				h.Weight, r.bad = int(n), r.bad || !ok
			}
		case "onlink":
			r.next()
			h.OnLink = true
		case "realms":
			r.next()
			r.text(&h.Realm)
		default:
			r.Nexthops = append(r.Nexthops, h)
			return
		}
	}
	r.Nexthops = append(r.Nexthops, h)
}

// option reads what kind of route it is.
func (r *routeReader) option(w token) bool {
	switch w.text {
	case "unicast", "local", "broadcast", "multicast", "anycast", "blackhole", "unreachable", "prohibit", "throw":
		if r.Type = w.text; r.Type == "unicast" {
			r.Type = ""
		}
	case "table":
		r.table(&r.Table)
	case "metric", "priority", "preference":
		r.number(&r.Priority)
	case "scope":
		r.scope(&r.Scope)
	case "protocol", "proto":
		r.text(&r.Protocol)
	case "tos", "dsfield":
		r.tos(&r.TOS)
	case "realms":
		r.text(&r.Realm)
	case "vrf":
		r.link(&r.VRF)
	case "pref":
		r.oneOf(&r.Pref, "low", "medium", "high")
	case "ttl-propagate":
		r.oneOf(&r.TTLProp, "enabled", "disabled")
	case "expires":
		r.number(&r.Expires)
	case "append":
		r.Append = true
	case "no_track":
		r.NoTrack = true
	case "track_group":
		r.p.noteIdle(staticTracking, w.text, w.pos)
		r.text(&r.TrackGroup)
	case "encap":
		r.bad = true
		r.p.fail(w.pos, "make a tunnel interface, and write `dev` with its name", "encap of routes is not served")
	default:
		return false
	}
	return true
}

// metric reads the numbers that a route gives its connections.
func (r *routeReader) metric(w token) bool {
	switch w.text {
	case "mtu", "hoplimit", "advmss", "rtt", "rttvar", "reordering", "window", "cwnd", "ssthresh", "rto_min", "initcwnd", "initrwnd",
		"quickack", "fastopen_no_cookie":
	case "congctl":
		r.CongLock = r.lock()
		r.text(&r.Congestion)
		return true
	case "features":
		if v, ok := r.value(); ok {
			if r.ECN = v.text == "ecn"; !r.ECN {
				r.bad = true
				r.p.fail(v.pos, "write ecn", "unknown feature %s of a route", show(v.text))
			}
		}
		return true
	default:
		return false
	}
	m := config.RouteMetric{Name: w.text, Lock: r.lock()}
	if v, ok := r.value(); ok {
		n, ok := r.p.routeValue(w.text, v)
		m.Value, r.bad = n, r.bad || !ok
		r.Metrics = append(r.Metrics, m)
	}
	return true
}

// lock consumes the word, if it is there.
func (r *routeReader) lock() bool {
	if r.more() && r.words[r.at].text == "lock" {
		r.next()
		return true
	}
	return false
}

// routeValue reads a number, or a time with its unit.
func (p *parser) routeValue(metric string, w token) (uint32, bool) {
	units := map[string]uint64{"rtt": 8, "rttvar": 4, "rto_min": 1}[metric]
	if units == 0 {
		n, ok := p.unsigned(w, math.MaxUint32)
		return uint32(n), ok
	}
	text, factor := w.text, uint64(1)
	if t, ok := strings.CutSuffix(text, "ms"); ok {
		text, factor = t, units
	} else if t, ok := strings.CutSuffix(text, "s"); ok {
		text, factor = t, 1000*units
	}
	n, ok := p.unsigned(token{text: text, pos: w.pos}, math.MaxUint32/factor)
	return uint32(n * factor), ok
}

// destination reads where the route leads to.
func (r *routeReader) destination(w token) bool {
	if r.hasDst {
		r.p.stray(w, "via, dev, table or another word of ip-route(8)", "a route")
		return false
	}
	r.hasDst = true
	if w.text == "default" {
		return true
	}
	dst, ok := r.p.prefix(w)
	if !ok {
		return false
	}
	r.Dst = dst.Masked()
	r.family(dst.Addr())
	return true
}

// family remembers that an address of the route is of IPv6.
func (r *routeReader) family(a netip.Addr) {
	if a.IsValid() {
		r.six, r.four = r.six || a.Is6(), r.four || a.Is4()
	}
}

// finish checks the route as a whole.
func (r *routeReader) finish() {
	pos, p := r.Pos, r.p
	switch {
	case r.bad:
		return
	case !r.hasDst:
		p.fail(pos, "write the destination, or default", "a route without destination")
	case r.six && r.four:
		p.fail(pos, "write addresses of one family, or `via inet6 ADDRESS`", "a route with addresses of both families")
	case len(r.Nexthops) > 0 && r.Via.IsValid():
		p.fail(pos, "write `nexthop via` for each of them", "a route with both via and nexthop")
	case r.Type == "" && len(r.Nexthops) == 0 && !r.Via.IsValid() && r.Dev == "" && r.VRF == "":
		p.fail(pos, "write via ADDRESS or dev INTERFACE", "a route that leads nowhere")
	default:
		if !r.Dst.IsValid() {
			r.Dst = netip.PrefixFrom(netip.AddrFrom4([4]byte{}), 0)
			if r.six || r.viaSix && !r.four {
				r.Dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			}
		}
		return
	}
	r.bad = true
}

// table stores a routing table by its name or number.
func (r *reader) table(to *string) {
	w, ok := r.value()
	if !ok {
		return
	}
	if w.text == "" || w.text == "0" {
		r.bad = true
		r.p.fail(w.pos, "write a name or a number from 1", "table %s", show(w.text))
		return
	}
	if *to = w.text; w.text == "main" || w.text == "254" {
		*to = ""
	}
}

// tos stores a type of service, a number in any notation.
func (r *reader) tos(to *uint8) {
	if w, ok := r.value(); ok {
		n, ok := r.p.unsigned(w, math.MaxUint8)
		*to, r.bad = uint8(n), r.bad || !ok
	}
}

// oneOf stores one of several words.
func (r *reader) oneOf(to *string, words ...string) {
	w, ok := r.value()
	if !ok {
		return
	}
	for _, v := range words {
		if w.text == v {
			*to = v
			return
		}
	}
	r.bad = true
	r.p.fail(w.pos, "write "+strings.Join(words, " or "), "unknown value %s in %s", show(w.text), r.what)
}
