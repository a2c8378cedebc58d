package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"dirsw/config"
	"dirsw/host"
	"dirsw/xsk"
)

func TestCrew(t *testing.T) {
	cpus := []int{0, 2, 3}
	for _, tt := range []struct {
		name   string
		d      config.Dataplane
		queues int
		want   []int
	}{
		{"nothing said", config.Dataplane{}, 8, []int{unpinned}},
		{"cores", config.Dataplane{Cores: []int{5, 4}}, 8, []int{5, 4}},
		{"workers", config.Dataplane{Workers: 2}, 8, []int{unpinned, unpinned}},
		{"auto, many queues", config.Dataplane{AutoCores: true}, 8, []int{0, 2, 3}},
		{"auto, two queues", config.Dataplane{AutoCores: true}, 2, []int{0, 2}},
		{"auto, one queue", config.Dataplane{AutoCores: true}, 1, []int{unpinned}},
		{"auto, so many workers", config.Dataplane{AutoCores: true, Workers: 2}, 8, []int{0, 2}},
		{"auto, more workers than CPUs", config.Dataplane{AutoCores: true, Workers: 4}, 8, free(4)},
	} {
		if got := crew(&tt.d, tt.queues, cpus); !slices.Equal(got, tt.want) {
			t.Errorf("%s: cores %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestUsable(t *testing.T) {
	for _, tt := range []struct {
		cores, cpus []int
		want        string
	}{
		{[]int{0, 3}, []int{0, 1, 2, 3}, ""},
		{free(2), []int{1}, ""},
		{[]int{0, 4}, []int{0, 1, 2, 3}, "name some of 0-3"},
		{[]int{1}, []int{0, 2, 3, 8}, "name some of 0,2-3,8"},
	} {
		if err := usable(tt.cores, tt.cpus); (err == nil) != (tt.want == "") || err != nil && !strings.HasSuffix(err.Error(), tt.want) {
			t.Errorf("cores %v of %v: %v, want %q", tt.cores, tt.cpus, err, tt.want)
		}
	}
}

func TestFewestQueues(t *testing.T) {
	in := func(rx int) xsk.PortOptions { return xsk.PortOptions{Queues: rx, Receive: true} }
	for _, tt := range []struct {
		name   string
		ports  []xsk.PortOptions
		tx     []int
		served int
		want   int
	}{
		{"receive", []xsk.PortOptions{in(4), in(2)}, []int{4, 4}, 0, 2},
		{"transmit", []xsk.PortOptions{in(4), in(4)}, []int{4, 3}, 0, 3},
		{"one that only sends", []xsk.PortOptions{in(4), {Queues: 1}}, []int{4, 4}, 0, 4},
		{"not all are served", []xsk.PortOptions{in(4)}, []int{4}, 2, 2},
		{"none", nil, nil, 0, 1},
	} {
		if got := fewestQueues(tt.ports, tt.tx, tt.served); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestUnsuitedInterfaces(t *testing.T) {
	nic := func(edit func(*host.NIC)) *host.NIC {
		n := &host.NIC{Link: host.Link{Name: "eth1", MAC: [6]byte{2, 0, 0, 0, 0, 1}, Kind: "device"}}
		edit(n)
		return n
	}
	for _, tt := range []struct {
		name          string
		n             *host.NIC
		want, generic string // parts of the errors; "": none
	}{
		{"hardware", nic(func(*host.NIC) {}), "", ""},
		{"bridge", nic(func(n *host.NIC) { n.Kind = "bridge" }), "", ""},
		{"bond", nic(func(n *host.NIC) { n.Kind = "bond" }), "eth1 is a bond", "in no bond"},
		{"VLAN", nic(func(n *host.NIC) { n.Kind, n.Over = "vlan", "eth0" }), "eth1 is a VLAN on eth0", "untagged"},
		{"team", nic(func(n *host.NIC) { n.Kind = "team" }), "eth1 is a team", "in no team"},
		{"ipvlan", nic(func(n *host.NIC) { n.Kind, n.Over = "ipvlan", "eth0" }), "give dirsw eth0", "give dirsw eth0"},
		{"macvlan", nic(func(n *host.NIC) { n.Kind, n.Over = "macvlan", "eth0" }), "give dirsw eth0", ""},
		{"port", nic(func(n *host.NIC) { n.MemberOf, n.MasterKind = "br0", "bridge" }), "give dirsw br0", "give dirsw br0"},
		{"in a VRF", nic(func(n *host.NIC) { n.MemberOf, n.MasterKind = "blue", "vrf" }), "", ""},
		{"no Ethernet", nic(func(n *host.NIC) { n.MAC, n.Kind = [6]byte{}, "wireguard" }), "(wireguard) does not carry", "does not carry"},
	} {
		for generic, want := range map[bool]string{false: tt.want, true: tt.generic} {
			err := unsuited(tt.n, generic)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s, generic %v: %v, want %q", tt.name, generic, err, want)
			}
		}
	}
}

// TestDoctorAdvises describes NICs that no test machine has.
func TestDoctorAdvises(t *testing.T) {
	const native = host.XDPBasic | host.XDPRedirect | host.XDPTransmit
	table := make([]uint32, 128)
	for i := range table {
		table[i] = uint32(i % 8)
	}
	for _, tt := range []struct {
		name string
		n    host.NIC
		hash []hashed
		cpus int
		want []string // lines that must be there
		not  []string
	}{
		{"a server's NIC", host.NIC{Link: host.Link{Name: "eth1", MAC: [6]byte{2}, MTU: 9000, Up: true, Driver: "mlx5_core", Kind: "device",
			Queues: 8, TxQueues: 8}, MaxQueues: 32, MaxTxQueues: 32, Combined: true, Indirection: table, XDP: native | host.XDPZeroCopy,
			XDPKnown: true, Offloads: []string{"rx-gro", "rx-hashing", "rx-lro", "rx-vlan-hw-parse"}}, answers(0xf0, 0xf0, 0xf0, 0xf0, 0x30, 0x30), 16, []string{
			"eth1: mlx5_core, up, MTU 9000",
			"8 receive, 8 transmit; at most 32 and 32: enough for 8 workers",
			"over the queues 0 to 7, in a table of 128\n  hashes    tcp4, tcp6, udp4, udp6: source and destination address, source and destination port\n",
			"            IPv4 fragments and others, IPv6 fragments and others: source and destination address\n",
			"ethtool -N eth1 rx-flow-hash udp4 sd, and so with udp6",
			"native, with zero copy",
			"on: rx-lro rx-gro rx-vlan-hw-parse",
			"ethtool -L eth1 combined 16, and `cores auto`",
			"ip link set eth1 mtu 3498",
			"ethtool -K eth1 rx-lro off",
			"ethtool -K eth1 rxvlan off",
		}, []string{"gro off", "PEER"}},
		{"one queue and no native mode", host.NIC{Link: host.Link{Name: "eth2", MAC: [6]byte{2}, MTU: 1500, Driver: "old", Kind: "device",
			Queues: 1, TxQueues: 1}, XDPKnown: true, Offloads: []string{"rx-gro"}}, answers(), 4, []string{
			"eth2: old, down", "nothing: there is one receive queue", "generic only", "ethtool -K eth2 gro off",
		}, []string{"ethtool -L", "cores auto"}},
		{"veth", host.NIC{Link: host.Link{Name: "v0", MAC: [6]byte{2}, MTU: 1500, Driver: "veth", Kind: "veth", Queues: 2, TxQueues: 4},
			MaxQueues: 4, MaxTxQueues: 4, XDPKnown: true}, answers(), 4, []string{
			"the number that its sender transmits by", "generic only: the other end transmits by more queues",
			"ethtool -L v0 rx 4 tx 4", "ethtool -L PEER tx 2",
		}, nil},
		{"bond", host.NIC{Link: host.Link{Name: "bond0", MAC: [6]byte{2}, Kind: "bond", Driver: "bonding", Queues: 1, TxQueues: 1}}, answers(), 4,
			[]string{"this kernel does not say", "its driver does not say by which fields", "->  bond0 is a bond"}, []string{"ethtool"}},
	} {
		var out bytes.Buffer
		printNIC(&out, &tt.n, tt.hash, tt.cpus)
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", tt.name, want, &out)
			}
		}
		for _, not := range tt.not {
			if strings.Contains(out.String(), not) {
				t.Errorf("%s: %q in\n%s", tt.name, not, &out)
			}
		}
	}
}
