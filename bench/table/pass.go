package table

import (
	"dirsw/bench/floor"
	"dirsw/packet"
)

// Pass is how a batch is gone through.
type Pass uint8

// The passes.
const (
	One      Pass = iota // each packet is hashed, found and counted before the next
	Two                  // all are hashed and their lines asked for by an instruction, then each is found and counted
	TwoReads             // as Two, but the lines are asked for by reading a word of each
)

// timeouts by state, of which a connection has one.
const (
	states  = 32
	timeout = 900e9
)

// Batch finds and counts the packets of known flows, and returns how many it found.
func (m *Model) Batch(batch []packet.Tuple, pass Pass, now uint64) (found int) {
	if pass == One {
		for i := range batch {
			k := &m.keys[i%packet.BatchSize]
			m.read(k, &batch[i])
			found += m.count(k, m.sum(k), now)
		}
		return found
	}
	for i := range batch {
		m.read(&m.keys[i%packet.BatchSize], &batch[i])
	}
	for i := range batch {
		m.hash[i%packet.BatchSize] = m.sum(&m.keys[i%packet.BatchSize])
	}
	m.ask(len(batch), pass)
	for i := range batch {
		found += m.count(&m.keys[i%packet.BatchSize], m.hash[i%packet.BatchSize], now)
	}
	return found
}

// ask has the lines that count will read fetched: those of the index, then the entries that these point at.
func (m *Model) ask(n int, pass Pass) {
	perEntry := uint32(m.layout.Size / lineLen)
	if m.layout.InPlace {
		for i := range n {
			m.lines[i] = uint32(m.home(tagOf(m.hash[i]))) * perEntry
		}
		m.fetch(m.entries, m.lines[:n], pass)
		return
	}
	for i := range n {
		m.lines[i] = uint32(m.home(tagOf(m.hash[i])) / cellsALine)
	}
	m.fetch(m.cells, m.lines[:n], pass)
	for from := 0; from < n; from += group {
		part := m.hash[from:min(from+group, n)]
		for i, h := range part {
			m.lines[i] = uint32(m.candidate(tagOf(h))) * perEntry
		}
		m.fetch(m.entries, m.lines[:len(part)], pass)
	}
}

// fetch asks for lines of memory.
func (m *Model) fetch(mem []byte, lines []uint32, pass Pass) {
	if pass == Two {
		floor.Prefetch(&mem[0], lines)
		return
	}
	for _, l := range lines {
		m.read8 += mem[uint64(l)*lineLen]
	}
}

// candidate returns the entry of the first cell with that tag; 0 if there is none.
func (m *Model) candidate(tag uint32) uint64 {
	for at := m.home(tag); ; at = m.next(at) {
		if cell := m.cell(at); uint32(cell>>32) == tag || cell == 0 {
			return cell & 0xffff_ffff
		}
	}
}

// count finds a flow, reads its state, writes its deadline and counts a packet. It returns 1 if the flow is there.
func (m *Model) count(k *[5]uint64, h uint64, now uint64) int {
	e := m.find(k, tagOf(h))
	if e == nil {
		return 0
	}
	what := get(e, m.key+1) // state above, packets below
	put(e, m.key, now+timeouts[what>>32%states])
	put(e, m.key+1, what+1)
	return 1
}

// timeouts are all the same: what costs is to look.
var timeouts = func() (t [states]uint64) {
	for i := range t {
		t[i] = timeout
	}
	return t
}()

// find returns the entry of a flow; nil if there is none.
func (m *Model) find(k *[5]uint64, tag uint32) *[lineLen]byte {
	at := m.home(tag)
	if m.layout.InPlace {
		for ; ; at = m.next(at) {
			e := m.entry(at)
			if m.matches(e, k) {
				return e
			}
			if m.free(e) {
				return nil
			}
		}
	}
	for ; ; at = m.next(at) {
		cell := m.cell(at)
		if uint32(cell>>32) == tag {
			if e := m.entry(cell & 0xffff_ffff); m.matches(e, k) {
				return e
			}
		}
		if cell == 0 {
			return nil
		}
	}
}
