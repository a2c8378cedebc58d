package xsk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"runtime"

	"github.com/cilium/ebpf"

	"dirsw/clock"
	"dirsw/forward"
	"dirsw/packet"
)

const (
	maxFlows      = 1 << 24
	window        = 16   // places from the one where a connection belongs, among which it is
	waysOfWorker  = 8192 // real servers that a worker can tell of
	maxWorkers    = 256  // that a state can number
	claimed       = 0xff // protocol of a place that is being filled
	protoMask     = 0xff
	workerShift   = 8
	serialStep    = 1 << 16
	serialMask    = ^uint32(serialStep - 1)
	wayPlain      = 1
	wayInside4    = 2
	wayInside6    = 3
	wayMayCut     = 128
	hashFactor    = 0x9e3779b97f4a7c15
	placesForFlow = 2
)

// flows is the accelerator of a Set (bpf/flows.bpf.h): a table of connections that the programs of all ports forward by
// themselves, in memory that they share with the workers. A connection is at the place that its hash says, or at one of the
// next, of which the first tells how many must be looked at. A worker claims a free place by compare-and-swap of its state, fills
// it in, and gives it the state by which programs find it; the serial number in that, another one each time, tells a program
// which has found an entry whether it still is what it was.
type flows struct {
	table   shared[flow]
	ways    shared[way]
	beats   shared[beat]
	devices *ebpf.Map
	seed    uint64
	room    int   // connections of each worker
	epoch   int64 // CLOCK_MONOTONIC when the clock of the workers was 0
	sends   [maxPorts]bool
	workers []*quickLane
}

// newFlows makes the maps.
func newFlows(o *Options) (_ *flows, err error) {
	if runtime.GOARCH != "amd64" { // what program and worker rely on is the order in which it makes stores visible
		return nil, fmt.Errorf("accelerate: not on %s; leave it out", runtime.GOARCH)
	}
	if o.Accelerate > maxFlows || o.Workers > maxWorkers {
		return nil, fmt.Errorf("accelerate: %d connections for %d workers; at most %d for %d", o.Accelerate, o.Workers, maxFlows, maxWorkers)
	}
	spec, err := loadFilter()
	if err != nil {
		return nil, err
	}
	f := &flows{seed: rand.Uint64(), room: max(o.Accelerate/o.Workers, 1), epoch: o.Epoch}
	for id := range o.Workers {
		f.workers = append(f.workers, &quickLane{f: f, id: uint32(id)})
	}
	defer func() {
		if err != nil {
			err = explain("make the table of the accelerator", errors.Join(err, f.close()), nil)
		}
	}()
	places := 1 << bits.Len(uint(max(placesForFlow*o.Accelerate, window)-1))
	if f.table, err = newShared[flow](spec.Maps[filterMapFlows], places); err != nil {
		return nil, err
	}
	if f.ways, err = newShared[way](spec.Maps[filterMapWays], o.Workers*waysOfWorker); err != nil {
		return nil, err
	}
	if f.beats, err = newShared[beat](spec.Maps[filterMapBeats], o.Workers); err != nil {
		return nil, err
	}
	devices := spec.Maps[filterMapInterfaces]
	devices.MaxEntries = maxPorts
	f.devices, err = ebpf.NewMap(devices)
	return f, err
}

// maps are those that the programs of all ports share.
func (f *flows) maps() map[string]*ebpf.Map {
	return map[string]*ebpf.Map{filterMapFlows: f.table.kernel, filterMapWays: f.ways.kernel, filterMapBeats: f.beats.kernel,
		filterMapInterfaces: f.devices}
}

// tell makes spec the program of a port with the accelerator.
func (f *flows) tell(spec *ebpf.CollectionSpec, unfinished bool) error {
	known := map[string]any{filterVarPlaces: uint32(len(f.table.entries)), filterVarSeed: f.seed}
	if unfinished {
		known[filterVarUnfinished] = uint32(1)
	}
	for name, v := range known {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("tell the packet filter of the accelerator: %w", err)
		}
	}
	return nil
}

// connect lets the programs send by those ports that can do it, and by no others. They are attached, and no worker runs.
func (f *flows) connect(ports []port) error {
	for i := range ports {
		p := &ports[i]
		was := f.sends[i]
		f.sends[i] = !p.Tap && !p.Absent && (p.gate == nil || p.gate.mode == "native")
		if f.sends[i] && !takesFrames(p.Index) {
			f.sends[i] = false
			p.slow = "its driver, or that of its veth peer, does not take frames from the accelerator (of veth: \"ethtool -K PEER gro on\")"
		}
		var err error
		if f.sends[i] {
			err = f.devices.Put(uint32(i), uint32(p.Index))
		} else if was {
			err = f.devices.Delete(uint32(i))
		}
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) { // an interface that has vanished takes its entry along
			return explain("let the accelerator send by "+p.Name, err, nil)
		}
	}
	return nil
}

func (f *flows) close() error {
	errs := []error{f.table.close(), f.ways.close(), f.beats.close()}
	if f.devices != nil {
		errs = append(errs, f.devices.Close())
	}
	return errors.Join(errs...)
}

// mix is a round of the hash: a table that is filled on purpose at one place only makes other connections slower.
func mix(h, word uint64) uint64 {
	h = (h ^ word) * hashFactor
	return h ^ h>>32
}

// home returns the place where a connection belongs; it must be taken modulo the table.
func (f *flows) home(k *packet.Tuple, ports uint32) uint32 {
	le := binary.LittleEndian
	h := mix(f.seed, uint64(ports)<<8|uint64(k.Proto))
	if k.Family == packet.IPv6Family {
		h = mix(h, le.Uint64(k.Src[:8]))
		h = mix(h, le.Uint64(k.Dst[:8]))
	}
	h = mix(h, le.Uint64(k.Src[8:]))
	return uint32(mix(h, le.Uint64(k.Dst[8:])) >> 32)
}

// quickLane is the accelerator of one worker.
type quickLane struct {
	f  *flows
	id uint32
}

var _ forward.Accelerator = (*quickLane)(nil)

// Room returns how many connections the worker may put in, and how many ways there are.
func (q *quickLane) Room() (conns, ways int) { return q.f.room, waysOfWorker }

// Sends reports whether the programs can send by a port.
func (q *quickLane) Sends(port uint8) bool { return q.f.sends[port] }

// SetWay says what happens to packets of connections with that way.
func (q *quickLane) SetWay(i uint32, to forward.Shortcut) {
	w := &q.f.ways.entries[q.id*waysOfWorker+i]
	serial := w.serial.Load()
	w.serial.Store(serial | 1)
	w.to, w.from, w.port, w.mtu, w.how, w.outer = to.Dst, to.Src, to.Port, to.MTU, 0, [32]byte{}
	switch {
	case to.Method == forward.DR:
		w.how = wayPlain
	case to.Method == forward.TUN && to.Server.Is4():
		w.how = wayInside4
		copy(w.outer[:], to.Outer[12:])
		copy(w.outer[4:], to.Server[12:])
	case to.Method == forward.TUN:
		w.how = wayInside6
		copy(w.outer[:], to.Outer[:])
		copy(w.outer[16:], to.Server[:])
	}
	if to.MayCut {
		w.how |= wayMayCut
	}
	w.serial.Store((serial | 1) + 1)
}

// Put hands over a connection.
func (q *quickLane) Put(k *packet.Tuple, way uint32) (place uint32, ok bool) {
	ports := uint32(netPort(k.SrcPort)) | uint32(netPort(k.DstPort))<<16
	home, mask := q.f.home(k, ports), uint32(len(q.f.table.entries)-1)
	for i := range uint32(window) {
		place = (home + i) & mask
		e := &q.f.table.entries[place]
		free := e.state.Load()
		if free&protoMask != 0 || !e.state.CompareAndSwap(free, free&serialMask|claimed) {
			continue
		}
		e.src, e.dst, e.ports, e.way = k.Src, k.Dst, ports, q.id*waysOfWorker+way
		e.count.Store(0)
		e.seen.Store(0)
		q.f.extend(home&mask, i)
		e.state.Store(free&serialMask + serialStep | q.id<<workerShift | uint32(k.Proto))
		return place, true
	}
	return 0, false
}

// extend lets programs look as far as i from home.
func (f *flows) extend(home, i uint32) {
	reach := &f.table.entries[home].reach
	for far := reach.Load(); far < i && !reach.CompareAndSwap(far, i); far = reach.Load() {
	}
}

// Read returns what has been sent of a connection.
func (q *quickLane) Read(place uint32) (forward.Passed, clock.Mono) {
	e := &q.f.table.entries[place]
	n := forward.Passed(e.count.Load())
	return n, clock.Mono(int64(e.seen.Load()) - q.f.epoch)
}

// Remove takes a connection back, and returns what has been sent of it. It does so before the place is free: it may be another
// worker's in the next moment.
func (q *quickLane) Remove(place uint32) (forward.Passed, clock.Mono) {
	e := &q.f.table.entries[place]
	serial := e.state.Load()&serialMask + serialStep
	e.state.Store(serial | claimed)
	n, last := q.Read(place)
	e.state.Store(serial)
	return n, last
}

// Beat tells that the worker lives.
func (q *quickLane) Beat(now clock.Mono) {
	q.f.beats.entries[q.id].at.Store(uint64(int64(now) + q.f.epoch))
}
