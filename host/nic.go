package host

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// NIC is what a link says of itself beside Link: how it spreads frames over its queues, and what it does to them.
type NIC struct {
	Link
	MaxQueues, MaxTxQueues int      // that it could have; 0: it has no channels to set
	Combined               bool     // its channels receive and transmit, both
	Indirection            []uint32 // queue by slot of the hash; empty: it does not say
	Offloads               []string // that are on, by the names of `ethtool -k` in the kernel: "rx-gro", "rx-lro"
	// XDP is what its driver can do (enum netdev_xdp_act of linux/netdev.h). XDPKnown is false before Linux 6.3.
	XDP      XDPFeatures
	XDPKnown bool
	// MemberOf and Over are the names of Master and Parent, MasterKind is the Kind of the first.
	MemberOf, Over, MasterKind string
}

// XDPFeatures are bits of enum netdev_xdp_act.
type XDPFeatures uint64

// The features that concern AF_XDP.
const (
	XDPBasic    XDPFeatures = 1 << iota // programs run in the driver
	XDPRedirect                         // frames are passed on to sockets
	XDPTransmit                         // frames of other devices are sent
	XDPZeroCopy                         // sockets work on the driver's frames in place
)

// Of generic netlink, where x/sys has no name for them: linux/netdev.h and linux/ethtool_netlink_generated.h.
const (
	netdevDevGet      = 1
	netdevIfIndex     = 1
	netdevXDPFeatures = 3
	rssIndir          = 4
	ethtoolHeader     = 1 // in every request
)

// NIC asks everything about the link of that name that there is to know for spreading frames.
func (h *Host) NIC(name string) (NIC, error) {
	l, err := h.Link(name)
	if err != nil {
		return NIC{}, err
	}
	n := NIC{Link: l}
	if l.Master != 0 {
		if other, err := h.links.LinkByIndex(l.Master); err == nil {
			n.MemberOf, n.MasterKind = other.Attrs().Name, other.Type()
		}
	}
	if l.Parent != 0 && l.Kind != "veth" { // a veth's parent is its peer, perhaps of another namespace
		if other, err := h.links.LinkByIndex(l.Parent); err == nil {
			n.Over = other.Attrs().Name
		}
	}
	h.maxChannels(&n)
	h.indirection(&n)
	h.offloads(&n)
	return n, h.xdpFeatures(&n)
}

// ask sends a request of generic netlink about a link and returns the attributes of the answer; none if the kernel or the
// driver does not know the question.
func (h *Host) ask(family string, command, version uint8, attrs ...*nl.RtAttr) ([]attribute, error) {
	f, err := h.links.GenlFamilyGet(family)
	if err != nil {
		return nil, nil // no such family: an older kernel
	}
	req := h.request(int(f.ID), 0)
	req.AddRawData([]byte{command, version, 0, 0}) // not nl.Genlmsg: it leaves the last two bytes, which must be 0, to chance
	for _, a := range attrs {
		req.AddRawData(a.Serialize())
	}
	answers, err := req.Execute(unix.NETLINK_GENERIC, 0)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENODEV) || err == nil && (len(answers) == 0 || len(answers[0]) < nl.SizeofGenlmsg) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseAttributes(answers[0][nl.SizeofGenlmsg:]), nil
}

// attribute is one of generic netlink.
type attribute struct {
	kind  uint16
	value []byte
}

func (a attribute) uint32() uint32 {
	if len(a.value) < 4 {
		return 0
	}
	return nl.NativeEndian().Uint32(a.value)
}

// parseAttributes reads them as far as they are well formed.
func parseAttributes(b []byte) (out []attribute) {
	list, err := nl.ParseRouteAttr(b)
	if err != nil {
		return nil
	}
	for _, a := range list {
		out = append(out, attribute{a.Attr.Type & nl.NLA_TYPE_MASK, a.Value})
	}
	return out
}

// ethtool asks about link index.
func (h *Host) ethtool(command uint8, index int) []attribute {
	header := nl.NewRtAttr(ethtoolHeader|unix.NLA_F_NESTED, nil)
	header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_INDEX, nl.Uint32Attr(uint32(index)))
	attrs, err := h.ask(unix.ETHTOOL_GENL_NAME, command, unix.ETHTOOL_GENL_VERSION, header)
	if err != nil {
		return nil // a driver may answer with what it likes; then there is nothing to say
	}
	return attrs
}

func (h *Host) maxChannels(n *NIC) {
	for _, a := range h.ethtool(unix.ETHTOOL_MSG_CHANNELS_GET, n.Index) {
		v := int(a.uint32())
		switch a.kind {
		case unix.ETHTOOL_A_CHANNELS_RX_MAX:
			n.MaxQueues += v
		case unix.ETHTOOL_A_CHANNELS_TX_MAX:
			n.MaxTxQueues += v
		case unix.ETHTOOL_A_CHANNELS_COMBINED_MAX:
			n.MaxQueues, n.MaxTxQueues, n.Combined = n.MaxQueues+v, n.MaxTxQueues+v, v > 0
		}
	}
}

func (h *Host) indirection(n *NIC) {
	for _, a := range h.ethtool(unix.ETHTOOL_MSG_RSS_GET, n.Index) {
		if a.kind == rssIndir {
			for b := a.value; len(b) >= 4; b = b[4:] {
				n.Indirection = append(n.Indirection, nl.NativeEndian().Uint32(b))
			}
		}
	}
}

// offloads reads the features that are on: a set of bits that come with their names.
func (h *Host) offloads(n *NIC) {
	for _, a := range h.ethtool(unix.ETHTOOL_MSG_FEATURES_GET, n.Index) {
		if a.kind != unix.ETHTOOL_A_FEATURES_ACTIVE {
			continue
		}
		for _, set := range parseAttributes(a.value) {
			if set.kind != unix.ETHTOOL_A_BITSET_BITS {
				continue
			}
			for _, bit := range parseAttributes(set.value) {
				for _, field := range parseAttributes(bit.value) {
					if bit.kind == unix.ETHTOOL_A_BITSET_BITS_BIT && field.kind == unix.ETHTOOL_A_BITSET_BIT_NAME {
						n.Offloads = append(n.Offloads, nl.BytesToString(field.value))
					}
				}
			}
		}
	}
	slices.Sort(n.Offloads)
}

func (h *Host) xdpFeatures(n *NIC) error {
	attrs, err := h.ask("netdev", netdevDevGet, 1, nl.NewRtAttr(netdevIfIndex, nl.Uint32Attr(uint32(n.Index))))
	if err != nil {
		return fmt.Errorf("ask what XDP %s can do: %w", n.Name, err)
	}
	for _, a := range attrs {
		if a.kind == netdevXDPFeatures && len(a.value) >= 8 {
			n.XDP, n.XDPKnown = XDPFeatures(nl.NativeEndian().Uint64(a.value)), true
		}
	}
	return nil
}
