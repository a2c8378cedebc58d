package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"time"

	"dirsw/bench/measure"
	"dirsw/packet"
)

// Footprint is what a process with a worker and its connections takes. For a clean answer it should be measured in a
// process that did nothing else before.
type Footprint struct {
	Connections int     `json:"connections"`
	ResidentMB  float64 `json:"residentMB"` // of the whole process, in 10^6 bytes
	HeapMB      float64 `json:"heapMB"`     // of it, what the garbage collector looks after
	// CollectionUs is the processor time that each of some garbage collections took, all threads together, in
	// microseconds.
	CollectionUs []float64 `json:"collectionUs"`
	ScannedKB    float64   `json:"scannedKB"` // bytes that a collection scans
	StartS       float64   `json:"startS"`    // processor time for making the worker with its empty table, in seconds
}

// MeasureFootprint opens n connections, as a new director would, and looks at the memory and at the work of the garbage
// collector.
func MeasureFootprint(ctx context.Context, n, collections int) (*Footprint, error) {
	var k Case
	k.Servers = servers
	lane := &stream{flows: k.flows(), flags: packet.SYN, end: n}
	before, err := measure.ProcessTime()
	if err != nil {
		return nil, err
	}
	w, s, err := k.worker(lane, max(n, 1_000_000))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	after, err := measure.ProcessTime()
	for err == nil {
		if _, err = w.Step(start); ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if got := s.Services[0].Tally.Read().Conns; !errors.Is(err, io.EOF) || got != uint64(n) || lane.dropped != 0 {
		return nil, fmt.Errorf("%d connections were opened, want %d: %w", got, n, err)
	}
	f := &Footprint{Connections: n, StartS: (after - before).Seconds()}
	runtime.GC()
	for range collections {
		us, err := collect()
		if err != nil {
			return nil, err
		}
		f.CollectionUs = append(f.CollectionUs, us)
	}
	read := []metrics.Sample{{Name: "/gc/scan/total:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(read)
	f.ScannedKB = float64(read[0].Value.Uint64()) / 1e3
	f.HeapMB = float64(read[1].Value.Uint64()) / 1e6
	f.ResidentMB, err = resident()
	return f, err
}

// collect returns what a whole garbage collection costs in processor time, in microseconds. Its duration would say more
// about who else wanted the processors.
func collect() (float64, error) {
	before, err := measure.ProcessTime()
	if err != nil {
		return 0, err
	}
	runtime.GC()
	after, err := measure.ProcessTime()
	return float64(after-before) / float64(time.Microsecond), err
}

// resident returns the memory of this process that is in RAM, in 10^6 bytes (proc_pid_status(5), VmRSS).
func resident() (float64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("ask for resident memory: %w", err)
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
			kB, err := strconv.ParseFloat(string(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB"))), 64)
			return kB * 1024 / 1e6, err
		}
	}
	return 0, errors.New("ask for resident memory: no VmRSS in /proc/self/status")
}
