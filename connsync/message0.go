package connsync

import (
	"encoding/binary"

	"dirsw/conntrack"
	"dirsw/packet"
)

// A message of version 0 is for IPv4 only. Numbers are in network order but for those of a seq, which are in that of the
// sender's processor: here, little endian.
//
//	header   0: number of entries   1: syncid   2: length of the message, 16 bit
//	entry    0: 0   1: IP protocol   2: ports of client, virtual service and real server, 16 bit each
//	         8: addresses of the three, 4 bytes each   20: flags, 16 bit   22: state, 16 bit
//	         24: where the flags say so, the two seq of 12 bytes
const (
	headerLen0 = 4
	entryLen0  = 24
)

// append0 writes an entry of version 0; nothing if it cannot be said.
func append0(b []byte, r *conntrack.Record) []byte {
	if mixed(r) || !r.Src.Is4() {
		return b
	}
	b = append(b, 0, r.Proto)
	b = binary.BigEndian.AppendUint16(b, r.SrcPort)
	b = binary.BigEndian.AppendUint16(b, r.DstPort)
	b = binary.BigEndian.AppendUint16(b, r.RealPort)
	b = append(b, r.Src[12:]...)
	b = append(b, r.Dst[12:]...)
	b = append(b, r.Real[12:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(r.Flags))
	b = binary.BigEndian.AppendUint16(b, stateNumber(r))
	if r.Flags&recordSeqs != 0 {
		b = appendSeq(b, binary.LittleEndian, &r.In)
		b = appendSeq(b, binary.LittleEndian, &r.Out)
	}
	return b
}

// read0 takes a message of version 0 apart.
func (r *Reader) read0(msg []byte, take func(*conntrack.Record)) {
	n := msg[0]
	for b := msg[headerLen0:]; n > 0; n-- {
		if len(b) < entryLen0 {
			r.fault(Cut)
			return
		}
		flags := conntrack.RecordFlags(binary.BigEndian.Uint16(b[20:]))
		size := entryLen0
		if flags&recordSeqs != 0 {
			size += seqsLen
		}
		if len(b) < size {
			r.fault(Cut)
			return
		}
		r.entry0(b[:size], flags, take)
		b = b[size:]
	}
}

func (r *Reader) entry0(b []byte, flags conntrack.RecordFlags, take func(*conntrack.Record)) {
	rec := &r.record
	*rec = conntrack.Record{Flags: flags & backupFlags, Tuple: packet.Tuple{Proto: b[1], Family: packet.IPv4Family,
		SrcPort: binary.BigEndian.Uint16(b[2:]), DstPort: binary.BigEndian.Uint16(b[4:])}, RealPort: binary.BigEndian.Uint16(b[6:])}
	rec.Src, _ = addr(b[8:12])
	rec.Dst, _ = addr(b[12:16])
	rec.Real, _ = addr(b[16:20])
	if flags&recordSeqs != 0 {
		rec.In, rec.Out = seq(b[entryLen0:], binary.LittleEndian), seq(b[entryLen0+seqLen:], binary.LittleEndian)
	}
	r.accept(binary.BigEndian.Uint16(b[22:]), take)
}
