package host

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// answerTime is how long the kernel may take for one answer over netlink. It answers in microseconds; the limit keeps a
// bug from hanging the caller.
const answerTime = 5 * time.Second

// Options are the choices of Open. The zero value works.
type Options struct {
	Log *zap.Logger // nil: nothing is logged
}

// Host is the kernel of this machine, as seen from one network namespace.
type Host struct {
	log *zap.Logger

	ns    netns.NsHandle // where Open was called
	ns64  string         // its identity
	links *netlink.Handle
	raw   map[int]*nl.SocketHandle // for requests that netlink has no method for
	ether int                      // socket for ethtool requests

	loans loans // settings of links

	mu    sync.Mutex
	asked map[neighbour]int // solicitations sent for a stale neighbour since it was last confirmed; see Resolve
}

// neighbour is the key of an entry of the kernel's neighbour tables.
type neighbour struct {
	link int
	addr netip.Addr
}

// heldAddr is an address on a link.
type heldAddr struct {
	link   int
	prefix netip.Prefix
}

// Open connects to the kernel. It needs no privilege; HoldAddr and Resolve need CAP_NET_ADMIN, Announce and Resolve
// CAP_NET_RAW.
func Open(o Options) (*Host, error) {
	h := &Host{log: o.Log, ns: netns.None(), ether: -1, asked: map[neighbour]int{}}
	if h.log == nil {
		h.log = zap.NewNop()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := h.open(); err != nil {
		h.Close()
		return nil, fmt.Errorf("connect to the kernel: %w", err)
	}
	return h, nil
}

// open opens every socket in the namespace of the calling thread.
func (h *Host) open() error {
	var err error
	if h.ns, err = netns.Get(); err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	h.ns64 = h.ns.UniqueId()
	families := []int{unix.NETLINK_ROUTE, unix.NETLINK_GENERIC}
	if h.links, err = netlink.NewHandle(families...); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	if err := h.links.SetSocketTimeout(answerTime); err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	h.raw = map[int]*nl.SocketHandle{}
	limit := unix.NsecToTimeval(answerTime.Nanoseconds())
	for _, f := range families {
		s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), f)
		if err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		h.raw[f] = &nl.SocketHandle{Socket: s}
		if err := errors.Join(s.SetSendTimeout(&limit), s.SetReceiveTimeout(&limit)); err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
	}
	if h.ether, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		h.ether = -1
		return fmt.Errorf("socket for ethtool: %w", err)
	}
	return nil
}

// Close gives the sockets back. Addresses still held stay until their lifetime ends. No other method may be called
// after it; a Watch ends with its context, not with Close.
func (h *Host) Close() error {
	if h.links != nil {
		h.links.Close()
		h.links = nil
	}
	for _, s := range h.raw {
		s.Close()
	}
	h.raw = nil
	var err error
	if h.ether >= 0 {
		err = unix.Close(h.ether)
		h.ether = -1
	}
	if h.ns.IsOpen() {
		err = errors.Join(err, h.ns.Close())
	}
	return err
}

// request makes a netlink request over the sockets that belong to h.
func (h *Host) request(kind, flags int) *nl.NetlinkRequest {
	return &nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{
			Len:   uint32(unix.SizeofNlMsghdr),
			Type:  uint16(kind),
			Flags: uint16(unix.NLM_F_REQUEST | flags),
		},
		Sockets: h.raw,
	}
}

// within runs f on a thread in the namespace of h, where the sockets that f opens then belong. Only if the calling
// thread is elsewhere, as in a process that tends several namespaces, does that need CAP_SYS_ADMIN.
func (h *Host) within(f func() error) error {
	runtime.LockOSThread()
	here, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("network namespace: %w", err)
	}
	defer here.Close()
	if here.UniqueId() == h.ns64 {
		defer runtime.UnlockOSThread()
		return f()
	}
	if err := netns.Set(h.ns); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("enter network namespace: %w", err)
	}
	defer func() {
		if netns.Set(here) == nil {
			runtime.UnlockOSThread() // otherwise the thread is lost: it ends with its goroutine
		}
	}()
	return f()
}
