package xsk

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"dirsw/packet"
)

// complete asks the kernel for what p does not say, and returns how many queues of each kind are in use, and how many receive
// queues there could be.
func (p *PortOptions) complete() (rx, tx, most int, err error) {
	ifi, err := net.InterfaceByName(p.Name)
	if err != nil {
		return 0, 0, 0, noInterface(p.Name)
	}
	if p.Index == 0 {
		p.Index = ifi.Index
	}
	if p.MAC == (packet.MAC{}) && len(ifi.HardwareAddr) == len(p.MAC) {
		p.MAC = packet.MAC(ifi.HardwareAddr)
	}
	if p.MTU == 0 {
		p.MTU = ifi.MTU
	}
	rx, tx, most = countQueues(p.Name)
	if p.Queues != 0 {
		rx = p.Queues
	}
	return rx, tx, max(rx, most), nil
}

func noInterface(name string) error {
	all, _ := net.Interfaces()
	var names []string
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 {
			names = append(names, i.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("interface %s does not exist, and there is none but the loopback", name)
	}
	return fmt.Errorf("interface %s does not exist; name one of %s", name, strings.Join(names, ", "))
}

// maxQueues is how many queues of a port a filter has room for at most; no driver has nearly as many.
const maxQueues = 4096

// countQueues returns how many queues the driver uses, and how many receive queues it can have; one of each where it does not
// say, as for most virtual devices.
func countQueues(name string) (rx, tx, most int) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 1, 1, 1
	}
	defer unix.Close(fd)
	c, err := ethtoolChannels(fd, name)
	if err != nil {
		return 1, 1, 1
	}
	return max(int(c.rxCount+c.combinedUsed), 1), max(int(c.txCount+c.combinedUsed), 1), min(int(c.maxRx+c.maxCombined), maxQueues)
}

// attached is an XDP program that the kernel reports on an interface.
type attached struct {
	id    uint32
	flags uint32 // of the mode: unix.XDP_FLAGS_DRV_MODE and so on
}

// programsOn lists the XDP programs on the interface of that index (RTM_GETLINK, IFLA_XDP).
func programsOn(index int) ([]attached, error) {
	rib, err := syscall.NetlinkRIB(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return nil, err
	}
	msgs, err := syscall.ParseNetlinkMessage(rib)
	if err != nil {
		return nil, err
	}
	for i := range msgs {
		m := &msgs[i]
		if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg ||
			int(int32(binary.NativeEndian.Uint32(m.Data[4:8]))) != index {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return nil, err
		}
		for _, a := range attrs {
			if a.Attr.Type&^unix.NLA_F_NESTED == unix.IFLA_XDP {
				return parseXDP(a.Value), nil
			}
		}
	}
	return nil, nil
}

// parseXDP reads the attributes nested in IFLA_XDP.
func parseXDP(b []byte) (out []attached) {
	modes := map[uint16]uint32{
		unix.IFLA_XDP_DRV_PROG_ID: unix.XDP_FLAGS_DRV_MODE,
		unix.IFLA_XDP_SKB_PROG_ID: unix.XDP_FLAGS_SKB_MODE,
		unix.IFLA_XDP_HW_PROG_ID:  unix.XDP_FLAGS_HW_MODE,
	}
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return out
		}
		if mode, ok := modes[binary.NativeEndian.Uint16(b[2:])]; ok && n >= unix.SizeofRtAttr+4 {
			out = append(out, attached{binary.NativeEndian.Uint32(b[unix.SizeofRtAttr:]), mode})
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return out
}

// removeProgram takes away a program that was attached over netlink (RTM_SETLINK, IFLA_XDP with no descriptor).
func removeProgram(index int, mode uint32) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ne := binary.NativeEndian
	const none = 0xffffffff // descriptor -1
	xdp := ne.AppendUint32(ne.AppendUint16(ne.AppendUint16(nil, 8), unix.IFLA_XDP_FD), none)
	xdp = ne.AppendUint32(ne.AppendUint16(ne.AppendUint16(xdp, 8), unix.IFLA_XDP_FLAGS), mode)
	msg := make([]byte, unix.SizeofNlMsghdr+unix.SizeofIfInfomsg, 64)
	msg = ne.AppendUint16(msg, uint16(unix.SizeofRtAttr+len(xdp)))
	msg = append(ne.AppendUint16(msg, unix.IFLA_XDP|unix.NLA_F_NESTED), xdp...)
	ne.PutUint32(msg[0:], uint32(len(msg)))
	ne.PutUint16(msg[4:], unix.RTM_SETLINK)
	ne.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	ne.PutUint32(msg[unix.SizeofNlMsghdr+4:], uint32(index))
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	if n >= unix.SizeofNlMsghdr+4 && ne.Uint16(answer[4:]) == unix.NLMSG_ERROR {
		if e := int32(ne.Uint32(answer[unix.SizeofNlMsghdr:])); e != 0 {
			return unix.Errno(-e)
		}
	}
	return nil
}
