package xsk

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// channels is struct ethtool_channels of linux/ethtool.h.
type channels struct {
	cmd                                   uint32
	maxRx, maxTx, maxOther, maxCombined   uint32
	rxCount, txCount, other, combinedUsed uint32
}

// classes is struct ethtool_rxnfc of linux/ethtool.h, of which a question for the fields of a hash uses the beginning.
type classes struct {
	cmd  uint32
	flow FlowType
	data uint64
	_    [22]uint64 // the rule, and what follows it
}

// ethtoolChannels asks the driver how many queues it uses.
//
// Sound because channels has the layout and size that the kernel expects for this request, and is pinned meanwhile.
func ethtoolChannels(fd int, name string) (c channels, err error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	p := &channels{cmd: unix.ETHTOOL_GCHANNELS}
	pin.Pin(p)
	if err := ethtool(fd, name, unsafe.Pointer(p)); err != nil {
		return c, err
	}
	return *p, nil
}

// ethtoolHash asks the driver by which fields it hashes packets of that type.
//
// Sound because classes has the layout and size that the kernel expects for this request, and is pinned meanwhile.
func ethtoolHash(fd int, name string, flow FlowType) (c classes, err error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	p := &classes{cmd: unix.ETHTOOL_GRXFH, flow: flow}
	pin.Pin(p)
	if err := ethtool(fd, name, unsafe.Pointer(p)); err != nil {
		return c, err
	}
	return *p, nil
}

// ethtool makes a request of the driver of that interface. What p points to begins with the number of the request and is pinned by
// the caller, as the garbage collector does not see the pointer in what the kernel is given.
//
// Sound because the kernel reads and writes only the two structures; req has the layout and size of struct ifreq, and both
// are kept alive, and the pointer between them valid, until the call has returned.
func ethtool(fd int, name string, p unsafe.Pointer) error {
	var req struct {
		name [unix.IFNAMSIZ]byte
		data uintptr
		_    [16]byte // struct ifreq is larger than what this request uses of it
	}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	req.data = uintptr(p)
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(p)
	if e != 0 {
		return e
	}
	return nil
}
