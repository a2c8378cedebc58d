package conntrack

import (
	"encoding/binary"
	"math/bits"

	"dirsw/packet"
)

// key is the secret of the hash. Without it nobody can aim connections at one place of the index.
type key [6]uint64

// newKey spreads a seed over the words of a key (the finalizer of splitmix64).
func newKey(seed uint64) (k key) {
	for i := range k {
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		k[i] = z ^ z>>31 | 1
	}
	return k
}

// fold multiplies to 128 bits and xors the halves.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// hash mixes two addresses and a portsKey: three wide multiplications, two of them at the same time, and a narrow one.
// Without the last, clients that count up step through the index in even strides, which with some keys pile up
// (TestIndexSpreads).
func (k *key) hash(src, dst *packet.Addr, ports uint64) uint64 {
	a := fold(binary.LittleEndian.Uint64(src[:8])^k[0], binary.LittleEndian.Uint64(src[8:])^k[1])
	b := fold(binary.LittleEndian.Uint64(dst[:8])^k[2], binary.LittleEndian.Uint64(dst[8:])^k[3])
	h := fold(a^ports, b^k[4])
	return (h ^ h>>32) * k[5]
}

// Hash returns the hash of the flow for Prefetch, Lookup and Insert. It differs from table to table.
func (t *Table) Hash(k *packet.Tuple) uint64 {
	return t.key.hash(&k.Src, &k.Dst, portsKey(k, spaceConn))
}

// HashTemplate returns the hash of a template's key for Template and InsertTemplate.
func (t *Table) HashTemplate(k *packet.Tuple) uint64 {
	return t.key.hash(&k.Src, &k.Dst, portsKey(k, spaceTemplate))
}
