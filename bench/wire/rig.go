package wire

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// Addresses of the rig: the clients are where RFC 2544 has the one end of a benchmark, the servers at its other end.
// One-armed, the servers are among the clients.
const (
	clientNet   = "198.18.255.254/16" // of the director's first interface
	serverNet   = "198.19.255.254/16" // of its second
	virtual     = "192.0.2.80"
	servicePort = 80
	servers     = 8
)

// MAC addresses by interface.
func mac(n byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0x5e, 0, 0x53, n} }

const (
	clientMAC = iota + 1
	inMAC     // of the director's interface to the client
	outMAC    // to the servers
	serverMAC
)

// rig is the namespaces, what joins them, and the sink.
type rig struct {
	arms                     int
	client, director, server *namespace // server is client if one-armed
	cl, in, out, sv          string     // names of the interfaces; out is in, and sv is cl, if one-armed
	sink                     *sinkObjects
	undo                     []func() error // in reverse order
}

// sinkObjects are the program that takes the frames, and what it counts.
type sinkObjects struct {
	Sink    *ebpf.Program  `ebpf:"sink"`
	Swallow *ebpf.Program  `ebpf:"swallow"`
	Frame   *ebpf.Variable `ebpf:"frame"`
	Arrived *ebpf.Variable `ebpf:"arrived"`
	Strange *ebpf.Variable `ebpf:"strange"`
}

// serverAddr returns the address of server i, from 1.
func (r *rig) serverAddr(i int) string {
	if r.arms == 1 {
		return fmt.Sprintf("198.18.254.%d", i)
	}
	return fmt.Sprintf("198.19.0.%d", i)
}

// newRig builds everything but the director itself, with the sink in place of the servers.
// With swallow it is an XDP program.
func newRig(arms, serial int, swallow bool) (*rig, error) {
	r, err := newNetwork(arms, serial)
	if err != nil {
		return nil, err
	}
	if err := r.attachSink(swallow); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// newNetwork builds the namespaces, what joins them, and the director's addresses. Networks of one process have different
// serial numbers: the kernel's threads for an interface live on for a moment when it is gone, and are known by its name.
func newNetwork(arms, serial int) (r *rig, err error) {
	const ids = 36 * 36 * 36 // more would not fit the name of such a thread
	id := base36(os.Getpid()%ids) + base36(serial%ids)
	r = &rig{arms: arms, cl: "dwc" + id, in: "dwi" + id, out: "dwo" + id, sv: "dws" + id}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	for _, ns := range []**namespace{&r.client, &r.director, &r.server} {
		if ns == &r.server && arms == 1 {
			r.server, r.out, r.sv = r.client, r.in, r.cl
			break
		}
		if *ns, err = newNamespace(); err != nil {
			return r, err
		}
		r.undo = append(r.undo, (*ns).close)
		if err := (*ns).quiet(); err != nil {
			return r, err
		}
	}
	if err := r.wire(); err != nil {
		return r, err
	}
	return r, r.addresses()
}

// base36 writes a number below 36^3 in three digits.
func base36(n int) string {
	s := "00" + strconv.FormatInt(int64(n), 36)
	return s[len(s)-3:]
}

// close removes everything. The director must have ended.
func (r *rig) close() error {
	var errs []error
	for i := len(r.undo) - 1; i >= 0; i-- {
		errs = append(errs, r.undo[i]())
	}
	r.undo = nil
	return errors.Join(errs...)
}

// quiet keeps a namespace from sending by itself and lets it forward what comes from anywhere.
func (n *namespace) quiet() error {
	for _, s := range []struct{ name, value string }{
		{"net/ipv6/conf/all/disable_ipv6", "1"}, {"net/ipv6/conf/default/disable_ipv6", "1"},
		{"net/ipv4/conf/all/rp_filter", "0"}, {"net/ipv4/conf/default/rp_filter", "0"},
		{"net/ipv4/conf/all/send_redirects", "0"}, {"net/ipv4/conf/default/send_redirects", "0"},
		{"net/ipv4/ip_forward", "1"},
	} {
		err := n.set(filepath.Join("/proc/sys", s.name), s.value)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // a kernel without IPv6
			return err
		}
	}
	return n.do(func() error { return up("lo") })
}

func up(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %s up: %w", name, err)
	}
	return nil
}

// wire lays the veth pairs and sets them up.
func (r *rig) wire() error {
	pair := func(a *namespace, name string, m byte, b *namespace, peer string, pm byte) error {
		v := netlink.NewVeth(netlink.LinkAttrs{Name: name, HardwareAddr: mac(m), NumTxQueues: 1, NumRxQueues: 1})
		v.PeerName, v.PeerHardwareAddr, v.PeerNamespace = peer, mac(pm), netlink.NsFd(int(b.handle))
		if err := a.do(func() error { return netlink.LinkAdd(v) }); err != nil {
			return fmt.Errorf("lay %s to %s: %w", name, peer, err)
		}
		return errors.Join(a.do(func() error { return up(name) }), b.do(func() error { return up(peer) }))
	}
	if err := pair(r.client, r.cl, clientMAC, r.director, r.in, inMAC); err != nil {
		return err
	}
	if r.arms == 1 {
		return nil
	}
	return pair(r.server, r.sv, serverMAC, r.director, r.out, outMAC)
}

// addresses gives the director its addresses and tells it the servers' Ethernet addresses. The client needs none.
func (r *rig) addresses() error {
	return r.director.do(func() error {
		all := []struct{ dev, addr string }{{r.in, clientNet}, {"lo", virtual + "/32"}}
		if r.arms == 2 {
			all = append(all, struct{ dev, addr string }{r.out, serverNet})
		}
		for _, a := range all {
			l, err := netlink.LinkByName(a.dev)
			if err != nil {
				return err
			}
			addr, err := netlink.ParseAddr(a.addr)
			if err != nil {
				return err
			}
			if err := netlink.AddrAdd(l, addr); err != nil {
				return fmt.Errorf("address %s on %s: %w", a.addr, a.dev, err)
			}
		}
		for i := range servers {
			if err := neighbour(r.out, net.ParseIP(r.serverAddr(i+1)), r.sinkMAC()); err != nil {
				return err
			}
		}
		return nil
	})
}

// sinkMAC is where the servers are.
func (r *rig) sinkMAC() net.HardwareAddr {
	if r.arms == 1 {
		return mac(clientMAC)
	}
	return mac(serverMAC)
}

// outgoingMAC is the director's address on the way to the servers.
func (r *rig) outgoingMAC() net.HardwareAddr {
	if r.arms == 1 {
		return mac(inMAC)
	}
	return mac(outMAC)
}

// attachSink puts the counting program where the frames arrive.
func (r *rig) attachSink(swallow bool) error {
	spec, err := loadWire()
	if err != nil {
		return err
	}
	if err := spec.Variables[wireVarFrame].Set(template(mac(inMAC), virtual)); err != nil {
		return fmt.Errorf("set the frame of the sink: %w", err)
	}
	o := new(sinkObjects)
	if err := spec.LoadAndAssign(o, nil); err != nil {
		return fmt.Errorf("load the sink: %w", err)
	}
	r.sink = o
	r.undo = append(r.undo, o.Sink.Close, o.Swallow.Close)
	return r.server.do(func() error {
		i, err := net.InterfaceByName(r.sv)
		if err != nil {
			return err
		}
		if swallow {
			l, err := link.AttachXDP(link.XDPOptions{Interface: i.Index, Program: o.Swallow, Flags: link.XDPDriverMode})
			if err != nil {
				return fmt.Errorf("attach the sink: %w", err)
			}
			r.undo = append(r.undo, l.Close)
			return nil
		}
		l, err := link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: o.Sink, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return fmt.Errorf("attach the sink (it needs Linux 6.6 or later): %w", err)
		}
		r.undo = append(r.undo, l.Close)
		return nil
	})
}

// arrived returns how many frames have been forwarded, and how many others have come.
func (r *rig) arrived() (good, strange uint64, err error) {
	if err := r.sink.Arrived.Get(&good); err != nil {
		return 0, 0, fmt.Errorf("read the sink: %w", err)
	}
	if err := r.sink.Strange.Get(&strange); err != nil {
		return 0, 0, fmt.Errorf("read the sink: %w", err)
	}
	return good, strange, nil
}
