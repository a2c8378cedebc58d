package director

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"dirsw/config"
	"dirsw/forward"
	"dirsw/packet"
	"dirsw/stats"
)

// ReadStats fills dst with what the director knows of itself: services, workers, drops, table. Version, start, ports and
// memory are for the caller, who knows the process. Before the first configuration is in force dst stays empty.
func (d *Director) ReadStats(dst *stats.Stats) {
	now := d.now.Load()
	if now == nil {
		return
	}
	var sum forward.Counters
	for i, w := range d.o.Workers {
		var c forward.Counters
		w.ReadCounters(&c)
		sum.Add(&c)
		dst.Workers = append(dst.Workers, stats.Worker{ID: i, Core: -1, Generation: w.Adopted(),
			Connections: int(c.Connections), Templates: int(c.Templates), Breaths: c.Breaths, Frames: c.Received, Forwarded: c.Forwarded, HandedOver: c.HandedOver,
			Lane: stats.Lane(c.Lane)})
	}
	dst.Generation = now.snap.Gen
	dst.Connections, dst.Templates, dst.TableRoom = int(sum.Connections), int(sum.Templates), int(sum.TableRoom)
	dst.Forwarded, dst.Answered, dst.Mended, dst.Shed = sum.Forwarded, sum.Answered, sum.Mended, sum.Shed
	dst.GivenBack, dst.Joined, dst.Cut = sum.GivenBack, sum.Joined, sum.Cut
	dst.Accelerated, dst.Quick = sum.Accelerated, int(sum.Quick)
	dst.Timeouts = stats.Timeouts(now.snap.Timeouts)
	sum.Drops[packet.DropNotAccepted] += d.o.Filter.Refused()
	for r := packet.NoDrop + 1; r < packet.DropReasons; r++ {
		dst.Drops = append(dst.Drops, stats.Drop{Reason: r.String(), Frames: sum.Drops[r]})
	}
	for i := range now.model.Services {
		dst.Services = append(dst.Services, now.service(&now.model.Services[i], *d.ports.Load(), &d.estimates))
	}
	dst.Counters, dst.Listed, dst.Rate = d.estimates.Total(now.snap)
	d.syncStats(dst, &sum)
}

// Zero has the counters of a service and its real servers begin anew, with nil those of all services. It reports whether
// there is such a service.
func (d *Director) Zero(only *config.ServiceKey) bool {
	now := d.now.Load()
	if now == nil {
		return false
	}
	if only != nil && now.model.Service(*only) == nil {
		return false
	}
	d.estimates.Restart(now.snap, only)
	return true
}

func (n *decided) service(m *config.Service, ports []Port, e *Estimates) stats.Service {
	svc := &n.snap.Services[n.snap.Lookup[keyOf(m)]]
	s := stats.Service{Addr: m.Addr, Port: m.Port, Mark: m.Mark, IPv6: m.Key().Is6(),
		Scheduler: svc.Kind.Name, Flags: m.SchedFlags, Persistence: m.Persistence, Granularity: m.Granularity, Netmask: m.Netmask,
		Engine: m.Engine, OnePacket: m.OnePacket, Origin: m.Origin.String(), Whence: m.Whence()}
	if m.Mark == 0 {
		s.Proto = strings.ToUpper(protoName(svc.Key.Proto))
	}
	s.Counters, s.Listed, s.Rate = e.Of(svc.Tally)
	for _, p := range svc.Pool.Dests {
		d := &n.snap.Dests[p.ID]
		addr := d.Addr.Netip()
		out := stats.Dest{Addr: addr, Port: d.Port, Method: d.Method.String(), Weight: int(d.Weight),
			Upper: d.Upper, Lower: d.Lower, Active: d.Load.Active(), Inactive: d.Load.Inactive(),
			Persistent: d.Load.Persistent(), NextHop: n.way(addr, d, ports), Local: d.Hop.Local, Origin: s.Origin}
		out.Counters, out.Listed, out.Rate = e.Of(d.Tally)
		if r := m.Real(config.RealKey{Addr: addr, Port: d.Port}); r != nil {
			out.Origin, out.Whence = r.Origin.String(), r.Whence()
			if r.Method == config.TUN {
				out.Tunnel = &stats.Tunnel{Type: r.Tunnel.Type.String(), Port: r.Tunnel.Port, Checksum: r.Tunnel.Sum.String()}
			}
		}
		s.Dests = append(s.Dests, out)
	}
	return s
}

// Unreachable says why nothing can be sent to a real server that is in force, as far as the director's own network is to
// blame; "" if it can, or if the neighbour has only not answered yet.
func (d *Director) Unreachable(a netip.Addr) string {
	now := d.now.Load()
	if now == nil {
		return ""
	}
	if h := now.facts.routes[a]; !h.Unreachable && !h.Local && !h.Resolved {
		for _, p := range *d.ports.Load() {
			if p.Link == h.Link {
				return ""
			}
		}
	}
	return now.facts.why[a]
}

// way says in words how a real server is reached, or why it is not.
func (n *decided) way(addr netip.Addr, d *forward.Dest, ports []Port) string {
	if why, ok := n.facts.why[addr]; ok {
		return why
	}
	if d.Hop.Local {
		return "this host itself, by " + ports[d.Hop.Port].Name
	}
	via := ""
	if gw := n.facts.routes[addr].Gateway; gw.IsValid() && gw != addr {
		via = " through " + gw.String()
	}
	return fmt.Sprintf("%v by %s%s", macString(d.Hop.Dst), ports[d.Hop.Port].Name, via)
}

// listChunk is how many connections one command to a worker lists.
const listChunk = 1024

// Conns calls yield for every connection and template of all workers until it returns false. The tables live on
// meanwhile: a connection that comes or goes may be listed or not.
func (d *Director) Conns(yield func(stats.Conn) bool) error {
	for w := range d.o.Workers {
		l := forward.Listing{Conns: make([]forward.ConnInfo, 0, listChunk)}
		for !l.End {
			if err := d.command(w, forward.Command{List: &l}); err != nil {
				return err
			}
			for i := range l.Conns {
				if !yield(connStats(w, &l.Conns[i])) {
					return nil
				}
			}
			l.From = l.Next
		}
	}
	return nil
}

// connProto is the protocol of a connection as the kernel names it; templates of firewall marks are for all of IP.
func connProto(p uint8) string {
	switch p {
	case 0:
		return "IP"
	case packet.ProtoESP:
		return "ESP"
	case packet.ProtoAH:
		return "AH"
	}
	return strings.ToUpper(protoName(p))
}

func connStats(worker int, c *forward.ConnInfo) stats.Conn {
	at := func(a packet.Addr, p uint16) netip.AddrPort { return netip.AddrPortFrom(a.Netip(), p) }
	var flags []string
	if c.Synced {
		flags = append(flags, stats.Synced)
	}
	return stats.Conn{Flags: flags, Proto: connProto(c.Tuple.Proto), Client: at(c.Tuple.Src, c.Tuple.SrcPort),
		Virtual: at(c.Tuple.Dst, c.Tuple.DstPort), Dest: at(c.Dest, c.DestPort), State: c.State.String(), Left: c.Left,
		Template: c.Template, Worker: worker, Engine: c.Engine.String(), EngineData: c.Call}
}

// Explain answers a question such as ParseFlow reads from the state of the workers, and changes nothing.
func (d *Director) Explain(flow string) (string, error) {
	spec, err := ParseFlow(flow)
	if err != nil {
		return "", err
	}
	now := d.now.Load()
	if now == nil {
		return "", fmt.Errorf("the director is not ready yet")
	}
	ports := *d.ports.Load()
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = p.Name
	}
	var in *Inquiry
	for _, worker := range askable(&now.snap.Steer, &spec) {
		next := NewInquiry(spec, forward.PortInfo{MAC: ports[0].MAC})
		if err := d.command(worker, forward.Command{Explain: &next.Question}); err != nil {
			return "", err
		}
		if in == nil || placed(&next.Question.Verdict) {
			in = next
		}
		if placed(&in.Question.Verdict) {
			break
		}
	}
	in.Checks = func(k forward.ServiceKey) string { return now.vitals.absent(k, d.prober.States()) }
	return in.Answer(now.model, names), nil
}

// askable lists the workers that may know the connection of a packet, the likeliest first: an answer is known to the worker
// of who gets it, and a connection may be older than the present steering.
func askable(s *forward.Steer, spec *packet.Spec) (list []int) {
	for ; s != nil; s = s.Former {
		for _, w := range []int{s.Owner(&spec.Src, spec.SrcPort), s.Owner(&spec.Dst, spec.DstPort)} {
			if !slices.Contains(list, w) {
				list = append(list, w)
			}
		}
	}
	return list
}

// command has a worker carry out c, and waits until it did.
func (d *Director) command(worker int, c forward.Command) error {
	done := make(chan struct{}, 1)
	c.Done = done
	d.mail.Lock()
	ok := d.o.Workers[worker].Post(c)
	d.mail.Unlock()
	if !ok {
		return fmt.Errorf("worker %d takes no commands: its mailbox is full", worker)
	}
	late := make(chan struct{})
	t := d.o.Clock.AfterFunc(adoptWithin, func() { close(late) })
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-late:
		return fmt.Errorf("worker %d does not answer", worker)
	}
}
