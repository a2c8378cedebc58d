package sched

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// slow is lblc and lblcr in plain words, with a list where locality has an index, links and an arena.
type slow struct {
	replicate        bool
	addresses, nodes int
	entries          []*slowEntry // by last use, the oldest first
	last             map[uint32]*Dest
	began            clock.Mono
	begun            bool
}

type slowEntry struct {
	addr          packet.Addr
	used, changed clock.Mono
	set           []uint32 // IDs; the one that came last first
}

func (s *slow) pick(p *Pool, f *Flow) int {
	for i := range p.Dests {
		d := p.Dests[i]
		s.last[d.ID] = &d
	}
	at := slices.IndexFunc(s.entries, func(e *slowEntry) bool { return e.addr == f.Dst })
	var e *slowEntry
	if at >= 0 {
		e = s.entries[at]
		s.entries = append(slices.Delete(s.entries, at, at+1), e)
		check := f.Now.Add(-(f.Now.Sub(s.began) % (30 * time.Minute)))
		if check.Sub(e.used) >= p.Expire {
			e.set = nil
		}
		e.used = f.Now
		if i := s.cached(p, e); i != None && (s.replicate || p.Dests[i].Weight > 0) && !overloaded(p, i) {
			s.shrink(p, e, f.Now)
			return i
		}
		s.shrink(p, e, f.Now)
	}
	best := least(p, connections)
	if best == None {
		return None
	}
	if e == nil {
		if !s.begun {
			s.begun, s.began = true, f.Now
		}
		if len(s.entries) == s.addresses {
			s.entries = s.entries[1:]
		}
		e = &slowEntry{addr: f.Dst, used: f.Now}
		s.entries = append(s.entries, e)
	}
	s.put(e, p.Dests[best].ID, f.Now)
	return best
}

func (s *slow) put(e *slowEntry, id uint32, now clock.Mono) {
	if !s.replicate {
		e.set = []uint32{id}
		return
	}
	if slices.Contains(e.set, id) {
		return
	}
	for s.inUse() == s.nodes {
		if s.entries[0] == e {
			return
		}
		s.entries = s.entries[1:]
	}
	e.set, e.changed = slices.Insert(e.set, 0, id), now
}

func (s *slow) inUse() (n int) {
	for _, e := range s.entries {
		n += len(e.set)
	}
	return n
}

func (s *slow) cached(p *Pool, e *slowEntry) int {
	best := None
	for _, id := range e.set {
		i := p.index(id)
		if !s.replicate {
			return i
		}
		if i < 0 || !p.Usable(i) {
			continue
		}
		if best == None || connections(p, best)*int64(p.Dests[i].Weight) > connections(p, i)*int64(p.Dests[best].Weight) {
			best = i
		}
	}
	return best
}

func (s *slow) shrink(p *Pool, e *slowEntry, now clock.Mono) {
	if !s.replicate || len(e.set) < 2 || now.Sub(e.changed) <= p.Expire {
		return
	}
	cost := func(d *Dest) int64 { return int64(d.Load.Active())*256 + int64(d.Load.Inactive()) }
	var worst *Dest
	for _, id := range e.set {
		if d := s.last[id]; d.Weight > 0 && (worst == nil || cost(worst)*int64(d.Weight) < cost(d)*int64(worst.Weight)) {
			worst = d
		}
	}
	if worst != nil {
		e.set = slices.DeleteFunc(e.set, func(id uint32) bool { return id == worst.ID })
		e.changed = now
	}
}

func address(i int) packet.Addr {
	return packet.AddrFrom(netip.AddrFrom4([4]byte{203, 0, byte(113 + i>>8), byte(i)}))
}

// TestSlowTwinLocality plays random connections, loads, edits and pauses, with a memory so small that it overflows.
func TestSlowTwinLocality(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			r := rand.New(rand.NewPCG(seed, 3))
			for range 40 {
				twin := &slow{replicate: name == "lblcr", addresses: 8, nodes: 13, last: map[uint32]*Dest{}}
				c, s := memory(name, 8, 13)
				if err := compare(r, c, s, twin); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}

// memory makes a scheduler with another size.
func memory(name string, addresses, nodes int) (*locality, Scheduler) {
	if name == "lblc" {
		l := &lblc{newLocality(addresses, addresses)}
		return &l.cache, l
	}
	l := &lblcr{newLocality(addresses, nodes)}
	return &l.cache, l
}

func compare(r *rand.Rand, c *locality, s Scheduler, twin *slow) error {
	p := &Pool{Cursor: new(Cursor), Expire: time.Hour}
	all := []Dest{}
	for i := range 6 {
		all = append(all, dest(uint32(i), int32(r.IntN(4))))
	}
	p.Dests = slices.Clone(all[:4])
	s.Update(p, true)
	now := clock.Mono(0)
	for n := range 500 {
		switch r.IntN(12) {
		case 0: // another list; a server that comes back is the same
			r.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
			for i := range all {
				all[i].Weight = int32(r.IntN(4))
			}
			q := *p
			q.Dests = slices.Clone(all[:r.IntN(7)])
			p = &q
			s.Update(p, true)
		case 1:
			now = now.Add(time.Duration(r.IntN(100)) * time.Minute)
		case 2, 3, 4:
			d := &all[r.IntN(len(all))]
			d.Load.cells[0].active.Store(int32(r.IntN(6)))
			d.Load.cells[0].inactive.Store(int32(r.IntN(600)))
			d.Load.over.Store(r.IntN(4) == 0)
		}
		now = now.Add(time.Duration(r.IntN(1000)) * time.Millisecond)
		f := &Flow{Tuple: packet.Tuple{Dst: address(r.IntN(12))}, Now: now}
		asked, other := *p, *f
		asked.Cursor, other.Dst = p.Cursor.Copy(), address(r.IntN(12))
		would := s.Pick(&asked, &other) // the twin is not asked: nothing may come of it
		want, got := twin.pick(p, f), s.Pick(p, f)
		if got != want || other.Dst == f.Dst && would != want {
			return fmt.Errorf("step %d: Pick = %d, when asked before %d, want %d", n, got, would, want)
		}
		if err := c.check(); err != nil {
			return fmt.Errorf("step %d: %w", n, err)
		}
	}
	return nil
}

// check counts what is linked, named and indexed.
func (l *locality) check() error {
	live, named := 0, make([]int32, len(l.members))
	for at := l.oldest; at != none; at = l.entries[at].newer {
		live++
		e := &l.entries[at]
		if l.find(&e.addr) != e {
			return fmt.Errorf("%v is not found", e.addr)
		}
		size := int32(0)
		for n := e.set; n != none; n = l.nodes[n].next {
			size++
			named[l.nodes[n].member]++
		}
		if size != e.size {
			return fmt.Errorf("%v: size %d, want %d", e.addr, e.size, size)
		}
	}
	vacant, indexed, spare, used := 0, 0, 0, 0
	for at := l.vacant; at != none; at = l.entries[at].older {
		vacant++
	}
	for _, i := range l.index {
		if i != 0 {
			indexed++
		}
	}
	for n := l.spare; n != none; n = l.nodes[n].next {
		spare++
	}
	for m, n := range named {
		if used += int(n); l.members[m].refs != n {
			return fmt.Errorf("member %d: %d references, want %d", m, l.members[m].refs, n)
		}
	}
	if live+vacant != len(l.entries) || indexed != live || used+spare != len(l.nodes) {
		return fmt.Errorf("%d live and %d vacant of %d entries, %d indexed; %d used and %d spare of %d nodes", live, vacant,
			len(l.entries), indexed, used, spare, len(l.nodes))
	}
	return nil
}

// TestFloodLocality asks for more addresses than are remembered: no allocation, and the last ones are known.
func TestFloodLocality(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		t.Run(name, func(t *testing.T) {
			p := pool(1, 1, 1, 1)
			c, s := memory(name, localities, replicas)
			s.Update(p, true)
			f, n := Flow{}, 0
			pick := func() {
				f.Dst[0], f.Dst[1], f.Dst[15] = byte(n>>16), byte(n>>8), byte(n)
				f.Now++
				n++
				s.Pick(p, &f)
			}
			if a := testing.AllocsPerRun(3*localities, pick); a != 0 {
				t.Errorf("%v allocations a Pick", a)
			}
			if err := c.check(); err != nil {
				t.Error(err)
			}
			if got := len(c.entries); got != localities {
				t.Errorf("%d addresses are remembered, want %d", got, localities)
			}
			if c.find(&f.Dst) == nil {
				t.Error("the last address is not known")
			}
			if c.find(&packet.Addr{}) != nil {
				t.Error("the first address is known still")
			}
		})
	}
}

// TestExpireLocality: a day without a connection, looked at each half hour.
func TestExpireLocality(t *testing.T) {
	for _, name := range []string{"lblc", "lblcr"} {
		for _, tt := range []struct {
			pause   time.Duration
			expired bool
		}{
			{24*time.Hour - time.Second, false},
			{24*time.Hour + 10*time.Minute, false},
			{24*time.Hour + 30*time.Minute, true},
			{100 * time.Hour, true},
		} {
			t.Run(fmt.Sprint(name, tt.pause), func(t *testing.T) {
				p := pool(1, 1)
				s := made(t, name, p)
				first := clock.Mono(0).Add(time.Hour)
				s.Pick(p, &Flow{Tuple: packet.Tuple{Dst: address(1)}, Now: first})
				at := first.Add(time.Minute) // not on a half hour
				s.Pick(p, &Flow{Tuple: packet.Tuple{Dst: address(2)}, Now: at})
				p.Dests[0].Load.Add(0, 0, 1, 0) // it would not be picked anew
				got := s.Pick(p, &Flow{Tuple: packet.Tuple{Dst: address(2)}, Now: at.Add(tt.pause)})
				if (got == 1) != tt.expired {
					t.Errorf("Pick = %d, want expired %v", got, tt.expired)
				}
			})
		}
	}
}

func BenchmarkPickLocality(b *testing.B) {
	for _, name := range []string{"lblc", "lblcr"} {
		b.Run(name, func(b *testing.B) {
			p := pool(1, 1, 1, 1)
			s := made(b, name, p)
			f := Flow{}
			for n := 0; b.Loop(); n++ {
				f.Dst[0], f.Dst[1], f.Dst[15] = byte(n>>16), byte(n>>8), byte(n)
				f.Now++
				s.Pick(p, &f)
			}
			b.ReportAllocs()
		})
	}
}
