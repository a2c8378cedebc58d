package testenv

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// SetQueues has an interface of the calling thread's namespace use that many queues in each direction, as ethtool -L does.
func SetQueues(t testing.TB, name string, n int) {
	t.Helper()
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	family, err := netlink.GenlFamilyGet(unix.ETHTOOL_GENL_NAME)
	if err != nil {
		t.Fatal(err)
	}
	header := nl.NewRtAttr(unix.ETHTOOL_A_CHANNELS_HEADER|unix.NLA_F_NESTED, nil)
	header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_INDEX, nl.Uint32Attr(uint32(ifi.Index)))
	req := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
	req.AddRawData([]byte{unix.ETHTOOL_MSG_CHANNELS_SET, unix.ETHTOOL_GENL_VERSION, 0, 0}) // struct genlmsghdr
	for _, a := range []*nl.RtAttr{header, nl.NewRtAttr(unix.ETHTOOL_A_CHANNELS_RX_COUNT, nl.Uint32Attr(uint32(n))),
		nl.NewRtAttr(unix.ETHTOOL_A_CHANNELS_TX_COUNT, nl.Uint32Attr(uint32(n)))} {
		req.AddRawData(a.Serialize())
	}
	if _, err := req.Execute(unix.NETLINK_GENERIC, 0); err != nil {
		t.Fatalf("have %s use %d queues: %v", name, n, err)
	}
}
