package forward

import (
	"bytes"
	"slices"

	"dirsw/packet"
)

// martian reports whether a packet comes from an address that no other host can have: one of the loopback, or the
// director's own. The kernel would not take it from an interface (fib_validate_source), but the tap must accept both, for
// the sake of what the director's own programs answer: so it is looked at here. Programs may trust who comes from there.
func (w *Worker) martian(f *packet.Frame, m *packet.Meta) bool {
	var src packet.Addr
	if ip := f.Bytes()[m.L3:]; m.Family == packet.IPv4Family {
		src = packet.IPv4(ip).Src()
	} else {
		src = packet.IPv6(ip).Src()
	}
	if src.Is4() && src[12] == 127 || src == (packet.Addr{15: 1}) {
		return true
	}
	if w.snap.Kernel.OK && f.Port == w.snap.Kernel.Port {
		return false
	}
	_, own := slices.BinarySearchFunc(w.snap.Local, src, func(a, b packet.Addr) int { return bytes.Compare(a[:], b[:]) })
	return own
}
