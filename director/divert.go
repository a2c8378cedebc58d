package director

import (
	"bytes"
	"cmp"
	"slices"

	"go.uber.org/zap"

	"dirsw/forward"
	"dirsw/host"
	"dirsw/packet"
)

// divert has the answers of real servers that are this host itself come to the workers, where their addresses are
// translated back. With nothing to divert it takes away what an earlier director has left.
func (d *Director) divert(s *forward.Snapshot) {
	link := 0
	for _, p := range *d.ports.Load() {
		if p.Local {
			link = p.Link
		}
	}
	from := answering(s)
	if d.diverting && d.divertedTo == link && slices.Equal(from, d.diverted) {
		return
	}
	if err := d.o.Host.Divert(link, from); err != nil {
		d.o.Log.Error("the answers of local real servers do not come back", zap.Error(err))
		d.diverting = false
		return
	}
	d.diverting, d.divertedTo, d.diverted = true, link, from
}

// answering lists what local real servers answer from whose addresses are translated. One that was removed still answers
// its connections.
func answering(s *forward.Snapshot) []host.Endpoint {
	if !s.Kernel.OK {
		return nil
	}
	var out []host.Endpoint
	for i := range s.Dests {
		d := &s.Dests[i]
		if d.Method != forward.NAT && !d.WasNAT || !d.Hop.Local || d.Gone && (d.Load == nil || d.Load.Idle()) {
			continue
		}
		e := host.Endpoint{Addr: d.Addr.Netip(), Port: d.Port}
		if e.Addr.IsLoopback() {
			out = append(out, host.Endpoint{Addr: e.Addr}) // nothing else can leave this host from there
			continue
		}
		key := s.Services[d.Service].Key
		protos := []uint8{key.Proto}
		if key.ByMark() {
			protos = []uint8{packet.ProtoTCP, packet.ProtoUDP, packet.ProtoSCTP}
		}
		for _, e.Proto = range protos {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b host.Endpoint) int {
		x, y := a.Addr.As16(), b.Addr.As16()
		return cmp.Or(bytes.Compare(x[:], y[:]), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Port, b.Port))
	})
	return slices.Compact(out)
}
