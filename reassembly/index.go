package reassembly

import (
	"encoding/binary"
	"math/bits"

	"dirsw/packet"
)

// key identifies a datagram in flight, as in Linux: in IPv6 the protocol is not part of it, nor, in either family, is
// the port that a fragment came by.
type key struct {
	src, dst packet.Addr
	id       uint32
	proto    uint8
	family   uint8
}

// index finds datagrams by key: chains in buckets. The links are in the datagrams.
type index struct {
	seed    uint64
	buckets []int32
}

func newIndex(n int, seed uint64) index {
	x := index{seed: seed ^ 0x9e3779b97f4a7c15, buckets: make([]int32, 1<<bits.Len(uint(n)))}
	for i := range x.buckets {
		x.buckets[i] = none
	}
	return x
}

func (x *index) bytes() int { return 4 * len(x.buckets) }

func (x *index) hash(k *key) uint32 {
	h := mix(x.seed, uint64(k.id)<<16|uint64(k.proto)<<8|uint64(k.family))
	return uint32(hashAddr(hashAddr(h, &k.src), &k.dst) >> 32)
}

func hashAddr(h uint64, a *packet.Addr) uint64 {
	return mix(mix(h, binary.LittleEndian.Uint64(a[0:8])), binary.LittleEndian.Uint64(a[8:16]))
}

// mix is one step of a multiplying hash whose state is secret from the start.
func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^v^0xa0761d6478bd642f, h|1)
	return hi ^ lo ^ bits.RotateLeft64(h, 31)
}

func (x *index) at(h uint32) *int32   { return &x.buckets[int(h)&(len(x.buckets)-1)] }
func (x *index) first(h uint32) int32 { return *x.at(h) }
func (x *index) push(h uint32, i int32) int32 {
	b := x.at(h)
	was := *b
	*b = i
	return was
}

// peer is a sender of IPv4 fragments that has datagrams in flight.
type peer struct {
	addr  packet.Addr
	count uint32 // fragments that came from it
	users int32  // datagrams of it
	hash  uint32
	chain int32
}

const peerBytes = 32

// peers counts the fragments of each sender. If more than maxDistance of them have come between two of the same
// datagram, its identification has been used again, and what was there before belongs to another one (RFC 4963).
type peers struct {
	index index
	list  []peer
	free  int32
}

func newPeers(n int, seed uint64) peers {
	p := peers{index: newIndex(n, seed), list: make([]peer, n)}
	for i := range p.list {
		p.list[i].chain = int32(i) + 1
	}
	p.list[n-1].chain = none
	return p
}

func (p *peers) bytes() int { return p.index.bytes() + peerBytes*len(p.list) }

// join counts one more datagram of a.
func (p *peers) join(a *packet.Addr) int32 {
	h := uint32(hashAddr(p.index.seed, a) >> 32)
	for i := p.index.first(h); i != none; i = p.list[i].chain {
		if p.list[i].addr == *a {
			p.list[i].users++
			return i
		}
	}
	i := p.free
	p.free = p.list[i].chain
	p.list[i] = peer{addr: *a, users: 1, hash: h}
	p.list[i].chain = p.index.push(h, i)
	return i
}

// leave counts one less datagram of the peer i.
func (p *peers) leave(i int32) {
	e := &p.list[i]
	if e.users--; e.users > 0 {
		return
	}
	at := p.index.at(e.hash)
	for *at != i {
		at = &p.list[*at].chain
	}
	*at = e.chain
	e.chain, p.free = p.free, i
}
