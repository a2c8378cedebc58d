package sched

import "math/bits"

func init() { register(Kind{"twos", func(Flags) Scheduler { return twos{} }}) }

// twos draws two usable destinations at random, by their weights, and picks the one with fewer connections for its
// weight, the first drawn if they are equal (the power of two random choices; Linux net/netfilter/ipvs/ip_vs_twos.c).
// An active connection counts as 256 inactive. As in the kernel, a draw is a number from 0 to the sum of the weights,
// both included, so that the first of the list has one chance more than its weight says: choose large weights.
//
// Choose it when several directors share the servers: each of them sees only a part of the connections, and with wlc
// all would send to the server that looks idle to all of them at once.
//
// The cursor counts connections. What is drawn depends on its count and on the flow's addresses and ports alone, so
// that a capture played twice gives the same choices.
type twos struct{}

func (twos) Update(*Pool, bool) {}

func (twos) Pick(p *Pool, f *Flow) int {
	var sum uint64
	for i := range p.Dests {
		if p.Usable(i) {
			sum += uint64(p.Dests[i].Weight)
		}
	}
	if sum == 0 {
		return None
	}
	at := p.Cursor.Load()
	for !p.Cursor.Move(at, at+1) {
		at = p.Cursor.Load()
	}
	x := at<<32 ^ uint64(fold(&f.Src)+0x9e3779b9*fold(&f.Dst)) ^ uint64(f.SrcPort)<<16 ^ uint64(f.DstPort)
	one, _ := bits.Mul64(mix(x), sum+1)
	two, _ := bits.Mul64(mix(x+0x9e3779b97f4a7c15), sum+1)
	a, b := drawn(p, one), drawn(p, two)
	if a == None || b == None { // another worker filled the last one up meanwhile
		return max(a, b)
	}
	if connections(p, a)*int64(p.Dests[b].Weight) > connections(p, b)*int64(p.Dests[a].Weight) {
		return b
	}
	return a
}

// drawn returns the usable destination where the weights add up to n, the last one if they do not.
func drawn(p *Pool, n uint64) int {
	last := None
	for i := range p.Dests {
		if !p.Usable(i) {
			continue
		}
		last = i
		w := uint64(p.Dests[i].Weight)
		if n <= w {
			break
		}
		n -= w
	}
	return last
}

// mix makes a random looking number of x, and another one of any other x (the finalizer of SplitMix64: Steele, Lea and
// Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
