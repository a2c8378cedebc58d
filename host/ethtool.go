package host

import (
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// driver names the driver of l. The ioctl answers for the namespace of its socket, unlike sysfs, which shows the
// namespace it was mounted in.
func (h *Host) driver(l netlink.Link) string {
	if info, err := unix.IoctlGetEthtoolDrvinfo(h.ether, l.Attrs().Name); err == nil {
		if name := unix.ByteSliceToString(info.Driver[:]); name != "" {
			return name
		}
	}
	return l.Type()
}

// queues returns how many receive and transmit queues of l are in use: what ethtool calls channels, or, from a driver
// that has no channels, all that it was made with. A tun device reserves 256 and uses as many as it has open files.
func (h *Host) queues(l netlink.Link) (rx, tx int) {
	rx, tx, ok := h.channels(l.Attrs().Index)
	if !ok {
		rx, tx = l.Attrs().NumRxQueues, l.Attrs().NumTxQueues
		if _, tun := l.(*netlink.Tuntap); tun {
			rx, tx = 1, 1
		}
	}
	return max(rx, 1), max(tx, 1)
}

// channels asks for the channels of a link over generic netlink (Documentation/networking/ethtool-netlink.rst,
// ETHTOOL_MSG_CHANNELS_GET): those of one direction, and those that do both.
func (h *Host) channels(index int) (rx, tx int, ok bool) {
	family, err := h.links.GenlFamilyGet(unix.ETHTOOL_GENL_NAME)
	if err != nil {
		return 0, 0, false
	}
	req := h.request(int(family.ID), 0)
	req.AddData(&nl.Genlmsg{Command: unix.ETHTOOL_MSG_CHANNELS_GET, Version: unix.ETHTOOL_GENL_VERSION})
	header := nl.NewRtAttr(unix.ETHTOOL_A_CHANNELS_HEADER|unix.NLA_F_NESTED, nil)
	header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_INDEX, nl.Uint32Attr(uint32(index)))
	req.AddData(header)
	answers, err := req.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil || len(answers) == 0 || len(answers[0]) < nl.SizeofGenlmsg {
		return 0, 0, false
	}
	attrs, err := nl.ParseRouteAttr(answers[0][nl.SizeofGenlmsg:])
	if err != nil {
		return 0, 0, false
	}
	for _, a := range attrs {
		if len(a.Value) < 4 {
			continue
		}
		n := int(nl.NativeEndian().Uint32(a.Value))
		switch a.Attr.Type {
		case unix.ETHTOOL_A_CHANNELS_RX_COUNT:
			rx += n
		case unix.ETHTOOL_A_CHANNELS_TX_COUNT:
			tx += n
		case unix.ETHTOOL_A_CHANNELS_COMBINED_COUNT:
			rx, tx = rx+n, tx+n
		}
	}
	return rx, tx, rx > 0
}
