package xsk

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const ethtoolGetChannels = 0x3c // ETHTOOL_GCHANNELS of linux/ethtool.h

// channels is struct ethtool_channels of linux/ethtool.h.
type channels struct {
	cmd                                   uint32
	maxRx, maxTx, maxOther, maxCombined   uint32
	rxCount, txCount, other, combinedUsed uint32
}

// ethtoolChannels asks the driver how many queues it uses.
//
// Sound because the kernel reads and writes only the two structures, of the layout and size that it expects for this
// request; both are kept alive, and the pointer between them valid, until the call has returned (c is pinned, as the
// garbage collector does not see the pointer in the request).
func ethtoolChannels(fd int, name string) (c channels, err error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	p := &channels{cmd: ethtoolGetChannels}
	pin.Pin(p)
	var req struct {
		name [unix.IFNAMSIZ]byte
		data uintptr
		_    [16]byte // struct ifreq is larger than what this request uses of it
	}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	req.data = uintptr(unsafe.Pointer(p))
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(p)
	if e != 0 {
		return c, e
	}
	return *p, nil
}
