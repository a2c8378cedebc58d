package xsk

import (
	"encoding/binary"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Of linux/netdev.h (Linux 6.3).
const (
	netdevGet       = 1 // NETDEV_CMD_DEV_GET
	netdevIndex     = 1 // NETDEV_A_DEV_IFINDEX
	netdevFeatures  = 3 // NETDEV_A_DEV_XDP_FEATURES
	netdevXmit      = 4 // NETDEV_XDP_ACT_NDO_XMIT
	netdevVersion   = 1
	genlHeaderBytes = 4
)

// genlHeader is struct genlmsghdr, whose reserved bytes must be 0; those of nl.Genlmsg are what happens to be there.
type genlHeader struct{ command, version uint8 }

func (genlHeader) Len() int            { return genlHeaderBytes }
func (h genlHeader) Serialize() []byte { return []byte{h.command, h.version, 0, 0} }

// takesFrames reports whether the driver of an interface sends what programs redirect to it. One of veth does so only while its
// peer has a program or GRO, and loses the frames else; kernels that do not say have no accelerator.
func takesFrames(index int) bool {
	family, err := netlink.GenlFamilyGet("netdev")
	if err != nil {
		return false
	}
	r := nl.NewNetlinkRequest(int(family.ID), 0)
	r.AddData(genlHeader{netdevGet, netdevVersion})
	r.AddData(nl.NewRtAttr(netdevIndex, nl.Uint32Attr(uint32(index))))
	answers, err := r.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return false
	}
	for _, a := range answers {
		attrs, err := nl.ParseRouteAttr(a[min(genlHeaderBytes, len(a)):])
		if err != nil {
			return false
		}
		for _, at := range attrs {
			if at.Attr.Type == netdevFeatures && len(at.Value) == 8 {
				return binary.NativeEndian.Uint64(at.Value)&netdevXmit != 0
			}
		}
	}
	return false
}
