package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"dirsw/host"
	"dirsw/internal/testenv"
	"dirsw/xsk"
)

// answers are made-up ones of a driver, in the order of kinds; those that are missing are not told.
func answers(fields ...xsk.HashFields) []hashed {
	list := kinds()
	for i, f := range fields {
		list[i].fields, list[i].told = f, true
	}
	return list
}

func TestPrintHashes(t *testing.T) {
	const (
		sd   = 0x30 // as `ethtool -N eth1 rx-flow-hash tcp4 sd` asks for it
		sdfn = 0xf0
	)
	for _, tt := range []struct {
		name    string
		driver  string
		answers []hashed
		want    string
	}{
		{"the usual", "ixgbe", answers(sdfn, sdfn, sd, sd, sd, sd), "" +
			"  hashes    tcp4, tcp6: source and destination address, source and destination port\n" +
			"            udp4, udp6, IPv4 fragments and others, IPv6 fragments and others: source and destination address\n"},
		{"each another", "odd", answers(0x10, 0x20, 0x50, 0x80, 0, 1<<31), "" +
			"  hashes    tcp4: source address\n" +
			"            tcp6: destination address\n" +
			"            udp4: source address, source port\n" +
			"            udp6: destination port\n" +
			"            IPv4 fragments and others: no field\n" +
			"            IPv6 fragments and others: dropped by the NIC\n"},
		{"more than addresses and ports", "odd", answers(0x0e, 0x20f, 0xf0, 0x100, sd, sd), "" +
			"  hashes    tcp4: protocol, VLAN, destination MAC\n" +
			"            tcp6: protocol, flow label, VLAN, destination MAC, what linux/ethtool.h numbers 0x1\n" +
			"            udp4: source and destination address, source and destination port\n" +
			"            udp6: what linux/ethtool.h numbers 0x100\n" +
			"            IPv4 fragments and others, IPv6 fragments and others: source and destination address\n"},
		{"some", "old", answers(sdfn, sdfn), "" +
			"  hashes    tcp4, tcp6: source and destination address, source and destination port\n" +
			"            udp4, udp6, IPv4 fragments and others, IPv6 fragments and others: its driver does not say\n"},
		{"no fields, and none told", "old", answers(0, 0), "" +
			"  hashes    tcp4, tcp6: no field\n" +
			"            udp4, udp6, IPv4 fragments and others, IPv6 fragments and others: its driver does not say\n"},
		{"none", "bridge", answers(), "  hashes    its driver does not say by which fields\n"},
		{"veth", "veth", answers(), "  hashes    nothing: a veth has no hash of its own to tell of\n"},
	} {
		var out bytes.Buffer
		printHashes(&out, &host.NIC{Link: host.Link{Name: "eth1", Driver: tt.driver}}, tt.answers)
		if out.String() != tt.want {
			t.Errorf("%s:\n%swant\n%s", tt.name, &out, tt.want)
		}
	}
}

func TestHashAdvice(t *testing.T) {
	const sd, sdfn = 0x30, 0xf0
	table := []uint32{0, 1, 2, 3}
	for _, tt := range []struct {
		name    string
		queues  int
		table   []uint32
		answers []hashed
		want    []string // parts of the lines, one each
	}{
		{"the usual", 4, table, answers(sdfn, sdfn, sd, sd, sd, sd), []string{
			"if there are none, and few clients, ports spread better: ethtool -N eth1 rx-flow-hash udp4 sdfn, and so with udp6"}},
		{"ports of UDP", 4, table, answers(sdfn, sdfn, sdfn, sd, sd, sd), []string{
			"may overtake them: ethtool -N eth1 rx-flow-hash udp4 sd", "ports spread better: ethtool -N eth1 rx-flow-hash udp6 sdfn"}},
		{"no ports of TCP", 4, table, answers(sd, 0x70), []string{"unevenly: ethtool -N eth1 rx-flow-hash tcp4 sdfn, and so with tcp6"}},
		{"one address", 4, table, answers(0x10, sdfn, 0x20, 0), []string{
			"TCP: not both addresses are hashed; requests have few destinations, replies of NAT few sources: ethtool -N eth1 rx-flow-hash tcp4 sdfn",
			"UDP: not both addresses are hashed; requests have few destinations, replies of NAT few sources: ethtool -N eth1 rx-flow-hash udp4 sd, and so with udp6"}},
		{"nothing told", 4, table, answers(), nil},
		{"one queue", 1, table, answers(0, 0, 0, 0), nil},
		{"no table: it does not spread by this", 4, nil, answers(0, 0, 0, 0), nil},
	} {
		n := &host.NIC{Link: host.Link{Name: "eth1", Queues: tt.queues}, Indirection: tt.table}
		got := hashAdvice(n, tt.answers)
		if !slices.EqualFunc(got, tt.want, strings.HasSuffix) {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
		}
	}
}

// TestDoctorOnVeth runs the command on a veth with two queues.
func TestDoctorOnVeth(t *testing.T) {
	ns := testenv.NewNamespace(t)
	testenv.Veth(t, testenv.End{In: ns, Name: "v0", Queues: 2}, testenv.End{In: ns, Name: "v1", Queues: 2})
	var out, stderr bytes.Buffer
	code := -1
	ns.Do(t, func() { code = cmdDoctor([]string{"nic", "v0"}, &out, &stderr) })
	if code != exitOK || stderr.Len() > 0 {
		t.Fatalf("exit status %d, %s", code, &stderr)
	}
	for _, want := range []string{"v0: veth, up, MTU 1500\n  queues    2 receive, 2 transmit", "  spreads   nothing by itself: a frame arrives at the queue",
		"  hashes    nothing: a veth has no hash of its own to tell of\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "rx-flow-hash") {
		t.Errorf("a veth has no hash to choose:\n%s", &out)
	}
}
