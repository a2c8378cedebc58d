// Package traffic makes frames of clients: seeded flows of TCP and UDP over IPv4 and IPv6, and their connections from
// SYN to the last ACK.
//
// Everything is a function of the seed: the same Flows yield the same frames on every machine.
package traffic

import (
	"encoding/binary"
	"fmt"
	"iter"

	"dirsw/packet"
)

// MaxFlows is the number of flows that differ: 2^17 addresses with 2^13 ports each.
const MaxFlows = 1 << (addrBits + portBits)

const (
	addrBits  = 17 // host part of 198.18.0.0/15, which RFC 2544 sets aside for benchmarks
	portBits  = 13
	firstPort = 1024
)

// EthernetMin is the length in bytes of the shortest Ethernet frame without its checksum (IEEE 802.3, clause 4A).
const EthernetMin = 60

// Flows are clients of one virtual service. The zero value, with a Service, is IPv4 and TCP.
type Flows struct {
	Seed           uint64
	Service        packet.Tuple // Dst, DstPort, Proto; 0 stands for TCP
	SrcMAC, DstMAC packet.MAC
}

// Tuple returns flow i, from client to service. It panics if i is not below MaxFlows. Different i have different tuples.
func (f *Flows) Tuple(i int) packet.Tuple {
	if i < 0 || i >= MaxFlows {
		panic(fmt.Sprintf("traffic: flow %d of %d", i, MaxFlows))
	}
	t := f.Service
	if t.Proto == 0 {
		t.Proto = packet.ProtoTCP
	}
	n := f.scatter(uint32(i))
	host := n & (1<<addrBits - 1)
	t.SrcPort = firstPort + uint16(n>>addrBits)
	if t.Family = packet.IPv4Family; !t.Dst.Is4() {
		t.Family = packet.IPv6Family
		t.Src = packet.Addr{0x20, 0x01, 0x0d, 0xb8, 0x00, 0x18}
		binary.BigEndian.PutUint32(t.Src[12:], host)
		return t
	}
	t.Src = packet.Addr{10: 0xff, 11: 0xff}
	binary.BigEndian.PutUint32(t.Src[12:], 198<<24|18<<16|host)
	return t
}

// scatter permutes the numbers below MaxFlows, so that neighbours in number have nothing in common. Each step can be
// undone modulo 2^30: an odd factor, a shift to the right that is xored in, an addition.
func (f *Flows) scatter(n uint32) uint32 {
	const mask = MaxFlows - 1
	for round := range uint64(3) {
		n = n * 0x2c1b3c6d & mask
		n ^= n >> 15
		n = (n + uint32(f.Seed>>(round*16))) & mask
	}
	return n
}

// Frame makes a frame of flow i with n bytes of payload, in dst if its capacity suffices. Flags are those of TCP; with UDP
// they mean nothing. Frames shorter than Ethernet allows are padded.
func (f *Flows) Frame(dst []byte, i int, flags uint8, n int) []byte {
	var payload [1500]byte
	s := packet.Spec{SrcMAC: f.SrcMAC, DstMAC: f.DstMAC, Tuple: f.Tuple(i), TCPFlags: flags, ID: uint16(i), DF: true,
		Payload: payload[:n]}
	dst = packet.Build(dst, s)
	for len(dst) < EthernetMin {
		dst = append(dst, 0)
	}
	return dst
}

// Each yields one frame of each of the flows from first to first+n-1, all alike. A frame is valid until the next.
func (f *Flows) Each(first, n int, flags uint8, payload int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var buf []byte
		for i := first; i < first+n; i++ {
			if buf = f.Frame(buf, i, flags, payload); !yield(buf) {
				return
			}
		}
	}
}
