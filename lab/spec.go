package lab

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Role is what a node is there for.
type Role uint8

// The roles.
const (
	Client Role = iota + 1
	Director
	RealServer
)

var roleNames = [...]string{Client: "client", Director: "director", RealServer: "real server"}

func (r Role) String() string {
	if int(r) < len(roleNames) && roleNames[r] != "" {
		return roleNames[r]
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// switchName is the node that is the switch.
const switchName = "switch"

// Spec says what a cluster consists of. The switch is not in it: there is always one.
type Spec struct {
	Nodes []NodeSpec
}

// Wire is an interface of a node, and where it is plugged in.
type Wire struct {
	Net       string           // network; the empty one is that of most nodes. Frames do not pass from one to another
	Interface string           // its name inside the node
	MAC       net.HardwareAddr // nil: the kernel chooses
	Addrs     []netip.Prefix   // on the interface
	MTU       int              // of both ends; 0: 1500
	// Queues of both ends, in each direction; 0: one. The sender chooses one by a hash of the flow. The switch, where no
	// NAPI notes by which queue a frame came, takes the number for one that is counted from 1 (skb_tx_hash, skbuff.h), so
	// that of four queues at a sender three are used behind the switch, and of two only the first.
	Queues int
}

// NodeSpec is a machine of the cluster.
type NodeSpec struct {
	Name      string // "lb1"; also the name of its port of the switch
	Role      Role
	Interface string           // the name of its first interface inside the node: "enp0s8"
	MAC       net.HardwareAddr // nil: the kernel chooses
	Addrs     []netip.Prefix   // on the interface
	Net       string           // see Wire
	MTU       int              // see Wire
	Queues    int              // see Wire
	More      []Wire           // further interfaces; their ports of the switch are named NODE-NETWORK
	Gateways  []netip.Addr     // default routes, one of each family at most
	Forward   bool             // route between the interfaces
	// VIPs are on the loopback, and the node neither answers nor asks ARP for them (arp_ignore 1, arp_announce 2): so is
	// a real server set up for direct routing.
	VIPs []netip.Prefix
	// Page is the first line of what its HTTP server says ("RS1"); empty: there is no server.
	Page string
	// Listen is where the HTTP server listens: ":80".
	Listen string
}

// interfaces lists all of a node's.
func (n *NodeSpec) interfaces() []Wire {
	return append([]Wire{{n.Net, n.Interface, n.MAC, n.Addrs, n.MTU, n.Queues}}, n.More...)
}

// port is the name of the switch's end of a wire.
func (n *NodeSpec) port(i int) string {
	if i == 0 {
		return n.Name
	}
	return n.Name + "-" + n.More[i-1].Net
}

// bridge is the name of a network's bridge in the switch.
func bridge(network string) string {
	if network == "" {
		return bridgeName
	}
	return bridgeName + "-" + network
}

// bridges lists the bridges that the nodes need.
func (s Spec) bridges() []string {
	list := []string{bridgeName}
	for i := range s.Nodes {
		for _, w := range s.Nodes[i].interfaces() {
			if b := bridge(w.Net); !slices.Contains(list, b) {
				list = append(list, b)
			}
		}
	}
	return list
}

// DefaultSpec is the cluster of the configuration Pasted: a client (which stands for the host of the virtual machines),
// the first director, two real servers and the virtual address on each of them.
func DefaultSpec() Spec {
	const enp0s8 = "enp0s8"
	lan := func(last byte) []netip.Prefix {
		return []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 56, last}), 24)}
	}
	vips := []netip.Prefix{netip.MustParsePrefix("192.168.56.200/32")}
	mac := func(last ...byte) net.HardwareAddr { return append(net.HardwareAddr{8, 0, 0x27}, last...) }
	return Spec{Nodes: []NodeSpec{
		{Name: "client", Role: Client, Interface: enp0s8, MAC: mac(0, 0, 1), Addrs: lan(1)},
		{Name: "lb1", Role: Director, Interface: enp0s8, MAC: mac(0xfb, 0x6e, 0x21), Addrs: lan(101)},
		{Name: "rs1", Role: RealServer, Interface: enp0s8, MAC: mac(0, 1, 3), Addrs: lan(103), VIPs: vips, Page: "RS1", Listen: ":80"},
		{Name: "rs2", Role: RealServer, Interface: enp0s8, MAC: mac(0, 1, 4), Addrs: lan(104), VIPs: vips, Page: "RS2", Listen: ":80"},
	}}
}

// validate reports the first thing that would make Up stop half way.
func (s Spec) validate() error {
	names := map[string]bool{switchName: true, "": true}
	for _, n := range s.Nodes {
		switch {
		case names[n.Name] || strings.ContainsAny(n.Name, "/. \n"):
			return fmt.Errorf("node name %q is taken or not usable", n.Name)
		case len(n.Name) > 15 || len(n.Interface) > 15 || n.Interface == "": // IFNAMSIZ, with its zero
			return fmt.Errorf("node %s: an interface name has 1 to 15 characters", n.Name)
		case (n.Page == "") != (n.Listen == ""):
			return fmt.Errorf("node %s: Page and Listen belong together", n.Name)
		}
		names[n.Name] = true
		for i, w := range n.More {
			if w.Interface == "" || len(w.Interface) > 15 || len(n.port(i+1)) > 15 || len(bridge(w.Net)) > 15 || names[n.port(i+1)] {
				return fmt.Errorf("node %s: interface %d: its name, that of its network or that of its port is empty, taken or too long",
					n.Name, i+2)
			}
			names[n.port(i+1)] = true
		}
		if i := slices.IndexFunc(slices.Concat(n.Addrs, n.VIPs), func(p netip.Prefix) bool { return !p.IsValid() }); i >= 0 {
			return fmt.Errorf("node %s: address %d is not valid", n.Name, i+1)
		}
	}
	return nil
}
