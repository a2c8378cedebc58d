package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dirsw/config"
)

// ownPagePort is where the directors themselves serve a page, at addresses without a service.
const ownPagePort = 2280

// spec is the cluster.
func (p *plan) spec() Spec {
	client := NodeSpec{Name: demoClient, Role: Client, Forward: true}
	for i, n := range p.nets {
		w := Wire{Net: n.name, Interface: n.clientLink(p), Addrs: n.client}
		if i == 0 {
			client.Interface, client.Net, client.Addrs = w.Interface, w.Net, w.Addrs
			continue
		}
		client.More = append(client.More, w)
	}
	s := Spec{Nodes: []NodeSpec{client, p.director(0), p.director(1)}}
	for _, h := range p.nodes {
		if h.local {
			continue
		}
		n := NodeSpec{Name: h.name, Role: RealServer, Interface: "eth0", Net: h.lan.name, Addrs: []netip.Prefix{netip.PrefixFrom(h.addr, h.bits)}}
		for _, v := range h.vips {
			n.VIPs = append(n.VIPs, netip.PrefixFrom(v, v.BitLen()))
		}
		if h.gateway.IsValid() {
			n.Gateways = []netip.Addr{h.gateway}
		}
		s.Nodes = append(s.Nodes, n)
	}
	return s
}

// director is the node of one of the two.
func (p *plan) director(k int) NodeSpec {
	node := NodeSpec{Name: p.members[k].node, Role: Director}
	var wires []Wire
	for _, n := range p.nets {
		for _, link := range n.links[k] {
			wires = append(wires, Wire{Net: n.name, Interface: link, Addrs: n.addrs[k][link]})
		}
	}
	node.Net, node.Interface, node.Addrs, node.More = wires[0].Net, wires[0].Interface, wires[0].Addrs, wires[1:]
	for _, v := range p.services {
		node.Forward = node.Forward || v.conf.Method == config.NAT
	}
	if p.own {
		node.Page, node.Listen = strings.ToUpper(node.Name), fmt.Sprint(":", ownPagePort)
	}
	if slices.ContainsFunc(p.nets, func(n *lan) bool { return n.far }) {
		for _, n := range p.nets {
			if len(n.links[k]) == 0 {
				continue
			}
			for _, is6 := range []bool{false, true} {
				i := slices.IndexFunc(n.client, func(a netip.Prefix) bool { return a.Addr().Is6() == is6 })
				if i >= 0 && !slices.ContainsFunc(node.Gateways, func(a netip.Addr) bool { return a.Is6() == is6 }) {
					node.Gateways = append(node.Gateways, n.client[i].Addr())
				}
			}
		}
	}
	return node
}

// role says in a line what a node is.
func (p *plan) role(name string) string {
	switch {
	case name == demoClient && len(p.nets) > 1:
		return "client, and router between the networks"
	case name == demoClient:
		return "client"
	case name == p.members[0].node || name == p.members[1].node:
		what := "director: " + p.member(name).file
		for _, h := range p.nodes {
			if h.local {
				what += ", serves " + h.page + h.portList()
			}
		}
		return what
	}
	i := slices.IndexFunc(p.nodes, func(h *host) bool { return h.name == name })
	h := p.nodes[i]
	what := "serves " + h.page + h.portList()
	if len(h.vips) > 0 {
		what += fmt.Sprintf(", %v on lo", h.vips)
	}
	if h.gateway.IsValid() {
		what += fmt.Sprintf(", by %v", h.gateway)
	}
	return what
}

// portList names the ports of a host.
func (h *host) portList() string {
	var list []string
	for _, n := range h.sortedPorts() {
		name := fmt.Sprint(n)
		if h.ports[n].tls {
			name += " (TLS)"
		}
		list = append(list, name)
	}
	return " on " + strings.Join(list, ", ")
}

func (h *host) sortedPorts() (out []uint16) {
	for n := range h.ports {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// gates gives the web servers their way back to clients, and notes where there is none.
func (p *plan) gates() {
	for _, v := range p.services {
		for _, b := range v.backs {
			p.gate(v, b.host, b.real)
		}
		if v.sorry != nil {
			p.gate(v, v.sorry, v.conf.SorryServer)
		}
	}
}

// gate gives a web server its gateway: the client, or a director if it is reached by NAT.
func (p *plan) gate(v *served, h *host, r *config.Real) {
	if h.local || h.masqueraded {
		return
	}
	x, _ := h.lan.holds(h.addr)
	if r.Method != config.NAT {
		h.gateway = h.lan.clientIn(x)
		return
	}
	h.masqueraded = true
	if x.Contains(v.vip) {
		p.blame("%v: %v of %s is in the network of its clients: its replies go past the director, and NAT cannot undo what it did", r.Pos, h.addr, v.conf.Key())
	}
	if h.gateway = p.virtualGateway(h.lan, x, h.addr); h.gateway.IsValid() {
		return
	}
	p.blame("%v: no virtual address is in the network of %v to be its gateway: replies cannot return after a failover", r.Pos, h.addr)
	for _, link := range h.lan.links[0] {
		for _, a := range h.lan.addrs[0][link] {
			if x.Contains(a.Addr()) {
				h.gateway = a.Addr()
			}
		}
	}
}

// virtualGateway is a virtual address in a prefix of a network.
func (p *plan) virtualGateway(n *lan, x netip.Prefix, not netip.Addr) netip.Addr {
	var found netip.Addr
	p.eachAddress(func(at *lan, a netip.Prefix) {
		if at == n && x.Contains(a.Addr()) && a.Addr() != not && !found.IsValid() && p.held(a.Addr()) != nil {
			found = a.Addr()
		}
	})
	return found
}

// held returns the instance of the first director whose address it is; nil if it is none's.
func (p *plan) held(a netip.Addr) *config.Instance {
	list := p.members[0].model.Instances
	for i := range list {
		if slices.ContainsFunc(list[i].Addresses, func(v config.VirtualAddress) bool { return v.Prefix.Addr() == a }) {
			return &list[i]
		}
	}
	return nil
}
