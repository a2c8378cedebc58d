package xsk

import (
	"golang.org/x/sys/unix"
)

// FlowType is a kind of packets that a NIC may hash by fields of their own, by its number in linux/ethtool.h.
type FlowType uint32

// The flow types that dirsw balances. IPv4 and IPv6 are packets of no other type: other protocols, and fragments.
const (
	FlowTCP4 FlowType = 0x01
	FlowUDP4 FlowType = 0x02
	FlowTCP6 FlowType = 0x05
	FlowUDP6 FlowType = 0x06
	FlowIPv4 FlowType = 0x10
	FlowIPv6 FlowType = 0x11
)

// HashFields are the fields of a frame that a NIC takes a hash of to choose the receive queue: RXH_* of linux/ethtool.h.
type HashFields uint32

// The fields, and what a NIC may do instead of hashing.
const (
	HashMAC       HashFields = 1 << 1 // the destination's
	HashVLAN      HashFields = 1 << 2
	HashProtocol  HashFields = 1 << 3 // the protocol number of the IP header
	HashSource    HashFields = 1 << 4 // the address
	HashDest      HashFields = 1 << 5 // the address
	HashSrcPort   HashFields = 1 << 6
	HashDstPort   HashFields = 1 << 7
	HashFlowLabel HashFields = 1 << 9  // of the IPv6 header
	HashDiscard   HashFields = 1 << 31 // it drops such packets
)

// ReceiveHash asks the driver of the interface of that name, in the namespace of the calling thread, by which fields it
// hashes packets of a type (ETHTOOL_GRXFH). It changes nothing and needs no rights. The error is EOPNOTSUPP from a driver that has no
// hash to tell of, as most virtual ones, as a rule EINVAL from one that does not know the type, and ENODEV without such
// an interface.
func ReceiveHash(name string, flow FlowType) (HashFields, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	r, err := ethtoolHash(fd, name, flow)
	return HashFields(r.data), err
}
