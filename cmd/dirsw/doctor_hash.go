package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"dirsw/host"
	"dirsw/xsk"
)

// hashed is by which fields a NIC hashes packets of one kind.
type hashed struct {
	name   string // as ethtool calls the kind, or in words where it has no name for it
	flow   xsk.FlowType
	fields xsk.HashFields
	told   bool // by the driver
}

// kinds are what dirsw balances, of which nothing is told yet.
func kinds() []hashed {
	return []hashed{
		{name: "tcp4", flow: xsk.FlowTCP4}, {name: "tcp6", flow: xsk.FlowTCP6},
		{name: "udp4", flow: xsk.FlowUDP4}, {name: "udp6", flow: xsk.FlowUDP6},
		{name: "IPv4 fragments and others", flow: xsk.FlowIPv4}, {name: "IPv6 fragments and others", flow: xsk.FlowIPv6},
	}
}

// askHashes asks the driver of an interface of all kinds.
func askHashes(name string) []hashed {
	list := kinds()
	for i := range list {
		fields, err := xsk.ReceiveHash(name, list[i].flow)
		list[i].fields, list[i].told = fields, err == nil // whatever the error: drivers choose it as they like
	}
	return list
}

// printHashes prints a line for all kinds that are hashed by the same fields.
func printHashes(out io.Writer, n *host.NIC, hashes []hashed) {
	label := "hashes"
	line := func(text string) {
		fmt.Fprintf(out, "  %-8s  %s\n", label, text)
		label = ""
	}
	if !slices.ContainsFunc(hashes, func(h hashed) bool { return h.told }) {
		if n.Driver == "veth" {
			line("nothing: a veth has no hash of its own to tell of")
		} else {
			line("its driver does not say by which fields")
		}
		return
	}
	for i, h := range hashes {
		same := func(o hashed) bool { return o.fields == h.fields && o.told == h.told }
		if slices.ContainsFunc(hashes[:i], same) {
			continue
		}
		var names []string
		for _, o := range hashes[i:] {
			if same(o) {
				names = append(names, o.name)
			}
		}
		line(strings.Join(names, ", ") + ": " + describeFields(h))
	}
}

const (
	hashAddresses = xsk.HashSource | xsk.HashDest
	hashPorts     = xsk.HashSrcPort | xsk.HashDstPort
)

// describeFields names the fields, those that come in pairs together.
func describeFields(h hashed) string {
	switch {
	case !h.told:
		return "its driver does not say"
	case h.fields&xsk.HashDiscard != 0:
		return "dropped by the NIC"
	case h.fields == 0:
		return "no field"
	}
	var list []string
	left := h.fields
	for _, field := range []struct {
		bits xsk.HashFields
		name string
	}{
		{hashAddresses, "source and destination address"}, {xsk.HashSource, "source address"}, {xsk.HashDest, "destination address"},
		{hashPorts, "source and destination port"}, {xsk.HashSrcPort, "source port"}, {xsk.HashDstPort, "destination port"},
		{xsk.HashProtocol, "protocol"}, {xsk.HashFlowLabel, "flow label"}, {xsk.HashVLAN, "VLAN"}, {xsk.HashMAC, "destination MAC"},
	} {
		if left&field.bits == field.bits {
			list, left = append(list, field.name), left&^field.bits
		}
	}
	if left != 0 {
		list = append(list, fmt.Sprintf("what linux/ethtool.h numbers %#x", uint32(left)))
	}
	return strings.Join(list, ", ")
}

// hashAdvice is what to hash by instead, each with the command. Whatever the queue, the client's address decides which worker
// forwards a frame; so it matters only that the queues get about the same, and that what is to stay in order comes by one.
func hashAdvice(n *host.NIC, hashes []hashed) (list []string) {
	if n.Queues < 2 || len(n.Indirection) == 0 {
		return nil // what it tells of does not decide about queues
	}
	told := map[string]int{} // by the words before the kind: where in list they are
	for _, h := range hashes {
		why, fields := judgeHash(h)
		if why == "" {
			continue
		}
		if i, ok := told[why]; ok {
			list[i] += ", and so with " + h.name
			continue
		}
		told[why] = len(list)
		list = append(list, fmt.Sprintf("%s: ethtool -N %s rx-flow-hash %s %s", why, n.Name, h.name, fields))
	}
	return list
}

// judgeHash says what is not well with a hash, and which fields (as ethtool abbreviates them) it should take; "" if it suits.
func judgeHash(h hashed) (why, fields string) {
	udp := h.flow == xsk.FlowUDP4 || h.flow == xsk.FlowUDP6
	switch {
	case !h.told || h.flow == xsk.FlowIPv4 || h.flow == xsk.FlowIPv6: // of the last two ethtool cannot choose
		return "", ""
	case udp && h.fields&hashAddresses != hashAddresses:
		return "UDP: not both addresses are hashed; requests have few destinations, replies of NAT few sources", "sd"
	case udp && h.fields&hashPorts != 0:
		return "if UDP comes in fragments: they have no ports, so that they come by another queue than whole datagrams and may overtake them", "sd"
	case udp:
		return "UDP is hashed as suits fragments; if there are none, and few clients, ports spread better", "sdfn"
	case h.fields&hashAddresses != hashAddresses:
		return "TCP: not both addresses are hashed; requests have few destinations, replies of NAT few sources", "sdfn"
	case h.fields&hashPorts != hashPorts:
		return "TCP: without the ports, few clients with many connections fill the queues unevenly", "sdfn"
	}
	return "", ""
}
