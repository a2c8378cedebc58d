package director

import (
	"fmt"
	"strconv"
	"strings"

	"dirsw/config"
	"dirsw/host"
)

// route sets or removes a route.
func (n *ElectionNet) route(r *config.Route, set bool) error {
	out, err := hostRoute(r)
	if err != nil {
		return err
	}
	if set {
		return n.v.AddRoute(out)
	}
	return n.v.DelRoute(out)
}

// rule sets or removes a rule.
func (n *ElectionNet) rule(r *config.Rule, set bool) error {
	out, err := hostRule(r)
	if err != nil {
		return err
	}
	if set {
		return n.v.AddRule(out)
	}
	return n.v.DelRule(out)
}

// routeTypes are RTN_… of linux/rtnetlink.h.
var routeTypes = map[string]uint8{"": 0, "unicast": 1, "local": 2, "broadcast": 3, "anycast": 4, "multicast": 5, "blackhole": 6,
	"unreachable": 7, "prohibit": 8, "throw": 9}

// routeMetrics are RTAX_… of linux/rtnetlink.h.
var routeMetrics = map[string]uint8{"mtu": 2, "window": 3, "rtt": 4, "rttvar": 5, "ssthresh": 6, "cwnd": 7, "advmss": 8, "reordering": 9,
	"hoplimit": 10, "initcwnd": 11, "features": 12, "rto_min": 13, "initrwnd": 14, "quickack": 15, "fastopen_no_cookie": 17}

// featureECN is RTAX_FEATURE_ECN.
const featureECN = 1

func hostRoute(r *config.Route) (host.Route, error) {
	out := host.Route{Type: routeTypes[r.Type], Dst: r.Dst, Via: r.Via, Link: r.Dev, OnLink: r.OnLink, Src: r.Src, VRF: r.VRF, Metric: r.Priority,
		TOS: r.TOS, Expires: r.Expires, Congestion: r.Congestion, CongLock: r.CongLock, Append: r.Append,
		Pref: map[string]uint8{"high": 1, "low": 3}[r.Pref]}
	var err error
	if out.Table, out.Protocol, out.Realm, err = numbers(r.Table, r.Protocol, r.Realm); err != nil {
		return out, err
	}
	if r.Scope != "" {
		scope, ok := config.WellKnownScope(r.Scope)
		if !ok {
			return out, fmt.Errorf("there is no scope %q: write a number", r.Scope)
		}
		out.Scope, out.HasScope = scope, true
	}
	for _, m := range r.Metrics {
		out.Metrics = append(out.Metrics, host.Metric{Kind: routeMetrics[m.Name], Value: m.Value, Lock: m.Lock})
	}
	if r.ECN {
		out.Metrics = append(out.Metrics, host.Metric{Kind: routeMetrics["features"], Value: featureECN})
	}
	if r.TTLProp != "" {
		on := r.TTLProp == "enabled"
		out.TTLPropagate = &on
	}
	for _, h := range r.Nexthops {
		hop := host.Nexthop{Via: h.Via, Link: h.Dev, Weight: h.Weight, OnLink: h.OnLink}
		if hop.Realm, err = realm(h.Realm); err != nil {
			return out, err
		}
		out.Nexthops = append(out.Nexthops, hop)
	}
	return out, nil
}

// ruleActions are FR_ACT_… of linux/fib_rules.h.
var ruleActions = map[string]uint8{"": host.RuleLookup, "lookup": host.RuleLookup, "goto": host.RuleGoto, "nop": host.RuleNop,
	"blackhole": host.RuleBlackhole, "unreachable": host.RuleUnreachable, "prohibit": host.RuleProhibit}

func hostRule(r *config.Rule) (host.Rule, error) {
	out := host.Rule{IPv6: r.IPv6, Priority: r.Priority, Not: r.Not, From: r.From, To: r.To, IIF: r.IIF, OIF: r.OIF, Mark: r.Mark, Mask: r.Mask,
		TOS: r.TOS, TunnelID: r.TunnelID, L3MDev: r.L3MDev, Action: ruleActions[r.Action], Goto: r.Goto,
		SuppressPrefixLen: r.SuppressPrefixLen, SuppressGroup: r.SuppressGroup, SrcPorts: ports(r.SrcPorts), DstPorts: ports(r.DstPorts)}
	if r.UIDs.Last != 0 {
		out.UIDs = &[2]uint32{r.UIDs.First, r.UIDs.Last}
	}
	var err error
	if out.Table, out.Protocol, out.Realm, err = numbers(r.Table, r.Protocol, r.Realm); err != nil {
		return out, err
	}
	if r.IPProto != "" {
		n, ok := map[string]uint8{"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "sctp": 132}[r.IPProto]
		if !ok {
			v, err := strconv.ParseUint(r.IPProto, 0, 8)
			if err != nil {
				return out, fmt.Errorf("there is no IP protocol %q: write its number", r.IPProto)
			}
			n = uint8(v)
		}
		out.IPProto = n
	}
	return out, nil
}

// ports is nil for any.
func ports(s config.Span) *[2]uint16 {
	if s.Last == 0 {
		return nil
	}
	return &[2]uint16{uint16(s.First), uint16(s.Last)}
}

// numbers are what the kernel knows a routing table, a routing protocol and a realm by.
func numbers(tableName, protocolName, realmText string) (t uint32, p uint8, r uint32, err error) {
	if t, err = table(tableName); err != nil {
		return
	}
	if p, err = protocol(protocolName); err != nil {
		return
	}
	r, err = realm(realmText)
	return
}

func table(name string) (uint32, error) {
	n, ok := config.WellKnownTable(name)
	if !ok {
		return 0, fmt.Errorf("the routing table %q is not known: write its number", name)
	}
	return n, nil
}

func protocol(name string) (uint8, error) {
	n, ok := config.WellKnownProtocol(name)
	if !ok {
		return 0, fmt.Errorf("the routing protocol %q is not known: write its number", name)
	}
	return n, nil
}

// realm reads [SOURCE/]DESTINATION, numbers of 16 bits.
func realm(s string) (uint32, error) {
	if s == "" {
		return 0, nil
	}
	source, dest, ok := strings.Cut(s, "/")
	if !ok {
		source, dest = "0", s
	}
	a, err := strconv.ParseUint(source, 0, 16)
	if err == nil {
		var b uint64
		if b, err = strconv.ParseUint(dest, 0, 16); err == nil {
			return uint32(a<<16 | b), nil
		}
	}
	return 0, fmt.Errorf("realm %q: write numbers, SOURCE/DESTINATION", s)
}
