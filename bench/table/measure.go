package table

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"dirsw/bench/measure"
	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/packet"
)

// Variant is a layout, and how batches go through it.
type Variant struct {
	Name string
	Layout
	Pass Pass
}

// Variants are what is held against the table of dirsw. The first is a model of that.
func Variants() []Variant {
	two := Layout{Size: 128, Pages: HugeAll}
	with := func(l Layout, p Pages) Layout {
		l.Pages = p
		return l
	}
	split := Layout{Size: 64, Pages: HugeAll}
	compact := Layout{Size: 64, Compact: true, Pages: HugeAll}
	return []Variant{
		{"as dirsw: index, 128 bytes, two passes, huge pages", two, Two},
		{"one pass", two, One},
		{"two passes, reads instead of prefetch", two, TwoReads},
		{"small pages", with(two, Small), Two},
		{"small pages for the index", with(two, HugeEntries), Two},
		{"huge pages set aside", with(two, Reserved), Two},
		{"128 bytes split: first lines alone", split, Two},
		{"64 bytes, compact IPv4 key", compact, Two},
		{"64 bytes, compact IPv4 key, one pass", compact, One},
		{"64 bytes, compact, small pages for the index", with(compact, HugeEntries), Two},
		{"in place: 128 bytes split", Layout{Size: 64, InPlace: true, Pages: HugeEntries}, Two},
		{"in place: 64 bytes, compact", Layout{Size: 64, Compact: true, InPlace: true, Pages: HugeEntries}, Two},
		{"in place: 64 bytes, compact, one pass", Layout{Size: 64, Compact: true, InPlace: true, Pages: HugeEntries}, One},
	}
}

// Result is nanoseconds for a packet, round by round, without what it takes to make its key.
type Result struct {
	Product  []float64   // conntrack.Table as the forwarder uses it
	OnePass  []float64   // conntrack.Table without Prefetch
	Variants [][]float64 // by variant; nil if its memory could not be had
	Missing  []error     // by variant: why not
}

// start is when the connections begin, begun the time of the measurements; nothing ends until then.
const (
	start = clock.Mono(time.Hour)
	begun = start + clock.Mono(5*time.Second)
)

// Measure fills tables of all variants with 1<<scale connections and looks them up in random order, by turns. It must run on a
// goroutine of its own, which it pins. Each variant takes 1.2 GB at most for 1<<23 connections, and so does dirsw.
func Measure(ctx context.Context, all []Variant, scale, rounds int, each time.Duration) (*Result, error) {
	if err := measure.Pin(); err != nil {
		return nil, err
	}
	product, err := filled(scale)
	if err != nil {
		return nil, err
	}
	defer product.Close()
	walk := walk{mask: 1<<scale - 1}
	contenders := []measure.Contender{walk.contender("keys", func([]packet.Tuple) int { return packet.BatchSize }),
		walk.contender("conntrack", through(product, true)), walk.contender("conntrack in one pass", through(product, false))}
	r := &Result{Variants: make([][]float64, len(all)), Missing: make([]error, len(all))}
	for i, v := range all {
		m, err := v.filled(scale)
		if r.Missing[i] = err; err != nil {
			continue
		}
		defer m.Close()
		now := uint64(begun)
		contenders = append(contenders, walk.contender(v.Name, func(b []packet.Tuple) int {
			now++
			return m.Batch(b, v.Pass, now)
		}))
	}
	got, err := measure.Rounds(ctx, rounds, each, contenders...)
	if err != nil {
		return nil, err
	}
	r.Product, r.OnePass = measure.Less(got[1], got[0]), measure.Less(got[2], got[0])
	next := 3
	for i := range all {
		if r.Missing[i] == nil {
			r.Variants[i] = measure.Less(got[next], got[0])
			next++
		}
	}
	return r, nil
}

// flow sets t to the i-th flow. It writes words, so that reading them at once does not stall.
func flow(t *packet.Tuple, i uint32) {
	binary.LittleEndian.PutUint64(t.Src[:8], 0)
	binary.BigEndian.PutUint64(t.Src[8:], 0xffff_0a00_0000|uint64(i>>8))
	binary.LittleEndian.PutUint64(t.Dst[:8], 0)
	binary.BigEndian.PutUint64(t.Dst[8:], 0xffff_c000_0264)
	t.SrcPort, t.DstPort, t.Proto, t.Family = uint16(i)|0x400, 80, packet.ProtoTCP, packet.IPv4Family
}

// walk makes batches of flows in an order that has nothing to do with the one in which they were entered.
type walk struct {
	at, mask uint32
	batch    [packet.BatchSize]packet.Tuple
}

// contender has batches handled, each packet of which must be found.
func (w *walk) contender(name string, handle func([]packet.Tuple) int) measure.Contender {
	return measure.Contender{Name: name, Run: func(_ context.Context, d time.Duration) (float64, error) {
		lost := 0
		ns, err := measure.PerPacket(d, func() int {
			for i := range w.batch {
				w.at = (w.at*1664525 + 1013904223) & w.mask // goes through all of them
				flow(&w.batch[i], w.at)
			}
			lost += packet.BatchSize - handle(w.batch[:])
			return packet.BatchSize
		})
		if lost > 0 {
			return 0, fmt.Errorf("%d packets found no connection", lost)
		}
		return ns, err
	}}
}

// filled returns a table of dirsw with the flows.
func filled(scale int) (*conntrack.Table, error) {
	t, err := conntrack.New(conntrack.Options{MaxConns: 1 << scale, Seed: 1})
	if err != nil {
		return nil, err
	}
	for i := range uint32(1 << scale) {
		s := conntrack.Spec{RealPort: 80, Flags: conntrack.OneWay, Event: conntrack.TCPAck}
		flow(&s.Tuple, i)
		s.Real = s.Dst
		if _, err := t.Insert(&s, t.Hash(&s.Tuple), start); err != nil {
			return nil, errors.Join(err, t.Close())
		}
	}
	for now := start; now < begun; now = now.Add(10 * time.Millisecond) { // gets huge pages
		t.Expire(now, 0, nil)
	}
	return t, nil
}

// filled returns a model with the flows.
func (v *Variant) filled(scale int) (*Model, error) {
	m, err := New(v.Layout, 1<<scale)
	if err != nil {
		return nil, err
	}
	var t packet.Tuple
	for i := range uint32(1 << scale) {
		flow(&t, i)
		if err := m.Insert(&t); err != nil {
			return nil, errors.Join(err, m.Close())
		}
	}
	return m, nil
}

// through has a table of dirsw handle batches as the forwarder does.
func through(t *conntrack.Table, ahead bool) func([]packet.Tuple) int {
	var hashes [packet.BatchSize]uint64
	return func(batch []packet.Tuple) (found int) {
		for i := range batch {
			hashes[i%packet.BatchSize] = t.Hash(&batch[i])
		}
		if ahead {
			t.Prefetch(hashes[:len(batch)])
		}
		for i := range batch {
			if c, d := t.Lookup(&batch[i], hashes[i%packet.BatchSize]); c != nil {
				t.Advance(c, d, conntrack.TCPAck, begun)
				found++
			}
		}
		return found
	}
}
