package reassembly

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// twin does slowly, with maps and without limits of memory, what a Cache does: one datagram for each identification, of one
// sender.
type twin struct {
	six  bool
	data map[uint32]*twinDatagram
	seen int // fragments so far
}

type twinDatagram struct {
	bytes    map[int]byte
	runs     [][2]int // what came in order, in any order of its own
	tail     int      // where the fragment with the highest offset ends
	end      int
	last     bool
	deadline clock.Mono
	seen     int
	count    int
}

// add returns the outcome of the fragment p with these data, and the whole data if it was the last one missing.
func (w *twin) add(id uint32, p piece, data []byte, now clock.Mono) (Outcome, []byte) {
	d := w.data[id]
	w.seen++
	wait := IPv4Time
	if w.six {
		wait = IPv6Time
	}
	if d == nil || !w.six && d.count > 0 && w.seen-d.seen > 64 {
		d = &twinDatagram{bytes: map[int]byte{}, deadline: now.Add(wait)}
		w.data[id] = d
	}
	d.seen = w.seen
	o := w.judge(d, &p)
	switch {
	case o == Duplicate:
	case o == Bad && w.six && d.count > 0:
	case o != Held:
		delete(w.data, id)
	default:
		return w.keep(d, id, p, data)
	}
	return o, nil
}

func (w *twin) judge(d *twinDatagram, p *piece) Outcome {
	if p.more && p.end%8 != 0 {
		if w.six {
			return Uneven
		}
		p.end -= p.end % 8
	}
	if p.end < d.end && !p.more || d.last && p.end > d.end || d.last && !p.more && p.end != d.end {
		return Bad
	}
	d.end = max(d.end, p.end)
	d.last = d.last || !p.more
	if p.start >= p.end {
		return Bad
	}
	if p.end <= d.tail {
		for _, r := range d.runs {
			if p.start >= r[0] && p.end <= r[1] {
				return Duplicate
			}
		}
	}
	for i := p.start; i < p.end; i++ {
		if _, ok := d.bytes[i]; ok {
			return Overlap
		}
	}
	return Held
}

func (w *twin) keep(d *twinDatagram, id uint32, p piece, data []byte) (Outcome, []byte) {
	d.count++
	for i := p.start; i < p.end; i++ {
		d.bytes[i] = data[i]
	}
	joined := false
	for i := range d.runs {
		if d.runs[i][1] == p.start && d.tail == p.start {
			d.runs[i][1], joined = p.end, true
			break
		}
	}
	if !joined {
		d.runs = append(d.runs, [2]int{p.start, p.end})
	}
	d.tail = max(d.tail, p.end)
	if !d.last || len(d.bytes) != d.end {
		return Held, nil
	}
	delete(w.data, id)
	whole := make([]byte, d.end)
	for i, b := range d.bytes {
		whole[i] = b
	}
	return Whole, whole
}

// TestTwin compares the cache with its twin over random fragments of a few datagrams.
func TestTwin(t *testing.T) {
	for _, family := range []uint8{packet.IPv4Family, packet.IPv6Family} {
		for seed := range uint64(12) {
			t.Run(fmt.Sprintf("%d/seed%d", family, seed), func(t *testing.T) { compareTwins(t, family, seed) })
		}
	}
}

func compareTwins(t *testing.T, family uint8, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	c := New(Options{Datagrams: 128, Bytes: 1, Seed: seed})
	w := twin{six: family == packet.IPv6Family, data: map[uint32]*twinDatagram{}}
	const n = 480
	whole := udp(family, n-packet.UDPLen)
	data := whole[len(whole)-n:]
	now, outcomes := clock.Mono(0), [8]int{}
	for range 4000 {
		now = now.Add(time.Duration(r.IntN(300)) * time.Millisecond)
		for {
			if _, ok := c.Expire(now); !ok {
				break
			}
		}
		for id, d := range w.data {
			if d.deadline <= now {
				delete(w.data, id)
			}
		}
		p := randomPiece(r, n)
		if p.start == 0 && (!w.six && !p.more || w.six && p.end < packet.UDPLen) {
			continue // no fragment; Parse lets none pass that has no room for its headers
		}
		id := uint32(r.IntN(6))
		if r.IntN(20) == 0 {
			id = uint32(r.IntN(90))
		}
		got := add(t, c, p.frame(whole, id), now)
		want, bytesWant := w.add(id, p, data, now)
		if got != want || c.Len() != len(w.data) {
			t.Fatalf("%+v of %d: %v, want %v; %d held, want %d", p, id, got, want, c.Len(), len(w.data))
		}
		if got == Whole {
			b := c.Datagram().Frame.Bytes()
			if !bytes.Equal(b[len(b)-len(bytesWant):], bytesWant) {
				t.Fatalf("%+v of %d: other bytes", p, id)
			}
		}
		outcomes[got]++
	}
	wanted := []Outcome{Held, Whole, Duplicate, Overlap, Bad}
	for _, o := range wanted {
		if outcomes[o] == 0 {
			t.Errorf("never %v: %v", o, outcomes)
		}
	}
}

// randomPiece is mostly one of those that make up a datagram of n bytes, so that some become whole.
func randomPiece(r *rand.Rand, n int) piece {
	steps := [...]int{0, 48, 96, 240, 360, n}
	i := r.IntN(len(steps) - 1)
	p := piece{start: steps[i], end: steps[i+1], more: i < len(steps)-2}
	switch r.IntN(24) {
	case 0:
		p.start = r.IntN(n/8) * 8
		p.end = p.start + r.IntN(n-p.start+1)
	case 1:
		p.more = !p.more
	case 2:
		p.end = min(p.end+r.IntN(40), n)
	}
	return p
}

// FuzzOrder: a datagram cut by packet.Cut comes together again from its pieces in any order, some of them twice.
func FuzzOrder(f *testing.F) {
	f.Add(uint16(2000), uint16(576), uint64(1), false)
	f.Add(uint16(65000), uint16(1500), uint64(2), true)
	f.Add(uint16(1), uint16(68), uint64(3), false)
	f.Fuzz(func(t *testing.T, n, mtu uint16, seed uint64, six bool) {
		family := packet.IPv4Family
		if six {
			family = packet.IPv6Family
		}
		whole := udp(family, min(int(n), 65000))
		pieces := cut(whole, max(int(mtu), 312))
		if len(pieces) == 1 {
			return
		}
		r := rand.New(rand.NewPCG(seed, 1))
		for range r.IntN(4) {
			pieces = append(pieces, pieces[r.IntN(len(pieces))])
		}
		r.Shuffle(len(pieces), func(i, k int) { pieces[i], pieces[k] = pieces[k], pieces[i] })
		c := New(Options{})
		done := 0
		for _, p := range pieces {
			switch o := add(t, c, p, 0); {
			case o == Whole:
				done++
				if got := c.Datagram().Frame.Bytes(); !bytes.Equal(got, whole) {
					t.Fatalf("\n got % x\nwant % x", got, whole)
				}
				// What came out can be cut into the same pieces again.
				again := cutAsCame(c.Datagram())
				for _, a := range again {
					if !slices.ContainsFunc(pieces, func(p []byte) bool { return bytes.Equal(p, a) }) {
						t.Fatalf("a piece that did not come: % x", a)
					}
				}
			case o != Held && o != Duplicate:
				t.Fatalf("%v", o)
			}
		}
		if done == 0 {
			t.Fatal("not whole")
		}
	})
}

func cut(whole []byte, mtu int) [][]byte {
	return pieces(whole, &packet.Plan{MTU: mtu, ID: 99})
}

func cutAsCame(d *Datagram) [][]byte {
	return pieces(d.Frame.Bytes(), &packet.Plan{MTU: 1 << 16, Largest: d.Largest, Parts: d.Parts, ID: 99})
}

func pieces(whole []byte, p *packet.Plan) (out [][]byte) {
	var c packet.Cut
	if !c.Start(whole, packet.EthernetLen, p) {
		panic("no room")
	}
	for {
		f := packet.MakeFrame(make([]byte, 1<<16+64), 0, 0, 0, 0)
		if !c.Next(&f) {
			return out
		}
		out = append(out, f.Bytes())
	}
}
