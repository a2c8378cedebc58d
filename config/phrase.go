package config

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// phrase is a line in the making, in the words of keepalived.conf.
type phrase []string

// add appends a word and its value, unless that is empty.
func (w *phrase) add(name, value string) {
	if value != "" {
		*w = append(*w, name, value)
	}
}

// flag appends a word if it is on.
func (w *phrase) flag(name string, on bool) {
	if on {
		*w = append(*w, name)
	}
}

// number appends a word and its value, unless that is 0.
func (w *phrase) number(name string, n uint64) {
	if n != 0 {
		w.add(name, strconv.FormatUint(n, 10))
	}
}

func (w *phrase) addr(name string, a netip.Addr) {
	if a.IsValid() {
		w.add(name, a.String())
	}
}

func (w *phrase) prefix(name string, p netip.Prefix) {
	if p.IsValid() {
		w.add(name, p.String())
	}
}

func (w *phrase) hex(name string, n uint8) {
	if n != 0 {
		w.add(name, "0x"+strconv.FormatUint(uint64(n), 16))
	}
}

// Words returns the address as a line of virtual_ipaddress says it.
func (a *VirtualAddress) Words() []string {
	w := phrase{a.Prefix.String()}
	if a.Peer.IsValid() {
		w = phrase{a.Prefix.Addr().String()}
		w.add("peer", hostOrPrefix(a.Peer))
	}
	return append(w, a.options()...)
}

// hostOrPrefix leaves the length of a host's prefix out, which keepalived 2.2.7 does not take of a peer.
func hostOrPrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// options is what follows the address.
func (a *VirtualAddress) options() []string {
	var w phrase
	w.addr("brd", a.Broadcast)
	w.add("dev", a.Dev)
	w.flag("use_vmac", a.UseVMAC)
	w.add("scope", a.Scope)
	w.add("label", a.Label)
	w.flag("home", a.Home)
	w.flag("-nodad", a.NoDAD)
	w.flag("mngtmpaddr", a.ManageTemp)
	w.flag("noprefixroute", a.NoPrefixRoute)
	w.flag("autojoin", a.AutoJoin)
	w.flag("no_track", a.NoTrack)
	host := a.Prefix.Addr().Is6() && a.Prefix.IsSingleIP()
	switch {
	case a.Deprecated && host: // it is so by default
	case a.Deprecated:
		w.add("preferred_lft", "0")
	case a.PreferredLft > 0:
		w.add("preferred_lft", strconv.FormatInt(int64(a.PreferredLft/time.Second), 10))
	case host:
		w.add("preferred_lft", "forever")
	}
	w.add("track_group", a.TrackGroup)
	return w
}

// Words returns the peer as a line of unicast_peer says it.
func (p *Peer) Words() []string {
	w := phrase{p.Addr.String()}
	w.number("min_ttl", uint64(p.MinTTL))
	if p.MaxTTL < 255 {
		w.add("max_ttl", strconv.Itoa(p.MaxTTL))
	}
	return w
}

// Words returns what is tracked as a line of its block says it, with the weight.
func (t *Track) Words() []string {
	if t.Takeover {
		return phrase{t.Name, "takeover"}
	}
	w := phrase{t.Name, "weight", strconv.Itoa(t.Weight)}
	switch {
	case t.Reverse:
		w.flag("reverse", true)
	case t.Kind != TrackInterface:
		w.flag("noreverse", true)
	}
	return w
}

// Words returns the route as a line of virtual_routes says it.
func (r *Route) Words() []string {
	var w phrase
	w.flag(r.Type, r.Type != "")
	w = append(w, r.Dst.String())
	w.addr("src", r.Src)
	w.via(r.Via, r.Is6())
	w.add("dev", r.Dev)
	w.flag("onlink", r.OnLink)
	w.add("table", r.Table)
	w.add("protocol", r.Protocol)
	w.add("scope", r.Scope)
	w.number("metric", uint64(r.Priority))
	w.hex("tos", r.TOS)
	w.add("realms", r.Realm)
	w.add("vrf", r.VRF)
	w.add("pref", r.Pref)
	for _, m := range r.Metrics {
		w.metric(m.Name, m.Lock, strconv.FormatUint(uint64(m.Value), 10))
	}
	w.metric("congctl", r.CongLock, r.Congestion)
	if r.ECN {
		w.add("features", "ecn")
	}
	w.add("ttl-propagate", r.TTLProp)
	w.number("expires", uint64(r.Expires))
	w.flag("append", r.Append)
	w.flag("no_track", r.NoTrack)
	w.add("track_group", r.TrackGroup)
	for _, h := range r.Nexthops {
		w.flag("nexthop", true)
		w.via(h.Via, r.Is6())
		w.add("dev", h.Dev)
		if h.Weight != 1 {
			w.add("weight", strconv.Itoa(h.Weight))
		}
		w.flag("onlink", h.OnLink)
		w.add("realms", h.Realm)
	}
	return w
}

// String returns the route as a line of virtual_routes says it.
func (r *Route) String() string { return strings.Join(r.Words(), " ") }

// via names the family of a gateway where it is not that of the route.
func (w *phrase) via(a netip.Addr, six bool) {
	if !a.IsValid() {
		return
	}
	w.flag("via", true)
	if a.Is6() != six {
		w.flag(familyWord(a.Is6()), true)
	}
	w.flag(a.String(), true)
}

func (w *phrase) metric(name string, lock bool, value string) {
	if value != "" {
		w.flag(name, true)
		w.flag("lock", lock)
		w.flag(value, true)
	}
}

func familyWord(six bool) string {
	if six {
		return "inet6"
	}
	return "inet"
}

// Words returns the rule as a line of virtual_rules says it. The family stands behind, and only where no network says it:
// keepalived 2.2.7 loses the word after it.
func (r *Rule) Words() []string {
	var w phrase
	w.flag("not", r.Not)
	w.prefix("from", r.From)
	w.prefix("to", r.To)
	w.add("iif", r.IIF)
	w.add("oif", r.OIF)
	if r.Mask != 0 {
		w.add("fwmark", "0x"+strconv.FormatUint(uint64(r.Mark), 16)+"/0x"+strconv.FormatUint(uint64(r.Mask), 16))
	}
	w.hex("tos", r.TOS)
	w.add("uidrange", r.UIDs.String())
	w.add("ipproto", r.IPProto)
	w.add("sport", r.SrcPorts.String())
	w.add("dport", r.DstPorts.String())
	w.number("tun_id", r.TunnelID)
	w.flag("l3mdev", r.L3MDev)
	w.add("protocol", r.Protocol)
	w.add("preference", strconv.FormatUint(uint64(r.Priority), 10))
	switch r.Action {
	case "lookup":
		if !r.L3MDev || r.Table != "" {
			w.add("table", or(r.Table, "main"))
		}
	case "goto":
		w.add("goto", strconv.FormatUint(uint64(r.Goto), 10))
	default:
		w.flag(r.Action, r.Action != "")
	}
	if r.SuppressPrefixLen >= 0 {
		w.add("suppress_prefixlength", strconv.Itoa(r.SuppressPrefixLen))
	}
	if r.SuppressGroup >= 0 {
		w.add("suppress_ifgroup", strconv.Itoa(r.SuppressGroup))
	}
	w.add("realms", r.Realm)
	w.flag("no_track", r.NoTrack)
	w.add("track_group", r.TrackGroup)
	w.flag("inet6", r.IPv6 && !r.From.IsValid() && !r.To.IsValid())
	return w
}

// String returns the rule as a line of virtual_rules says it.
func (r *Rule) String() string { return strings.Join(r.Words(), " ") }
