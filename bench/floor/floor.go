// Package floor does the least that a load balancer's step can be, so that the pipeline has something to be measured
// against on the same machine in the same minute.
//
// For each frame: is it plain IPv4 or IPv6 with TCP or UDP, one hash, one line of 64 bytes of an open table at half load
// (key, destination; time and count are written to it), the Ethernet addresses of the destination. What it leaves out is
// what the pipeline is for: virtual services, header checksums, fragments, options, states, timeouts that end something,
// counters that anybody can read.
package floor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"syscall"

	"dirsw/packet"
)

const (
	lineLen = 64 // bytes of an entry, and of a cache line
	macLen  = 6

	minIPv4 = packet.EthernetLen + packet.IPv4MinLen + 4 // up to the ports
	minIPv6 = packet.EthernetLen + packet.IPv6Len + 4

	hugePages = 14 // MADV_HUGEPAGE
)

// errFull is returned by Insert. The table is made for a number of flows and that many fit.
var errFull = errors.New("floor: the table is full")

// errNotPlain is returned by Insert for a frame that the floor would not forward.
var errNotPlain = errors.New("floor: not plain TCP or UDP")

// Table is an open table of lines. A line is five words of key, one word with the destination plus one (0: free), the
// time of the last packet and the number of packets.
type Table struct {
	mem  []byte
	mask uint64 // of line numbers
	src  [macLen]byte
	dst  [][8]byte // Ethernet addresses by destination
	keys [packet.BatchSize]key
	at   [packet.BatchSize]uint32 // line numbers

	rewrite Rewrite
	targets []target // by destination; none without a rewrite
}

// key is what a flow is known by. IPv4 uses the first two words only: addresses; ports and protocol.
type key [5]uint64

// New returns a table for that many flows. Src is written to every frame as its source, dst[n] as its destination if its
// flow was inserted for destination n. Close gives the memory back.
func New(flows int, src packet.MAC, dst []packet.MAC) (*Table, error) {
	lines := 1 << bits.Len(uint(2*flows-1))
	mem, err := syscall.Mmap(-1, 0, lines*lineLen, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("floor: memory for %d flows: %w", flows, err)
	}
	_ = syscall.Madvise(mem, hugePages) // without huge pages it is slower, not wrong
	t := &Table{mem: mem, mask: uint64(lines - 1), src: src}
	for _, d := range dst {
		t.dst = append(t.dst, [8]byte{d[0], d[1], d[2], d[3], d[4], d[5]})
	}
	return t, nil
}

// Close gives the memory back.
func (t *Table) Close() error { return syscall.Munmap(t.mem) }

// Insert enters the flow of a frame.
func (t *Table) Insert(frame []byte, dest int) error {
	var k key
	if !read(frame, &k) {
		return errNotPlain
	}
	at := k.hash() & t.mask
	for range t.mask {
		e := t.line(at)
		if binary.LittleEndian.Uint64(e[40:48]) == 0 {
			for i, w := range k {
				binary.LittleEndian.PutUint64(e[i*8:], w)
			}
			binary.LittleEndian.PutUint64(e[40:48], uint64(dest)+1)
			return nil
		}
		at = (at + 1) & t.mask
	}
	return errFull
}

// line returns line n of the table, which must be no greater than the mask.
func (t *Table) line(n uint64) *[lineLen]byte { return (*[lineLen]byte)(t.mem[n*lineLen:]) }

// read fills k from a frame and reports whether it is plain TCP or UDP.
func read(b []byte, k *key) bool {
	if len(b) < minIPv4 {
		return false
	}
	p := (*[minIPv4]byte)(b)
	switch binary.LittleEndian.Uint16(p[12:14]) {
	case 0x0008: // IPv4
		if p[14] != 0x45 || binary.LittleEndian.Uint16(p[20:22])&0xff3f != 0 || !known(p[23]) {
			return false
		}
		k[0] = binary.LittleEndian.Uint64(p[26:34])
		k[1] = uint64(binary.LittleEndian.Uint32(p[34:38]))<<8 | uint64(p[23])
		return true
	case 0xdd86: // IPv6
		if len(b) < minIPv6 || p[14]>>4 != 6 || !known(p[20]) {
			return false
		}
		q := (*[minIPv6]byte)(b)
		for i := range 4 {
			k[i] = binary.LittleEndian.Uint64(q[22+8*i:])
		}
		k[4] = uint64(binary.LittleEndian.Uint32(q[54:58]))<<8 | uint64(p[20])
		return true
	}
	return false
}

func known(proto uint8) bool { return proto == packet.ProtoTCP || proto == packet.ProtoUDP }

// hash multiplies the words that hold what differs between clients of one service.
func (k *key) hash() uint64 {
	hi, lo := bits.Mul64(k[0]^k[1]^0x9e3779b97f4a7c15, k[1]^k[4]^k[2]^k[3]^0xc2b2ae3d27d4eb4f)
	return hi ^ lo
}

// find returns the line of k, or nil.
func (t *Table) find(k *key, at uint64) *[lineLen]byte {
	for {
		e := t.line(at)
		if binary.LittleEndian.Uint64(e[0:8]) == k[0] && binary.LittleEndian.Uint64(e[8:16]) == k[1] &&
			(k[4] == 0 || t.rest(k, e)) {
			return e
		}
		if binary.LittleEndian.Uint64(e[40:48]) == 0 {
			return nil
		}
		at = (at + 1) & t.mask
	}
}

// rest compares the words that only IPv6 has.
func (t *Table) rest(k *key, e *[lineLen]byte) bool {
	return binary.LittleEndian.Uint64(e[16:24]) == k[2] && binary.LittleEndian.Uint64(e[24:32]) == k[3] &&
		binary.LittleEndian.Uint64(e[32:40]) == k[4]
}

// finish writes to the line of a frame, and to the frame.
func (t *Table) finish(f *packet.Frame, e *[lineLen]byte, now uint64) {
	binary.LittleEndian.PutUint64(e[48:56], now)
	binary.LittleEndian.PutUint64(e[56:64], binary.LittleEndian.Uint64(e[56:64])+1)
	dest := binary.LittleEndian.Uint64(e[40:48]) - 1
	d := &t.dst[dest]
	p := (*[2 * macLen]byte)(t.change(f, dest))
	*(*[macLen]byte)(p[:macLen]) = [macLen]byte(d[:macLen])
	*(*[macLen]byte)(p[macLen:]) = t.src
}

// OnePass handles the frames one after the other and returns how many it forwarded. It stays with the ones whose table is
// in the cache.
func (t *Table) OnePass(b *packet.Batch, now uint64) int {
	n := 0
	for i := range b.N {
		p := b.Frames[i].Bytes()
		k := &t.keys[0]
		k[2], k[3], k[4] = 0, 0, 0
		if !read(p, k) {
			continue
		}
		if e := t.find(k, k.hash()&t.mask); e != nil {
			t.finish(&b.Frames[i], e, now)
			n++
		}
	}
	return n
}

// TwoPass reads all frames and asks memory for their lines before it looks at the first, and returns how many it
// forwarded. It is the faster one when the table is not in the cache.
func (t *Table) TwoPass(b *packet.Batch, now uint64) int {
	var ok uint64 // a bit for each frame
	for i := range b.N {
		k := &t.keys[i]
		k[2], k[3], k[4] = 0, 0, 0
		if read(b.Frames[i].Bytes(), k) {
			ok |= 1 << i
		}
		t.at[i] = uint32(k.hash() & t.mask)
	}
	Prefetch(&t.mem[0], t.at[:b.N])
	n := 0
	for i := range b.N {
		if ok&(1<<i) == 0 {
			continue
		}
		if e := t.find(&t.keys[i], uint64(t.at[i])); e != nil {
			t.finish(&b.Frames[i], e, now)
			n++
		}
	}
	return n
}
