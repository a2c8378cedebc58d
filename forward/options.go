package forward

import (
	"slices"
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// payloadLenAt is where the length of the payload stands in an IPv6 header.
const payloadLenAt = 4

// unusual does what comes before the decision about a packet: a router fills in some IPv4 options and refuses others, and
// fragments wait for the rest of their datagram. It reports whether the packet goes on; if not, the caller gives the
// frame back to the lane.
func (w *Worker) unusual(f *packet.Frame, m *packet.Meta, now clock.Mono) bool {
	if m.Flags&packet.IPOptions != 0 && m.Family == packet.IPv4Family && !w.visit(f, m, now) {
		return false
	}
	if m.Flags&packet.Fragment != 0 && !w.inParts(m) {
		w.fragment(f, m, now)
		return false
	}
	return true
}

// router is what the director writes into options of a packet: its address, which is the one that the packet is to if that
// is its own, and the time.
func (w *Worker) router(m *packet.Meta, port uint8, now clock.Mono) packet.Router {
	r := packet.Router{Own: m.Dst, Local: w.snap.Local}
	if !w.isLocal(&m.Dst) && int(port) < len(w.snap.Own) {
		r.Own = w.snap.Own[port][0]
	}
	const day = 24 * time.Hour
	r.Millis = uint32((time.Duration(now) + w.o.TimeOfDay) % day / time.Millisecond)
	return r
}

// visit does with the options of an IPv4 packet what the kernel does when it comes; false if the packet goes no further.
func (w *Worker) visit(f *packet.Frame, m *packet.Meta, now clock.Mono) bool {
	h := packet.IPv4(f.Bytes()[m.L3:m.End])
	copy(w.options[:], h[packet.IPv4MinLen:h.HeaderLen()])
	w.visitor = w.router(m, f.Port, now)
	w.seen = w.visitor.Visit(h)
	v := Verdict{Service: NoService}
	switch w.seen.Fate {
	case packet.OptionsPass:
		return true
	case packet.OptionsSourceRoute:
		v.Drop = packet.DropSourceRoute
	default:
		v.Drop = packet.DropBadOptions
	}
	if w.o.Observer != nil {
		w.o.Observer(f, m, v)
	}
	w.plain.Drops[v.Drop]++
	if v.Drop == packet.DropBadOptions && m.Flags&packet.LaterFragment == 0 {
		if s, ok := w.errorTo(f, m, now); ok {
			s.ICMPType, s.ICMPCode, s.ICMPRest = icmpParam, 0, uint32(w.seen.Pointer)<<24
			w.sendAnswer(&s, f.Port)
		}
	}
	return false
}

// leave makes the header right of an IPv4 packet with options that is as it will leave. A reply has the address recorded
// that it now comes from. The director's own network stack gets options as they came, for it fills them in itself.
func (w *Worker) leave(f *packet.Frame, m *packet.Meta, v *Verdict) {
	if m.Family != packet.IPv4Family {
		return
	}
	h := packet.IPv4(f.Bytes()[m.L3:])
	switch {
	case v.Dir == conntrack.FromServer:
		w.seen.Rerecord(h, h.Src())
	case w.gathered.whole != nil: // its header was made when the datagram became whole
	case v.Why == WhyKernel || w.snap.Dests[v.Dest].Hop.Local:
		copy(h[packet.IPv4MinLen:h.HeaderLen()], w.options[:])
	}
	h.SetChecksum(h.ComputeChecksum())
}

// echoed returns the options of an answer to the packet with the header h; m says whether that has any. They are valid
// until the next call.
func (w *Worker) echoed(h packet.IPv4, m *packet.Meta) []byte {
	if m.Flags&packet.IPOptions == 0 {
		return nil
	}
	return w.echo[:w.visitor.Echo(&w.echo, h, &w.seen)]
}

// isLocal reports whether an address is one of the director's own. If those are not known, all are taken for it.
func (w *Worker) isLocal(a *packet.Addr) bool {
	switch s := w.snap; {
	case len(s.Local) == 0:
		return true
	case s.Marks != nil:
		return s.local(a, 0)
	default:
		_, ok := slices.BinarySearchFunc(s.Local, a, compareAddr)
		return ok
	}
}
