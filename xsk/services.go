package xsk

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Kinds of keys in the map of services (bpf/filter.bpf.c).
const (
	kindService uint8 = iota
	kindPart
)

// serviceMap is what all gates look frames up in. The director uses it, under the lock of its Set.
type serviceMap struct {
	kernel *ebpf.Map
	most   int                    // services
	have   map[filterService]bool // what the kernel's map holds
}

func newServiceMap(most int) (*serviceMap, error) {
	spec, err := loadFilter()
	if err != nil {
		return nil, err
	}
	m := spec.Maps[filterMapServices]
	m.MaxEntries = uint32(4 * most) // each may need a second entry for its fragments, and old and new are there at once
	kernel, err := ebpf.NewMap(m)
	if err != nil {
		return nil, explain("make the map of services", err, nil)
	}
	return &serviceMap{kernel: kernel, most: most, have: map[filterService]bool{}}, nil
}

// set makes f what is taken. What is new is added before what is gone is removed, so that a service which is in both in
// other words, such as one port of what was all ports, is not interrupted. It may take some 20 ms.
func (m *serviceMap) set(f Filter) error {
	want, n := keysOf(f)
	if n > m.most {
		return fmt.Errorf("%d virtual services, the packet filter has room for %d", n, m.most)
	}
	add, remove := difference(m.have, want)
	for _, k := range add {
		if err := m.kernel.Put(k, uint32(1)); err != nil {
			return fmt.Errorf("add a service to the packet filter: %w", err)
		}
		m.have[k] = true
	}
	if len(add) > 0 && len(remove) > 0 {
		gracePeriod()
	}
	for _, k := range remove {
		if err := m.kernel.Delete(k); err != nil {
			return fmt.Errorf("remove a service from the packet filter: %w", err)
		}
		delete(m.have, k)
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

// keysOf lists the entries for a filter: each service, and for later fragments its address and protocol. It returns how
// many services there are.
func keysOf(f Filter) (keys map[filterService]bool, n int) {
	keys = make(map[filterService]bool, 2*len(f.Services))
	for _, s := range f.Services {
		k := filterService{Proto: s.Proto, Kind: kindPart}
		for i := range k.Addr {
			k.Addr[i] = binary.NativeEndian.Uint32(s.Addr[4*i:])
		}
		keys[k] = true
		k.Kind = kindService
		k.Port = binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, s.Port)) // network order in memory
		if !keys[k] {
			n++
		}
		keys[k] = true
	}
	return keys, n
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
