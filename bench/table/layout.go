// Package table holds the connection table against other ways to lay one out, so that its design rests on measurements that
// can be repeated: entries of one cache line and of two, keys for IPv4 only, entries in place instead of behind an index, one
// pass over a batch and two, and pages of several sizes.
//
// A Model does for a packet what conntrack.Table does for one of a known connection: hash, find, read its state, write its
// time and its number of packets. It does nothing else: no second direction, no end, no templates.
package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"syscall"

	"dirsw/packet"
)

// Layout is how a model keeps connections.
type Layout struct {
	Size    int   // bytes that an entry takes: 64 or 128
	Compact bool  // the key is two words of IPv4 instead of five for both families
	InPlace bool  // entries lie where their hash says, at half load, instead of in a slab behind an index of 8-byte cells
	Pages   Pages // of the memory
}

// Pages is what the kernel is asked for.
type Pages uint8

// The pages.
const (
	Small       Pages = iota // as they come
	HugeEntries              // transparent huge pages (MADV_HUGEPAGE) for the entries, not for the index
	HugeAll                  // for both
	Reserved                 // huge pages set aside by the operator (MAP_HUGETLB) for both
)

const (
	hugePage     = 2 << 20
	madvHugePage = 14 // MADV_HUGEPAGE
	lineLen      = 64
	word         = 8
	cellsALine   = lineLen / word
	group        = 8 // hashes of which the entries are asked for together
)

// errFull is returned by Insert. A model is made for a number of connections and that many fit.
var errFull = errors.New("the table is full")

// Model is a table of one layout. Close gives its memory back.
type Model struct {
	layout  Layout
	key     int // words
	entries []byte
	cells   []byte // of the index, 8 each: tag above, entry below
	n       uint64 // cells, or entries in place
	used    int
	room    int
	arenas  [][]byte

	keys  [packet.BatchSize][5]uint64
	hash  [packet.BatchSize]uint64
	lines [packet.BatchSize]uint32
	read8 byte // what fetch has read, so that it is not left out
}

// New returns a model for that many connections.
func New(l Layout, connections int) (*Model, error) {
	m := &Model{layout: l, key: 5, room: connections}
	if l.Compact {
		m.key = 2
	}
	slots := connections + 1
	if l.InPlace {
		slots = 2 * connections
		m.n = uint64(slots)
	} else {
		m.n = uint64(connections)*26/10 + 64
		cells, err := m.arena(int(m.n)*word, l.Pages == HugeAll, l.Pages == Reserved)
		if err != nil {
			return nil, err
		}
		m.cells = cells
	}
	entries, err := m.arena(slots*l.Size, l.Pages == HugeEntries || l.Pages == HugeAll, l.Pages == Reserved)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	m.entries = entries
	return m, nil
}

// arena maps n zeroed bytes.
func (m *Model) arena(n int, huge, reserved bool) ([]byte, error) {
	flags := syscall.MAP_PRIVATE | syscall.MAP_ANON
	if reserved {
		flags |= syscall.MAP_HUGETLB // which fails at once if there are too few, without MAP_NORESERVE
	} else {
		flags |= syscall.MAP_NORESERVE
	}
	b, err := syscall.Mmap(-1, 0, (n+hugePage-1)&^(hugePage-1), syscall.PROT_READ|syscall.PROT_WRITE, flags)
	if err != nil {
		return nil, fmt.Errorf("map %d MB: %w", n>>20, err)
	}
	m.arenas = append(m.arenas, b)
	if huge {
		_ = syscall.Madvise(b, madvHugePage) // without huge pages it is slower, not wrong
	}
	return b, nil
}

// Close gives the memory back.
func (m *Model) Close() error {
	var errs []error
	for _, b := range m.arenas {
		errs = append(errs, syscall.Munmap(b))
	}
	m.arenas, m.entries, m.cells = nil, nil, nil
	return errors.Join(errs...)
}

// BytesEach is what a connection takes when the table is full: its entry, what is free beside it, and its share of the index.
// Where only the first line of an entry is in the model, the second lies elsewhere, and counts.
func (l Layout) BytesEach() int {
	size := l.Size
	if l.Size == lineLen && !l.Compact {
		size += lineLen
	}
	if l.InPlace {
		return size + l.Size // half load; what lies elsewhere is not doubled
	}
	return size + word*26/10
}

// read fills key with what a flow is known by.
func (m *Model) read(key *[5]uint64, t *packet.Tuple) {
	ports := uint64(t.SrcPort) | uint64(t.DstPort)<<16 | uint64(t.Proto)<<32 | 1<<48 // never 0, as a free entry is
	if m.layout.Compact {
		key[0] = uint64(binary.LittleEndian.Uint32(t.Src[12:])) | uint64(binary.LittleEndian.Uint32(t.Dst[12:]))<<32
		key[1] = ports
		return
	}
	key[0], key[1] = binary.LittleEndian.Uint64(t.Src[:8]), binary.LittleEndian.Uint64(t.Src[8:])
	key[2], key[3] = binary.LittleEndian.Uint64(t.Dst[:8]), binary.LittleEndian.Uint64(t.Dst[8:])
	key[4] = ports
}

// The words of the hash. Nobody attacks a benchmark.
const (
	k0 = 0x9e3779b97f4a7c15
	k1 = 0xbf58476d1ce4e5b9
	k2 = 0x94d049bb133111eb
	k3 = 0xd6e8feb86659fd93
)

func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// sum hashes a key: as many multiplications as conntrack makes for five words, and two fewer for two.
func (m *Model) sum(k *[5]uint64) uint64 {
	var h uint64
	if m.layout.Compact {
		h = fold(k[0]^k0, k[1]^k1)
	} else {
		h = fold(fold(k[0]^k0, k[1]^k1)^k[4], fold(k[2]^k2, k[3]^k3)^k1)
	}
	return (h ^ h>>32) * k2
}

func tagOf(h uint64) uint32             { return uint32(h>>32) | 1 }
func (m *Model) home(tag uint32) uint64 { return uint64(tag) * m.n >> 32 }

// entry returns the first line of an entry.
func (m *Model) entry(slot uint64) *[lineLen]byte {
	return (*[lineLen]byte)(m.entries[slot*uint64(m.layout.Size):])
}

func (m *Model) cell(at uint64) uint64 { return binary.LittleEndian.Uint64(m.cells[at*word:]) }

func (m *Model) next(at uint64) uint64 {
	if at++; at == m.n {
		return 0
	}
	return at
}

func get(e *[lineLen]byte, w int) uint64 {
	return binary.LittleEndian.Uint64(e[w*word&(lineLen-word):])
}

func put(e *[lineLen]byte, w int, v uint64) {
	binary.LittleEndian.PutUint64(e[w*word&(lineLen-word):], v)
}

// free reports whether nothing is in an entry: the last word of a key is never 0.
func (m *Model) free(e *[lineLen]byte) bool { return get(e, m.key-1) == 0 }

// matches compares without branching on each word.
func (m *Model) matches(e *[lineLen]byte, k *[5]uint64) bool {
	if m.layout.Compact {
		return (get(e, 0)^k[0])|(get(e, 1)^k[1]) == 0
	}
	return (get(e, 0)^k[0])|(get(e, 1)^k[1])|(get(e, 2)^k[2])|(get(e, 3)^k[3])|(get(e, 4)^k[4]) == 0
}

// Insert enters a flow that is not there.
func (m *Model) Insert(t *packet.Tuple) error {
	k := &m.keys[0]
	m.read(k, t)
	tag := tagOf(m.sum(k))
	if m.used == m.room {
		return errFull
	}
	m.used++
	slot, at := uint64(m.used), m.home(tag)
	if m.layout.InPlace {
		for !m.free(m.entry(at)) {
			at = m.next(at)
		}
		slot = at
	} else {
		for m.cell(at) != 0 {
			at = m.next(at)
		}
		binary.LittleEndian.PutUint64(m.cells[at*word:], uint64(tag)<<32|slot)
	}
	e := m.entry(slot)
	for w := range m.key {
		put(e, w, k[w])
	}
	return nil
}
