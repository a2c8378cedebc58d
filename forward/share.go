package forward

import (
	"encoding/binary"

	"dirsw/clock"
	"dirsw/packet"
)

// sharingFrom is the part of a batch that must be others' for them to be looked for first: an eighth.
const sharingFrom = 8

// together does what is to be done with the batch that came, and with what the others have handed over: in one batch as far
// as there is room for that, and one more. It returns how many frames were handed over.
func (w *Worker) together(now clock.Mono) int {
	parsed, fresh := w.steered()
	taken := w.takeOver()
	full := w.in.N == packet.BatchSize
	if w.others = 0; w.in.N > 0 || w.dropped.N > 0 {
		w.work(now, parsed, fresh)
	}
	if fresh > 0 {
		w.sharing = w.others > fresh/sharingFrom
	}
	if full && taken < packet.BatchSize {
		w.in.N = 0
		if more := w.takeOver(); more > 0 {
			w.work(now, 0, 0)
			taken += more
		}
	}
	return taken
}

// steered does what is to be done about frames that came and may be others'. While most are w's own, they are known by their
// connections, and only what belongs to none is asked for its owner (passOn): those are the fresh ones. While many are others',
// or connections may be where they do not belong any more (Steer.Former), the owners of all are asked first. It returns how
// many frames have been parsed, and how many are fresh: all or none of those left in the batch.
func (w *Worker) steered() (parsed, fresh int) {
	if w.snap.Steer.Workers <= 1 {
		return 0, 0
	}
	if w.snap.Steer.Former == nil && !w.sharing {
		return 0, w.in.N
	}
	return w.steer(), 0
}

// passOn hands a packet to its owner if that is another worker, and reports whether it is. v.Drop says then what became of it.
func (w *Worker) passOn(v *Verdict, f *packet.Frame, m *packet.Meta) bool {
	owner := w.owner(&w.snap.Steer, f.Bytes(), m)
	if owner == w.id || owner >= len(w.team) {
		return false
	}
	w.others++
	if v.Drop = handed; !w.team[owner].give(f) {
		v.Drop = packet.DropHandover
	}
	return true
}

// steer hands the frames of the batch that others own to them, and closes the ranks of the rest. It returns how many of
// these have been parsed: all or none. What is to be done is written down first and done then, for which frames are whose is
// nothing that a processor foretells: to find it out frame by frame, in each step of their way, took 20 ns for each.
func (w *Worker) steer() (parsed int) {
	n := w.in.N
	if !w.peek(n) {
		w.ask(n)
		parsed = n
	}
	var mine, others [packet.BatchSize]uint8 // places in the batch
	m, o := 0, 0
	for i := range n {
		mine[m%packet.BatchSize], others[o%packet.BatchSize] = uint8(i), uint8(i)
		other := 0
		if int(w.owners[i]) != w.id {
			other = 1
		}
		o += other
		m += 1 - other
	}
	if w.sharing = o > n/sharingFrom; o == 0 {
		return parsed
	}
	for _, i := range others[:o] {
		w.handOver(&w.in.Frames[i], int(w.owners[i]))
	}
	w.delivered()
	for k := int(others[0]); k < m; k++ {
		i := mine[k]
		w.in.Frames[k] = w.in.Frames[i]
		if parsed > 0 {
			w.in.Metas[k], w.reasons[k] = w.in.Metas[i], w.reasons[i]
		}
	}
	w.in.N = m
	return min(parsed, m)
}

// peek tells the owners of a batch by what stands in the frames, without parsing them, which pays for those that are handed
// over: those of TCP and UDP over IPv4 from clients to servers that answer past the director, where whole addresses decide. It
// reports whether all are such.
func (w *Worker) peek(n int) bool {
	s := &w.snap.Steer
	if !s.plain() || !s.Servers.Empty() || s.Workers > len(w.team) {
		return false
	}
	const l3, l4 = packet.EthernetLen, packet.EthernetLen + packet.IPv4MinLen
	var odd uint64
	for i := range n {
		b := w.in.Frames[i].Bytes()
		if len(b) < l4 {
			return false
		}
		h := b[l3-2 : l4]
		w0, w1 := binary.LittleEndian.Uint64(h), binary.LittleEndian.Uint32(h[8:])
		const (
			kind  = 0xff_ffff // EtherType, version and length of the header, in the order of memory
			plain = 0x45_0008
			part  = 0xff3f // MF and the offset in the fragment field
		)
		proto := uint8(w1 >> 24)
		odd |= w0&kind ^ plain | uint64(w1&part)
		odd |= uint64(proto^packet.ProtoTCP) * uint64(proto^packet.ProtoUDP)
		w.owners[i] = uint16(s.place(0, 0xffff_0000_0000|uint64(binary.BigEndian.Uint32(h[14:]))))
	}
	return odd == 0
}

// ask parses the batch and asks for the owner of each frame. What cannot be parsed stays.
func (w *Worker) ask(n int) {
	for i := range n {
		f, m := &w.in.Frames[i], &w.in.Metas[i]
		w.owners[i] = uint16(w.id)
		if w.reasons[i] = packet.Parse(f.Bytes(), m); w.reasons[i] != packet.NoDrop {
			continue
		}
		if owner := w.owner(&w.snap.Steer, f.Bytes(), m); owner < len(w.team) {
			w.owners[i] = uint16(owner)
		}
	}
}

// handOver gives a frame to its owner, or drops it if that has no room for it: then it is under a flood, and nobody is told.
func (w *Worker) handOver(f *packet.Frame, owner int) {
	if !w.team[owner].give(f) {
		w.plain.Drops[packet.DropHandover]++
		if w.o.Observer != nil {
			var m packet.Meta
			packet.Parse(f.Bytes(), &m)
			w.o.Observer(f, &m, Verdict{Service: NoService, Drop: packet.DropHandover})
		}
	}
	w.dropped.Add(*f)
}
