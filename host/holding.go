package host

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Holdings is what one owner has put into the kernel and will take out again: addresses, routes and rules. It has sockets
// of its own, so that who uses it waits for no other part of the program. All methods may be called from any
// goroutine, one after the other; they need CAP_NET_ADMIN.
type Holdings struct {
	host  *Host
	log   *zap.Logger
	links *netlink.Handle // for routes, rules, and whatever needs an answer

	sockMu sync.Mutex // held while the kernel works: it may take long when another process changes the network
	sock   *rtnl

	mu    sync.Mutex // guards what is below, and is never held for long; taken within sockMu
	held  map[heldAddr]*holding
	count map[linkAddress]int // how many that are ours have this address, of whatever prefix
}

// linkAddress is an address on a link, whatever its prefix.
type linkAddress struct {
	link int
	addr netip.Addr
}

// holding is an address that is held. What is in it does not change while it is in Holdings.held.
type holding struct {
	key     heldAddr
	spec    Address
	foreign bool // found there for good: neither prolonged nor removed
}

// OpenHoldings makes an empty Holdings.
func (h *Host) OpenHoldings() (*Holdings, error) {
	o := &Holdings{host: h, log: h.log, held: map[heldAddr]*holding{}, count: map[linkAddress]int{}}
	err := h.within(func() error {
		var err error
		if o.links, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		if err = o.links.SetSocketTimeout(answerTime); err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		o.sock, err = openRTNL()
		return err
	})
	if err != nil {
		_ = o.Close()
		return nil, err
	}
	return o, nil
}

// Close gives the sockets back; what is held stays until its lifetime ends.
func (o *Holdings) Close() error {
	if o.links != nil {
		o.links.Close()
		o.links = nil
	}
	if o.sock == nil {
		return nil
	}
	err := o.sock.close()
	o.sock = nil
	return err
}

// Hold sets addresses that the kernel takes away by itself when lifetime has passed without Prolong (ADR 0003); it counts
// in whole seconds, at least one. A lifetime of 0 means for good.
//
// An address that is there for good was put there by somebody else, and is left as it is; Release will leave it, too.
// One with a lifetime is taken over: the director before this one may have left it. The error joins those of all
// addresses; those that have none are held.
func (o *Holdings) Hold(addrs []Address, lifetime time.Duration) error {
	batch, err := o.resolve(addrs)
	return errors.Join(err, o.hold(batch, lifetime))
}

func (o *Holdings) hold(batch []*holding, lifetime time.Duration) (err error) {
	o.sockMu.Lock()
	defer o.sockMu.Unlock()
	var there map[heldAddr]bool
	for len(batch) > 0 {
		part := batch[:min(len(batch), batchSize)]
		batch = batch[len(part):]
		errs, failed := o.set(part, lifetime, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
		if failed != nil {
			return errors.Join(err, failed)
		}
		var again []*holding
		for i, h := range part {
			switch {
			case errs[i] == nil:
				o.keep(h)
			case errors.Is(errs[i], unix.EEXIST):
				if there == nil {
					var failed error
					if there, failed = o.permanent(); failed != nil {
						return errors.Join(err, failed)
					}
				}
				if was := o.at(h.key); there[h.key] && (was == nil || was.foreign) {
					o.noteForeign(h)
				} else {
					again = append(again, h)
				}
			default:
				err = errors.Join(err, h.failed("add", errs[i]))
			}
		}
		if errs, failed = o.set(again, lifetime, unix.NLM_F_CREATE|unix.NLM_F_REPLACE); failed != nil {
			return errors.Join(err, failed)
		}
		for i, h := range again {
			if errs[i] == nil {
				o.keep(h)
				continue
			}
			err = errors.Join(err, h.failed("add", errs[i]))
		}
	}
	return err
}

// at returns what is held at k, or nil.
func (o *Holdings) at(k heldAddr) *holding {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.held[k]
}

// keep notes that h is held.
func (o *Holdings) keep(h *holding) {
	o.drop(h.key)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held[h.key] = h
	if !h.foreign {
		o.count[linkAddress{h.key.link, h.key.prefix.Addr()}]++
	}
}

// drop notes that nothing is held at k, and returns what was.
func (o *Holdings) drop(k heldAddr) *holding {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.held[k]
	delete(o.held, k)
	if was != nil && !was.foreign {
		a := linkAddress{k.link, k.prefix.Addr()}
		if o.count[a]--; o.count[a] == 0 {
			delete(o.count, a)
		}
	}
	return was
}

func (o *Holdings) noteForeign(h *holding) {
	if o.at(h.key) == nil {
		o.log.Info("address is there for good and left as it is", zap.Stringer("address", h.key.prefix), zap.String("interface", h.spec.Link))
	}
	h.foreign = true
	o.keep(h)
}

// has reports whether an address of a link is held, and not found there for good.
func (o *Holdings) has(link int, a netip.Addr) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count[linkAddress{link, a}] > 0
}

// Prolong gives addresses that are held another lifetime. Those that are not held are passed over, so that it may be
// called beside Release; those that somebody removed meanwhile are set again.
func (o *Holdings) Prolong(addrs []Address, lifetime time.Duration) error {
	batch, err := o.resolve(addrs)
	return errors.Join(err, o.prolongAll(batch, lifetime))
}

func (o *Holdings) prolongAll(batch []*holding, lifetime time.Duration) (err error) {
	for len(batch) > 0 {
		part := batch[:min(len(batch), batchSize)]
		batch = batch[len(part):]
		err = errors.Join(err, o.prolong(part, lifetime))
	}
	return err
}

// prolong does one batch, so that a Release waits for no more.
func (o *Holdings) prolong(part []*holding, lifetime time.Duration) error {
	o.sockMu.Lock()
	defer o.sockMu.Unlock()
	var ours []*holding
	for _, h := range part {
		if was := o.at(h.key); was != nil && !was.foreign {
			ours = append(ours, h)
		}
	}
	errs, err := o.set(ours, lifetime, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	for i := range errs {
		if errs[i] != nil {
			err = errors.Join(err, ours[i].failed("prolong", errs[i]))
		}
	}
	return err
}

// Release takes away addresses that Hold set. That one is gone already, or its link, is no error.
func (o *Holdings) Release(addrs []Address) error { return o.remove(addrs, false) }

// Evict takes away addresses whoever set them, for good or not: at its start a virtual router that is not master must
// not have what a director before it left (keepalived sets its addresses for good).
func (o *Holdings) Evict(addrs []Address) error { return o.remove(addrs, true) }

func (o *Holdings) remove(addrs []Address, all bool) error {
	batch, _ := o.resolve(addrs) // with its link an address went as well
	return o.removeAll(batch, all)
}

func (o *Holdings) removeAll(batch []*holding, all bool) (err error) {
	o.sockMu.Lock()
	defer o.sockMu.Unlock()
	for len(batch) > 0 {
		part := batch[:min(len(batch), batchSize)]
		batch = batch[len(part):]
		var reqs []request
		var of []*holding
		for _, h := range part {
			was := o.drop(h.key)
			if all || was != nil && !was.foreign {
				reqs = append(reqs, request{kind: unix.RTM_DELADDR, body: h.body(0)})
				of = append(of, h)
			}
		}
		errs, failed := o.sock.do(reqs)
		if failed != nil {
			return errors.Join(err, failed)
		}
		for i, e := range errs {
			if e != nil && !errors.Is(e, unix.EADDRNOTAVAIL) && !errors.Is(e, unix.ENODEV) {
				err = errors.Join(err, of[i].failed("remove", e))
			}
		}
	}
	return err
}

// Held counts the addresses that are held.
func (o *Holdings) Held() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.held)
}

// resolve finds the links of addresses. The error joins those whose link does not exist, which are left out.
func (o *Holdings) resolve(addrs []Address) ([]*holding, error) {
	var err error
	index := map[string]int{}
	out := make([]*holding, 0, len(addrs))
	for i := range addrs {
		a := &addrs[i]
		link, known := index[a.Link]
		if !known {
			l, e := o.links.LinkByName(a.Link)
			if e != nil {
				e = fmt.Errorf("address %v: %w: %s", a.Prefix, ErrNoLink, a.Link)
				err = errors.Join(err, e)
			} else {
				link = l.Attrs().Index
			}
			index[a.Link] = link
		}
		if link == 0 {
			continue
		}
		out = append(out, newHolding(link, a))
	}
	return out, err
}

func newHolding(link int, a *Address) *holding {
	h := &holding{spec: *a}
	h.spec.Prefix = netip.PrefixFrom(a.Prefix.Addr().Unmap().WithZone(""), a.Prefix.Bits())
	h.key = heldAddr{link, h.spec.Prefix}
	if a.Peer.IsValid() { // the length of the net is the peer's
		h.key.prefix = netip.PrefixFrom(h.spec.Prefix.Addr(), a.Peer.Bits())
	}
	return h
}

// forgetLink notes that a link is gone, and all its addresses with it.
func (o *Holdings) forgetLink(link int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for k := range o.held {
		if k.link == link {
			delete(o.held, k)
		}
	}
	for k := range o.count {
		if k.link == link {
			delete(o.count, k)
		}
	}
}

// permanent asks which addresses are there without end.
func (o *Holdings) permanent() (map[heldAddr]bool, error) {
	out := map[heldAddr]bool{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		var all []netlink.Addr
		var err error
		for range 5 {
			if all, err = o.links.AddrList(nil, family); !errors.Is(err, netlink.ErrDumpInterrupted) {
				break
			}
		}
		if err != nil {
			return nil, fmt.Errorf("list addresses: %w", err)
		}
		for _, a := range all {
			ones, _ := a.Mask.Size()
			if a.Peer != nil && !a.Peer.IP.Equal(a.IP) {
				ones, _ = a.Peer.Mask.Size()
			}
			if a.Flags&unix.IFA_F_PERMANENT != 0 {
				out[heldAddr{a.LinkIndex, netip.PrefixFrom(fromIP(a.IP), ones)}] = true
			}
		}
	}
	return out, nil
}

// set adds or changes addresses in one batch. o.sockMu must be held.
func (o *Holdings) set(part []*holding, lifetime time.Duration, flags uint16) ([]error, error) {
	if len(part) == 0 {
		return nil, nil
	}
	reqs := make([]request, len(part))
	for i, h := range part {
		reqs[i] = request{kind: unix.RTM_NEWADDR, flags: flags, body: h.body(lifetime)}
	}
	return o.sock.do(reqs)
}

// failed is the error of one address.
func (h *holding) failed(what string, err error) error {
	return fmt.Errorf("%s %v on %s: %w", what, h.key.prefix, h.spec.Link, err)
}
