package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"dirsw/clock"
	"dirsw/config"
	"dirsw/conntrack"
	"dirsw/ctl"
	"dirsw/director"
	"dirsw/forward"
	"dirsw/host"
	"dirsw/packet"
)

// cmdExplain says where a packet would go and why: by the running director, or with -f by a worker that has just been set
// up from a file.
func cmdExplain(args []string, stdout, stderr io.Writer) int {
	fs, parse := flags("explain", "[-f FILE | --socket PATH] 'tcp CLIENT:PORT > VIP:PORT'", stderr)
	file := fs.String("f", "", "explain by this `file` instead of asking the running director")
	socket := fs.String("socket", defaultSocket, "control socket `path`")
	if code := parse(args); code >= 0 {
		return code
	}
	flow := strings.Join(fs.Args(), " ")
	spec, err := director.ParseFlow(flow)
	if err != nil {
		fail(stderr, "explain", err)
		return exitUsage
	}
	if *file == "" {
		c, err := ctl.Dial(*socket)
		if err != nil {
			return fail(stderr, "explain", err)
		}
		answer, err := c.Explain(flow)
		if err != nil {
			return fail(stderr, "explain", err)
		}
		fmt.Fprint(stdout, answer)
		return exitOK
	}
	m, _, err := load(*file)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitConfig
	}
	way := newWays(m)
	w, _, err := offlineWorker(m, way, idleLane{way.ports}, nil)
	if err != nil {
		return fail(stderr, "explain", err)
	}
	defer w.Close()
	now := clock.NewSystem().Now()
	if _, err := w.Step(now); err != nil {
		return fail(stderr, "explain", err)
	}
	q := director.NewQuestion(spec, way.ports[0])
	w.Explain(q, now)
	fmt.Fprint(stdout, director.Answer(q, spec, m, way.names()))
	fmt.Fprint(stdout, way.remark)
	return exitOK
}

// ways is how the real servers of a file are reached, as far as this host can say. Where it cannot, addresses are made up
// and the remark says so: a file is often looked at on another machine than the director.
type ways struct {
	ports  []forward.PortInfo
	hops   map[netip.Addr]forward.Hop
	remark string
}

func newWays(m *config.Model) *ways {
	w := &ways{hops: map[netip.Addr]forward.Hop{}}
	var unknown []string
	h, err := host.Open(host.Options{})
	if err == nil {
		defer h.Close()
	}
	for i := range m.Services {
		for k := range m.Services[i].Reals {
			a := m.Services[i].Reals[k].Addr
			if _, ok := w.hops[a]; ok {
				continue
			}
			if h == nil || !w.ask(h, a) {
				unknown = append(unknown, a.String())
				b := a.As16()
				w.hops[a] = forward.Hop{OK: true, MTU: 1500, Dst: packet.MAC{2, 0, b[12], b[13], b[14], b[15]}}
			}
		}
	}
	if len(w.ports) == 0 {
		w.ports = []forward.PortInfo{{Name: "eth0", MAC: packet.MAC{2, 0, 0, 0, 0, 2}, MTU: 1500}}
	}
	for a, hop := range w.hops {
		hop.Src = w.ports[hop.Port].MAC
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
		w.hops[a] = forward.Hop{OK: true, Port: uint8(port), MTU: uint16(min(hop.MTU, 65535)), Dst: hop.MAC}
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
	snap, err := director.Compile(&director.Inputs{Model: m, Hops: way.hops, Workers: 1}, nil)
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
