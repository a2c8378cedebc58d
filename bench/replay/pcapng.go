package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"time"
)

// ngSource reads pcapng (draft-ietf-opsawg-pcapng, section 4) block by block. It stands here because pcapgo.NgReader
// panics at some damaged files, takes as much memory as a damaged length asks for, and returns io.EOF inside a block as at
// the end, so that a capture cut off cannot be told from a whole one.
type ngSource struct {
	r      *bufio.Reader
	order  binary.ByteOrder
	ifaces []ngInterface // of this section
	block  []byte        // body of the block read last
	last   time.Time
}

// ngInterface is what an interface description block says.
type ngInterface struct {
	link   int
	snap   uint32
	units  uint64 // of time in a second
	offset int64  // seconds to add
}

// Block types and options (sections 4.1 to 4.6).
const (
	ngSection   = 0x0a0d0d0a
	ngIface     = 1
	ngOldPacket = 2
	ngSimple    = 3
	ngEnhanced  = 6

	ngOptEnd        = 0
	ngOptResolution = 9
	ngOptOffset     = 14

	ngMagic    = 0x1a2b3c4d
	ngMaxBlock = maxPacket + 1<<16
	ngMaxIface = 1 << 12
)

// next returns the next packet.
func (s *ngSource) next() (record, error) {
	for {
		typ, err := s.readBlock()
		if err != nil {
			return record{}, err
		}
		switch typ {
		case ngSection:
			s.ifaces = s.ifaces[:0]
		case ngIface:
			err = s.iface()
		case ngEnhanced, ngOldPacket, ngSimple:
			return s.packet(typ)
		}
		if err != nil {
			return record{}, err
		}
	}
}

// readBlock reads a block of either byte order and checks that both its lengths agree.
func (s *ngSource) readBlock() (typ uint32, err error) {
	var head [12]byte
	if _, err := io.ReadFull(s.r, head[:8]); err != nil {
		return 0, err // io.EOF only if nothing came
	}
	got := 8
	if binary.LittleEndian.Uint32(head[:4]) == ngSection { // reads the same in both orders
		if _, err := io.ReadFull(s.r, head[8:12]); err != nil {
			return 0, inside(err)
		}
		got = 12
		switch uint32(ngMagic) {
		case binary.LittleEndian.Uint32(head[8:12]):
			s.order = binary.LittleEndian
		case binary.BigEndian.Uint32(head[8:12]):
			s.order = binary.BigEndian
		default:
			return 0, damaged("a section of neither byte order")
		}
	}
	typ = s.order.Uint32(head[:4])
	n := s.order.Uint32(head[4:8])
	if n < uint32(got)+4 || n%4 != 0 || n > ngMaxBlock {
		return 0, damaged("a block of %d bytes", n)
	}
	rest := int(n) - got
	if cap(s.block) < rest {
		s.block = make([]byte, rest)
	}
	s.block = s.block[:rest]
	if _, err := io.ReadFull(s.r, s.block); err != nil {
		return 0, inside(err)
	}
	if again := s.order.Uint32(s.block[rest-4:]); again != n {
		return 0, damaged("a block of %d bytes that ends as one of %d", n, again)
	}
	s.block = s.block[:rest-4]
	return typ, nil
}

// inside makes the end of the file inside a block what it is.
func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// iface reads an interface description (section 4.2).
func (s *ngSource) iface() error {
	if len(s.block) < 8 || len(s.ifaces) == ngMaxIface {
		return damaged("interface description %d of %d bytes", len(s.ifaces)+1, len(s.block))
	}
	i := ngInterface{link: int(s.order.Uint16(s.block)), snap: s.order.Uint32(s.block[4:]), units: 1e6}
	for opts := s.block[8:]; len(opts) >= 4; {
		code, n := s.order.Uint16(opts), int(s.order.Uint16(opts[2:]))
		padded := (n + 3) &^ 3
		if opts = opts[4:]; padded > len(opts) || code == ngOptEnd {
			break
		}
		switch {
		case code == ngOptResolution && n == 1:
			if i.units = units(opts[0]); i.units == 0 {
				return damaged("time in units of 2^-%d or 10^-%[1]d seconds", opts[0]&0x7f)
			}
		case code == ngOptOffset && n == 8:
			i.offset = int64(s.order.Uint64(opts))
		}
		opts = opts[padded:]
	}
	s.ifaces = append(s.ifaces, i)
	return nil
}

// units returns the units in a second that if_tsresol means; 0 if 64 bits cannot hold them.
func units(resolution uint8) uint64 {
	exponent := resolution & 0x7f
	if resolution&0x80 != 0 {
		return 1 << exponent
	}
	if exponent > 19 {
		return 0
	}
	n := uint64(1)
	for range exponent {
		n *= 10
	}
	return n
}

// packet reads a packet block: enhanced, simple or the old one (sections 4.3, 4.4 and appendix A).
func (s *ngSource) packet(typ uint32) (record, error) {
	b := s.block
	if typ == ngSimple {
		if len(b) < 4 || len(s.ifaces) == 0 {
			return record{}, damaged("a packet without interface or length")
		}
		i, whole := &s.ifaces[0], s.order.Uint32(b)
		n := whole
		if i.snap != 0 {
			n = min(n, i.snap)
		}
		return s.record(i, b[4:], n, whole, s.last) // it has no time of its own
	}
	if len(b) < 20 {
		return record{}, damaged("a packet block of %d bytes", len(b))
	}
	id := s.order.Uint32(b)
	if typ == ngOldPacket {
		id = uint32(s.order.Uint16(b))
	}
	if id >= uint32(len(s.ifaces)) {
		return record{}, damaged("a packet of interface %d of %d", id, len(s.ifaces))
	}
	i := &s.ifaces[id]
	at := i.time(uint64(s.order.Uint32(b[4:]))<<32 | uint64(s.order.Uint32(b[8:])))
	return s.record(i, b[20:], s.order.Uint32(b[12:]), s.order.Uint32(b[16:]), at)
}

// record checks the lengths of a packet.
func (s *ngSource) record(i *ngInterface, b []byte, n, whole uint32, at time.Time) (record, error) {
	if uint64(n) > uint64(len(b)) || n > whole || n > maxPacket {
		return record{}, damaged("a packet of %d bytes with %d of them recorded in %d", whole, n, len(b))
	}
	s.last = at
	return record{at: at, bytes: b[:n], whole: int(whole), link: i.link}, nil
}

// time converts a time stamp.
func (i *ngInterface) time(stamp uint64) time.Time {
	hi, lo := bits.Mul64(stamp%i.units, 1e9) // below units * 10^9, so the quotient fits
	nano, _ := bits.Div64(hi, lo, i.units)
	return time.Unix(int64(stamp/i.units)+i.offset, int64(nano)).UTC()
}
