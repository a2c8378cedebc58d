package xsk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"dirsw/forward"
	"dirsw/packet"
)

// Kinds of keys in the maps of the filter, besides those of forward.FilterKind (bpf/filter.bpf.c).
const (
	kindOwn     uint8 = 3
	kindShut    uint8 = 4
	kindFamily4 uint8 = 64
	kindPart    uint8 = 128
)

// What there is besides services on single addresses (bpf/filter.bpf.c).
const (
	extraServers uint32 = 1 << iota
	extraTunnels
	extraPrefixes
	extraShut
)

// keySets is what all gates look frames up in. The director uses it, under the lock of its Set.
type keySets struct {
	services kernelSet[filterService]
	prefixes kernelSet[filterWide]
	most     int    // keys of a forward.Filter
	refused  uint64 // frames to addresses that were shut, and are not any more
}

// kernelSet is a map of the kernel that serves as a set.
type kernelSet[K comparable] struct {
	kernel *ebpf.Map
	have   map[K]bool // what the kernel's map holds
}

// newKeySets makes the maps. A key may need a second entry for its fragments, and old and new are there at once.
func newKeySets(most int) (*keySets, error) {
	spec, err := loadFilter()
	if err != nil {
		return nil, err
	}
	m := &keySets{most: most}
	if m.services, err = newKernelSet[filterService](spec.Maps[filterMapServices], 4*most); err != nil {
		return nil, explain("make the map of services", err, nil)
	}
	if m.prefixes, err = newKernelSet[filterWide](spec.Maps[filterMapPrefixes], 4*most); err != nil {
		_ = m.close()
		return nil, explain("make the map of prefixes", err, nil)
	}
	return m, nil
}

func newKernelSet[K comparable](spec *ebpf.MapSpec, most int) (kernelSet[K], error) {
	spec.MaxEntries = uint32(most)
	kernel, err := ebpf.NewMap(spec)
	return kernelSet[K]{kernel, map[K]bool{}}, err
}

func (m *keySets) close() error {
	err := m.services.kernel.Close()
	if m.prefixes.kernel != nil {
		err = errors.Join(err, m.prefixes.kernel.Close())
	}
	return err
}

// set makes f what is taken. What is new is added before what is gone is removed, so that a service which is in both in
// other words, such as one port of what was all ports, is not interrupted. It may take some 20 ms. Between the two,
// announce is told of which extras there may be, and in the end of those that there are.
func (m *keySets) set(f forward.Filter, announce func(extras uint32) error) error {
	if n := len(f.Keys) + len(f.Own) + len(f.Shut); n > m.most {
		return fmt.Errorf("%d addresses and ports of services and servers, the packet filter has room for %d", n, m.most)
	}
	services, prefixes := keysOf(f)
	addS, removeS := difference(m.services.have, services)
	addP, removeP := difference(m.prefixes.have, prefixes)
	// Addresses of the director first: what comes from a server to them must not be taken for a moment.
	addS = ownFirst(addS)
	if err := errors.Join(m.services.add(addS), m.prefixes.add(addP)); err != nil {
		return fmt.Errorf("add to the packet filter: %w", err)
	}
	if err := announce(m.extras()); err != nil {
		return err
	}
	if len(addS)+len(addP) > 0 && len(removeS)+len(removeP) > 0 {
		gracePeriod()
	}
	for _, k := range removeS {
		m.refused += m.count(k)
	}
	if err := errors.Join(m.services.remove(removeS), m.prefixes.remove(removeP)); err != nil {
		return fmt.Errorf("remove from the packet filter: %w", err)
	}
	return announce(m.extras())
}

// extras says what the maps hold besides services on single addresses.
func (m *keySets) extras() (x uint32) {
	for k := range m.services.have {
		switch k.Kind {
		case uint8(forward.FromServer):
			x |= extraServers
		case uint8(forward.Tunnelled):
			x |= extraTunnels
		case kindShut:
			x |= extraShut
		}
	}
	if len(m.prefixes.have) > 0 {
		x |= extraPrefixes
	}
	return x
}

// count is how many frames to an address that is shut were dropped; 0 for other keys. The kernel counts modulo 2^32.
func (m *keySets) count(k filterService) uint64 {
	var v uint32
	if k.Kind != kindShut || m.services.kernel.Lookup(k, &v) != nil {
		return 0
	}
	return uint64(v - 1)
}

// dropped is how many frames to addresses that are or were shut were dropped.
func (m *keySets) dropped() uint64 {
	n := m.refused
	for k := range m.services.have {
		n += m.count(k)
	}
	return n
}

func (s *kernelSet[K]) add(keys []K) error {
	for _, k := range keys {
		if err := s.kernel.Put(k, uint32(1)); err != nil {
			return err
		}
		s.have[k] = true
	}
	return nil
}

func (s *kernelSet[K]) remove(keys []K) error {
	for _, k := range keys {
		if err := s.kernel.Delete(k); err != nil {
			return err
		}
		delete(s.have, k)
	}
	return nil
}

const (
	membarrierGlobal = 1  // MEMBARRIER_CMD_GLOBAL of linux/membarrier.h
	gracePause       = 20 // milliseconds, far longer than a filter runs
)

// gracePeriod returns when every run of a filter that was going on has ended. A filter looks for the port first, then for
// all ports: one that has missed the port just before it was added must find all ports, before they are removed.
// membarrier(2) waits for what a filter runs under (synchronize_rcu); where it is not to be had, time passes instead.
func gracePeriod() {
	if _, _, e := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); e != 0 {
		_, _ = unix.Poll(nil, gracePause)
	}
}

// keysOf lists the entries for a filter: each key, and for later fragments its address and protocol.
func keysOf(f forward.Filter) (services map[filterService]bool, prefixes map[filterWide]bool) {
	services, prefixes = make(map[filterService]bool, 2*len(f.Keys)+len(f.Own)), map[filterWide]bool{}
	for _, k := range f.Keys {
		addr, kind := words(k.Addr), uint8(k.Kind)
		if k.Kind == forward.ToService && k.Free > 0 {
			w := filterWide{Bits: 160 - uint32(k.Free), Kind: kind, Proto: k.Proto, Port: netPort(k.Port), Addr: addr}
			if k.Addr.Is4() {
				w.Kind |= kindFamily4
			}
			prefixes[w] = true
			w.Kind, w.Port = w.Kind|kindPart, 0
			prefixes[w] = true
			continue
		}
		services[filterService{Addr: addr, Port: netPort(k.Port), Proto: k.Proto, Kind: kind}] = true
		if k.Kind != forward.Tunnelled {
			services[filterService{Addr: addr, Proto: k.Proto, Kind: kind | kindPart}] = true
		}
	}
	for _, a := range f.Own {
		services[filterService{Addr: words(a), Kind: kindOwn}] = true
	}
	for _, a := range f.Shut {
		services[filterService{Addr: words(a), Kind: kindShut}] = true
	}
	return services, prefixes
}

// words returns an address as the filter has it.
func words(a packet.Addr) (w [4]uint32) {
	for i := range w {
		w[i] = binary.NativeEndian.Uint32(a[4*i:])
	}
	return w
}

// netPort returns a port that stands in network order in memory.
func netPort(p uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, p))
}

// ownFirst puts the director's addresses in front.
func ownFirst(keys []filterService) []filterService {
	n := 0
	for i := range keys {
		if keys[i].Kind == kindOwn {
			keys[i], keys[n] = keys[n], keys[i]
			n++
		}
	}
	return keys
}

// difference lists what want has and have has not, and the other way round.
func difference[K comparable](have, want map[K]bool) (add, remove []K) {
	for k := range want {
		if !have[k] {
			add = append(add, k)
		}
	}
	for k := range have {
		if !want[k] {
			remove = append(remove, k)
		}
	}
	return add, remove
}
