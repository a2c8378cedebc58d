package xsk

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Of linux/netdev.h: NETDEV_CMD_NAPI_GET (Linux 6.8) and NETDEV_CMD_NAPI_SET (6.13), NETDEV_A_NAPI_*.
const (
	napiGet     = 11
	napiSet     = 14
	napiIndex   = 1 // interface
	napiID      = 2
	napiDefer   = 5
	napiTimeout = 6
)

// napi is what receives from a queue of an interface, and how long it gathers frames before the interface may interrupt again.
type napi struct {
	id      uint32
	polls   uint32        // empty ones after which the interface may interrupt again
	timeout time.Duration // between two polls meanwhile; 0: it may as soon as nothing is left
}

// napis are the instances of one network namespace.
type napis struct {
	family  uint16
	sockets map[int]*nl.SocketHandle
}

// openNAPIs is for the network namespace of the calling thread.
func openNAPIs() (*napis, error) {
	family, err := netlink.GenlFamilyGet("netdev")
	if err != nil {
		return nil, fmt.Errorf("ask the kernel about receiving (netdev, Linux 6.13): %w", err)
	}
	s, err := nl.Subscribe(unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	return &napis{family: family.ID, sockets: map[int]*nl.SocketHandle{unix.NETLINK_GENERIC: {Socket: s}}}, nil
}

func (n *napis) close() {
	for _, s := range n.sockets {
		s.Close()
	}
}

func (n *napis) request(command uint8, flags int, attrs ...*nl.RtAttr) ([][]byte, error) {
	r := nl.NewNetlinkRequest(int(n.family), flags)
	r.Sockets = n.sockets
	r.AddData(genlHeader{command, netdevVersion})
	for _, a := range attrs {
		r.AddData(a)
	}
	return r.Execute(unix.NETLINK_GENERIC, 0)
}

// of returns the instances of an interface. One without XDP and GRO, of veth, has none.
func (n *napis) of(index int) (out []napi, err error) {
	answers, err := n.request(napiGet, unix.NLM_F_DUMP, nl.NewRtAttr(napiIndex, nl.Uint32Attr(uint32(index))))
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		attrs, err := nl.ParseRouteAttr(a[min(genlHeaderBytes, len(a)):])
		if err != nil {
			return nil, err
		}
		var one napi
		for _, at := range attrs {
			switch at.Attr.Type {
			case napiID:
				one.id = uint32(number(at.Value))
			case napiDefer:
				one.polls = uint32(number(at.Value))
			case napiTimeout:
				one.timeout = time.Duration(number(at.Value))
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// set has an instance gather as it says.
func (n *napis) set(to napi) error {
	_, err := n.request(napiSet, unix.NLM_F_ACK, nl.NewRtAttr(napiID, nl.Uint32Attr(to.id)), nl.NewRtAttr(napiDefer, nl.Uint32Attr(to.polls)),
		nl.NewRtAttr(napiTimeout, nl.Uint32Attr(uint32(to.timeout))))
	return err
}

// number reads an attribute of type uint, which has 4 or 8 bytes.
func number(b []byte) uint64 {
	switch len(b) {
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	case 8:
		return binary.NativeEndian.Uint64(b)
	}
	return 0
}
