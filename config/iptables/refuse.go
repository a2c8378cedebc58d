package iptables

import (
	"slices"

	"dirsw/config"
)

// refusal says what to write instead of something that is understood and cannot be honoured.
type refusal struct{ name, fix string }

// refusedMatches are the extensions of conditions that a director cannot ask for.
func refusedMatches() []refusal {
	const state = "leave it out: a mark counts for the first packet of a connection only, the others follow it"
	const rate = "leave it out, and limit the rate before the director"
	const list = "write the addresses out: -s or -d with commas"
	return []refusal{
		{"conntrack", state}, {"state", state}, {"connmark", state}, {"connbytes", state}, {"connlabel", state}, {"helper", state},
		{"limit", rate}, {"hashlimit", rate}, {"connlimit", "use the upper threshold of the real servers (ipvsadm -x)"},
		{"quota", rate}, {"rateest", rate}, {"recent", rate},
		{"statistic", "use weights: schedulers share connections out"}, {"random", "use weights: schedulers share connections out"},
		{"nth", "use weights: schedulers share connections out"},
		{"set", list}, {"iprange", "write the range as prefixes: -s or -d 192.0.2.0/30,192.0.2.4/32"},
		{"geoip", list}, {"cluster", "leave it out: the workers share the packets out by themselves"},
		{"addrtype", "leave it out: marks count for addresses of the director only"},
		{"string", "leave it out: the first packet of a connection has no data"},
		{"u32", "use -m tcp, -m udp or -m multiport"}, {"bpf", "use -m tcp, -m udp or -m multiport"},
		{"mac", "write the addresses: -s ADDRESS"}, {"physdev", "name the interface: -i NAME"},
		{"time", "change the rules at that time: dirsw mark add, dirsw mark del"}, {"condition", "change the rules: dirsw mark add, dirsw mark del"},
		{"owner", "leave it out: packets of this host's own programs are not seen"},
		{"socket", "leave it out"}, {"policy", "leave it out"}, {"rpfilter", "leave it out"}, {"pkttype", "leave it out"},
		{"length", "leave it out"}, {"ttl", "leave it out"}, {"hl", "leave it out"}, {"tos", "leave it out"}, {"dscp", "leave it out"},
		{"ecn", "leave it out"}, {"tcpmss", "leave it out"}, {"realm", "leave it out"}, {"devgroup", "name the interfaces: -i NAME"},
		{"cpu", "leave it out"}, {"cgroup", "leave it out: packets of this host's own programs are not seen"},
		{"icmp", "leave the rule out: IPVS schedules no ICMP"}, {"icmp6", "leave the rule out: IPVS schedules no ICMP"},
		{"esp", "leave out the SPI: write -p esp"}, {"ah", "leave out the SPI: write -p ah"}, {"dccp", "leave the rule out: IPVS schedules TCP, UDP and SCTP"},
		{"udplite", "leave the rule out: IPVS schedules TCP, UDP and SCTP"},
		{"frag", "leave it out: fragments are put together before they are scheduled"}, {"rt", "leave it out"}, {"hbh", "leave it out"},
		{"dst", "leave it out"}, {"ipv6header", "leave it out"}, {"mh", "leave it out"}, {"eui64", "leave it out"}, {"srh", "leave it out"},
		{"ipvs", "leave it out: marks are given before IPVS"}, {"nfacct", "leave it out"}, {"osf", "leave it out"},
	}
}

// refusedTargets are the targets of iptables that are no chains and do something other than giving marks.
func refusedTargets() []refusal {
	const filter = "drop such packets before the director: dirsw marks, it does not filter"
	const nat = "use a real server with the method NAT (-m)"
	const edits = "leave the rule out: dirsw does not change such fields"
	const logs = "leave the rule out, and ask with dirsw explain"
	return []refusal{
		{"DROP", filter}, {"REJECT", filter}, {"QUEUE", filter}, {"NFQUEUE", filter}, {"TARPIT", filter}, {"SYNPROXY", filter},
		{"CONNMARK", "write -j MARK: a connection keeps its server without it"}, {"CONNSECMARK", edits}, {"SECMARK", edits},
		{"TPROXY", "write -j MARK and a virtual server for the mark"}, {"CT", "leave the rule out: dirsw tracks its connections itself"},
		{"NOTRACK", "leave the rule out: dirsw tracks its connections itself"},
		{"DNAT", nat}, {"SNAT", nat}, {"MASQUERADE", nat}, {"REDIRECT", nat}, {"NETMAP", nat},
		{"TOS", edits}, {"DSCP", edits}, {"TTL", edits}, {"HL", edits}, {"ECN", edits}, {"TCPMSS", edits}, {"TCPOPTSTRIP", edits},
		{"CHECKSUM", edits}, {"CLASSIFY", edits}, {"HMARK", "write -j MARK"}, {"SET", edits}, {"TEE", edits}, {"IDLETIMER", edits},
		{"LED", edits}, {"RATEEST", edits}, {"AUDIT", logs}, {"LOG", logs}, {"NFLOG", logs}, {"ULOG", logs}, {"TRACE", logs},
		{"CLUSTERIP", "use a virtual server"},
	}
}

func refused(list []refusal, name string) (fix string, ok bool) {
	for _, r := range list {
		if r.name == name {
			return r.fix, true
		}
	}
	return "", false
}

// noBuiltIn explains why the rules of a built-in chain are of no use; "" for others.
func noBuiltIn(chain string) string {
	switch chain {
	case "OUTPUT":
		return "packets of this host's own programs are not seen"
	case "FORWARD", "POSTROUTING":
		return "packets pass it after they have been scheduled"
	}
	return ""
}

// ipv6Extensions are the protocol numbers of headers that stand before the one that -p looks for.
func ipv6Extensions() []uint8 { return []uint8{0, 43, 44, 60} }

// refuseMatch complains of a match that is not among those understood: it is not honoured, or there is no such thing.
func refuseMatch(w Word) error {
	if fix, ok := refused(refusedMatches(), w.Text); ok {
		return fail(w.Pos, fix, "the match %q cannot be honoured", w.Text)
	}
	names := []string{"tcp", "udp", "sctp", "multiport", "mark", "comment"}
	fix := "write one of tcp, udp, sctp, multiport, mark, comment"
	if near := config.Nearest(w.Text, slices.Values(names)); near != "" {
		fix = "write " + near
	}
	return fail(w.Pos, fix, "Couldn't load match `%s'", w.Text)
}
