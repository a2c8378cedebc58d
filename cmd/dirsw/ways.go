package main

import (
	"net/netip"
	"strings"
	"time"

	"dirsw/config"
	"dirsw/conntrack"
	"dirsw/director"
	"dirsw/forward"
	"dirsw/host"
	"dirsw/packet"
)

// ways is how the real servers of a file are reached, as far as this host can say. Where it cannot, addresses are made up
// and the remark says so: a file is often looked at on another machine than the director. The last port stands for the
// director's own network stack.
type ways struct {
	ports  []forward.PortInfo
	hops   map[netip.Addr]forward.Hop
	kernel forward.Hop
	remark string
}

// What stands for a director that this host is not.
var (
	madeUpMAC = packet.MAC{2, 0, 0, 0, 0, 2}
	stackMAC  = packet.MAC{2, 0, 0, 0, 0, 3}
	madeUp4   = packet.Addr{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: 254}
	madeUp6   = packet.Addr{0x20, 0x01, 0x0d, 0xb8, 15: 0xfe}
)

func newWays(m *config.Model) *ways {
	w := &ways{hops: map[netip.Addr]forward.Hop{}}
	var unknown []string
	h, err := host.Open(host.Options{})
	if err == nil {
		defer h.Close()
	}
	servers := director.Servers(m)
	for _, a := range servers {
		if h == nil || !w.ask(h, a) {
			unknown = append(unknown, a.String())
			b := a.As16()
			w.hops[a] = forward.Hop{OK: true, MTU: 1500, Dst: packet.MAC{2, 0, b[12], b[13], b[14], b[15]}, Own: madeUp6}
		}
	}
	if len(w.ports) == 0 {
		w.ports = []forward.PortInfo{{Name: "eth0", MAC: madeUpMAC, MTU: 1500}}
	}
	stack := uint8(len(w.ports))
	w.ports = append(w.ports, forward.PortInfo{Name: "own stack", MAC: stackMAC, MTU: 65535})
	w.kernel = forward.Hop{OK: true, Local: true, Port: stack, MTU: 65535, Src: stackMAC, Dst: stackMAC}
	for a, hop := range w.hops {
		if hop.Src = w.ports[hop.Port].MAC; hop.Local {
			hop = w.kernel
		}
		if hop.Own == (packet.Addr{}) || hop.Own == madeUp6 {
			if hop.Own = madeUp6; a.Is4() {
				hop.Own = madeUp4
			}
		}
		w.hops[a] = hop
	}
	if len(unknown) > 0 {
		w.remark = "note:    the link layer address of " + strings.Join(unknown, ", ") +
			" is not known here; one that begins with 02:00 stands for it\n"
	}
	return w
}

// ask fills the way to a by what the kernel of this host says.
func (w *ways) ask(h *host.Host, a netip.Addr) bool {
	hop, err := h.NextHop(a)
	if err == nil && hop.Local {
		w.hops[a] = forward.Hop{OK: true, Local: true, Own: packet.AddrFrom(a)}
		return true
	}
	if err != nil || !hop.Resolved {
		return false
	}
	links, err := h.Links()
	if err != nil {
		return false
	}
	for _, l := range links {
		if l.Index != hop.Link {
			continue
		}
		port := 0
		for port < len(w.ports) && w.ports[port].Name != l.Name {
			port++
		}
		if port == len(w.ports) {
			w.ports = append(w.ports, forward.PortInfo{Name: l.Name, MAC: l.MAC, MTU: l.MTU, Unfinished: l.Unfinished})
		}
		to := forward.Hop{OK: true, Port: uint8(port), MTU: uint16(min(hop.MTU, 65535)), Dst: hop.MAC}
		if hop.Src.IsValid() {
			to.Own = packet.AddrFrom(hop.Src)
		}
		w.hops[a] = to
		return true
	}
	return false
}

func (w *ways) names() (n []string) {
	for _, p := range w.ports {
		n = append(n, p.Name)
	}
	return n
}

// offlineWorker sets up a worker from a model, with nobody else involved.
func offlineWorker(m *config.Model, way *ways, lane forward.Lane, o forward.Observer) (*forward.Worker,
	*forward.Snapshot, error) {
	snap, err := director.Compile(&director.Inputs{Model: director.AllWell(m), Hops: way.hops, Kernel: way.kernel, Names: way.names(), Workers: 1}, nil)
	if err != nil {
		return nil, nil, err
	}
	w, err := forward.NewWorker(0, lane, forward.Options{Observer: o,
		Table: conntrack.Options{MaxConns: m.Dataplane.Connections}})
	if err != nil {
		return nil, nil, err
	}
	w.Publish(snap)
	return w, snap, nil
}

// idleLane has no traffic.
type idleLane struct{ ports []forward.PortInfo }

func (l idleLane) Ports() []forward.PortInfo        { return l.ports }
func (idleLane) Recv(b *packet.Batch) (int, error)  { b.N = 0; return 0, nil }
func (idleLane) Send(b *packet.Batch) (int, error)  { b.N = 0; return 0, nil }
func (idleLane) Drop(b *packet.Batch)               { b.N = 0 }
func (idleLane) Alloc() (f packet.Frame, ok bool)   { return f, false }
func (idleLane) Wait(time.Duration) error           { return nil }
func (idleLane) Counters() (c forward.LaneCounters) { return c }
func (idleLane) Close() error                       { return nil }
