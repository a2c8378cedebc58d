package connsync

import (
	"encoding/binary"
	"time"

	"dirsw/conntrack"
	"dirsw/packet"
)

// Fault is why a message, or a part of it, is not taken.
type Fault uint8

// The faults. From Foreign on what they are about is left out and the rest of the message is taken; the others end the message
// where they are: what came before is taken (as in ip_vs_process_message).
const (
	Short   Fault = iota // the message has no room for its header
	Length               // it is not as long as it says
	Cut                  // an entry goes beyond the end of the message
	Kind                 // an entry of a kind that is not known
	Layout               // an entry of a version that is not known
	Option               // an option that is not known, there twice, or of the wrong length
	Address              // an IPv6 address that stands for one of IPv4

	Foreign  // the message has another syncid
	Protocol // an entry of a protocol that no director has connections of
	State    // a state that the protocol has not
	Engine   // a persistence engine without data, or data without its name

	Faults // their number
)

// String names the fault in a word or two.
func (f Fault) String() string {
	if f >= Faults {
		return "invalid"
	}
	return [Faults]string{Short: "short", Length: "length", Cut: "cut", Kind: "kind", Layout: "layout", Option: "option",
		Address: "address", Foreign: "foreign-syncid", Protocol: "protocol", State: "state", Engine: "engine"}[f]
}

// Counts are what a Reader has seen.
type Counts struct {
	Messages uint64 // that came, whatever became of them
	Records  uint64 // that were taken out of them
	Faults   [Faults]uint64
}

// Add adds o to c.
func (c *Counts) Add(o *Counts) {
	c.Messages += o.Messages
	c.Records += o.Records
	for i := range c.Faults {
		c.Faults[i] += o.Faults[i]
	}
}

// Reader takes messages of both versions apart. The zero value takes those of every syncid.
type Reader struct {
	SyncID uint8 // 0: takes all; else only those with the same
	Counts Counts

	record conntrack.Record // given to take
}

// Read calls take for each record of a message, in their order. What take is given is valid until it returns. Nothing is
// allocated, and no message makes it read beyond its end: what is wrong is counted.
func (r *Reader) Read(msg []byte, take func(*conntrack.Record)) {
	r.Counts.Messages++
	switch {
	case len(msg) < headerLen0:
		r.fault(Short)
	case int(binary.BigEndian.Uint16(msg[2:])) != len(msg):
		r.fault(Length)
	case r.SyncID != 0 && msg[1] != r.SyncID:
		r.fault(Foreign)
	case len(msg) >= headerLen && msg[0] == 0 && msg[5] == byte(Version1) && msg[6] == 0 && msg[7] == 0:
		r.read1(msg, take)
	default:
		r.read0(msg, take)
	}
}

func (r *Reader) fault(f Fault) { r.Counts.Faults[f]++ }

// read1 takes a message of version 1 apart.
func (r *Reader) read1(msg []byte, take func(*conntrack.Record)) {
	at := headerLen
	for n := msg[4]; n > 0; n-- {
		if at += -at & 3; len(msg)-at < entryLen4 {
			r.fault(Cut)
			return
		}
		b := msg[at:]
		layout := binary.BigEndian.Uint16(b[2:])
		size := int(layout & entryLenMask)
		switch {
		case size > len(b):
			r.fault(Cut)
			return
		case layout>>entryVersionBits != 0:
			r.fault(Layout)
			return
		}
		if f := r.entry1(b[:size]); f != Faults {
			r.fault(f)
			return
		}
		r.accept(binary.BigEndian.Uint16(b[8:]), take)
		at += size
	}
}

// entry1 fills r.record from an entry, its state but not. It returns what is wrong, or Faults. The length of b is as the
// entry says, and may be too little.
func (r *Reader) entry1(b []byte) Fault {
	size, family := entryLen4, packet.IPv4Family
	switch {
	case len(b) < entryLen4:
		return Cut
	case b[0]&entryInet6 != 0:
		size, family = entryLen6, packet.IPv6Family
	case b[0] != 0:
		return Kind
	}
	if len(b) < size {
		return Cut
	}
	rec := &r.record
	*rec = conntrack.Record{Flags: conntrack.RecordFlags(binary.BigEndian.Uint32(b[4:])) & backupFlags,
		Tuple: packet.Tuple{Proto: b[1], Family: family, SrcPort: binary.BigEndian.Uint16(b[10:]),
			DstPort: binary.BigEndian.Uint16(b[12:])},
		RealPort: binary.BigEndian.Uint16(b[14:]), Mark: binary.BigEndian.Uint32(b[16:]),
		Timeout: time.Duration(binary.BigEndian.Uint32(b[20:])) * time.Second}
	a := (size - 24) / 3
	var ok [3]bool
	rec.Src, ok[0] = addr(b[24 : 24+a])
	rec.Dst, ok[1] = addr(b[24+a : 24+2*a])
	rec.Real, ok[2] = addr(b[24+2*a : size])
	if ok != [3]bool{true, true, true} {
		return Address
	}
	return r.options(b[size:])
}

// options reads what stands behind an entry. It returns what is wrong, or Faults.
func (r *Reader) options(b []byte) Fault {
	rec := &r.record
	var seen [optionEngine + 1]bool
	for len(b) > 0 {
		if len(b) < optionHead {
			return Option
		}
		kind, n := b[0], int(b[1])
		if b = b[optionHead:]; n == 0 || n > len(b) {
			return Option
		}
		v := b[:n]
		b = b[n:]
		known := kind &^ optionExtra
		if known == 0 || known > optionEngine {
			if kind&optionExtra == 0 {
				return Option
			}
			continue
		}
		if seen[known] {
			return Option
		}
		seen[known] = true
		switch known {
		case optionSeq:
			if n != seqsLen {
				return Option
			}
			rec.In, rec.Out = seq(v, binary.BigEndian), seq(v[seqLen:], binary.BigEndian)
		case optionData:
			rec.DataLen = uint8(copy(rec.Data[:], v))
		case optionEngine:
			if n > conntrack.RecordEngineMax {
				return Option
			}
			rec.EngineLen = uint8(copy(rec.Engine[:], v))
		}
	}
	switch {
	case !seen[optionSeq]:
		rec.Flags &^= recordSeqs
	case rec.Flags&recordSeqs == 0:
		rec.In, rec.Out = conntrack.RecordSeq{}, conntrack.RecordSeq{}
	}
	return Faults
}

// accept gives r.record away if its protocol has a state of that number.
func (r *Reader) accept(state uint16, take func(*conntrack.Record)) {
	rec := &r.record
	s, known, ok := stateOf(rec.Proto, rec.IsTemplate(), state)
	switch {
	case !known:
		r.fault(Protocol)
	case !ok:
		r.fault(State)
	case (rec.EngineLen > 0) != (rec.DataLen > 0):
		r.fault(Engine)
	default:
		rec.State = s
		r.Counts.Records++
		take(rec)
	}
}
