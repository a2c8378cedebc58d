package connsync

import (
	"encoding/binary"

	"dirsw/conntrack"
	"dirsw/packet"
)

// A message of version 1 is a header and entries; numbers are in network order.
//
//	header   0: 0   1: syncid   2: length of the message, 16 bit   4: number of entries   5: 1, the version   6: 0, 16 bit
//	entry    0: kind, 1 for IPv6   1: IP protocol   2: version of the entry (4 bit, 0) and its length (12 bit)
//	         4: flags, 32 bit   8: state   10: ports of client, virtual service and real server, 16 bit each
//	         16: firewall mark, 32 bit   20: timeout in seconds, 32 bit   24: addresses of the three, 4 or 16 bytes each
//	options  0: kind   1: length of what follows
//
// Each entry begins at a multiple of four; its length says where its options end.
const (
	headerLen = 8

	entryLen4 = 36
	entryLen6 = 72

	entryInet6       = 1 // kind of an entry
	entryLenMask     = 0x0fff
	entryVersionBits = 12

	optionSeq    = 1    // struct ip_vs_seq of both directions
	optionData   = 2    // of a persistence engine
	optionEngine = 3    // its name
	optionExtra  = 0x40 // may be skipped by who does not know it

	optionHead = 2
	seqLen     = 12 // three numbers
	seqsLen    = 2 * seqLen
)

// backupFlags are those that mean something to who receives (IP_VS_CONN_F_BACKUP_MASK).
const backupFlags = conntrack.RecordMethod | conntrack.RecordNoOutput | conntrack.RecordInactive | conntrack.RecordInSeq |
	conntrack.RecordOutSeq | conntrack.RecordNoClientPort | conntrack.RecordTemplate

const recordSeqs = conntrack.RecordInSeq | conntrack.RecordOutSeq

// addr reads one, of 4 or 16 bytes. ok is false for an IPv6 address that only stands for one of IPv4, which no packet has.
func addr(b []byte) (a packet.Addr, ok bool) {
	copy(a[len(a)-len(b):], b)
	if len(b) == len(a) {
		return a, !a.Is4()
	}
	a[10], a[11] = 0xff, 0xff
	return a, true
}

func appendSeq(b []byte, o binary.AppendByteOrder, s *conntrack.RecordSeq) []byte {
	b = o.AppendUint32(b, s.Init)
	b = o.AppendUint32(b, s.Delta)
	return o.AppendUint32(b, s.Previous)
}

func seq(b []byte, o binary.ByteOrder) conntrack.RecordSeq {
	return conntrack.RecordSeq{Init: o.Uint32(b), Delta: o.Uint32(b[4:]), Previous: o.Uint32(b[8:])}
}

// States of the protocols as numbers: those of the kernel (include/net/ip_vs.h), which conntrack has in the same order.
const (
	tcpStates  = conntrack.TCPSynAck - conntrack.TCPEstablished + 2
	sctpStates = conntrack.SCTPClosed - conntrack.SCTPInit1 + 2
	tplStates  = conntrack.Assured + 1
)

// stateNumber returns the number of a record's state, 0 for one that its protocol has not.
func stateNumber(r *conntrack.Record) uint16 {
	first := conntrack.Assured
	switch {
	case r.IsTemplate():
	case r.Proto == packet.ProtoTCP:
		first = conntrack.TCPEstablished
	case r.Proto == packet.ProtoSCTP:
		first = conntrack.SCTPInit1
	default:
		return 0
	}
	if r.State < first {
		return 0
	}
	return uint16(r.State - first + 1)
}

// stateOf is the reverse of stateNumber. known is false for a protocol whose connections no director has.
func stateOf(proto uint8, template bool, n uint16) (s conntrack.State, known, ok bool) {
	first, states := conntrack.None, conntrack.State(1)
	switch {
	case template:
		first, states = conntrack.Assured, tplStates
	case proto == packet.ProtoTCP:
		first, states = conntrack.TCPEstablished, tcpStates
	case proto == packet.ProtoSCTP:
		first, states = conntrack.SCTPInit1, sctpStates
	case proto == packet.ProtoUDP:
		return conntrack.UDPNormal, true, n == 0
	case proto != packet.ProtoESP && proto != packet.ProtoAH:
		return conntrack.None, false, false
	}
	switch {
	case n >= uint16(states):
		return conntrack.None, true, false
	case n == 0:
		return conntrack.None, true, true
	}
	return first + conntrack.State(n) - 1, true, true
}
