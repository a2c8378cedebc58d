package measure

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Hardware are counters of the processor for the calling thread, user mode only (perf_event_open(2)).
type Hardware struct{ fds []int }

// HardwareCount is what they counted.
type HardwareCount struct{ Cycles, Instructions, CacheMisses uint64 }

// OpenHardware opens the counters for the calling thread, which the goroutine must be bound to. The error says why there
// are none: virtual machines often have no such counters, and kernel.perf_event_paranoid may forbid them.
func OpenHardware() (*Hardware, error) {
	h := new(Hardware)
	for _, config := range []uint64{unix.PERF_COUNT_HW_CPU_CYCLES, unix.PERF_COUNT_HW_INSTRUCTIONS, unix.PERF_COUNT_HW_CACHE_MISSES} {
		fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_HARDWARE, Config: config, Size: unix.PERF_ATTR_SIZE_VER5,
			Bits: unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv}, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if err != nil {
			h.Close()
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.EOPNOTSUPP):
				return nil, fmt.Errorf("this machine has no hardware counters (perf_event_open: %w)", err)
			case errors.Is(err, fs.ErrPermission):
				return nil, fmt.Errorf("hardware counters need root or kernel.perf_event_paranoid below 3 (perf_event_open: %w)", err)
			}
			return nil, fmt.Errorf("open hardware counters: %w", err)
		}
		h.fds = append(h.fds, fd)
	}
	return h, nil
}

// Read returns what was counted since OpenHardware.
func (h *Hardware) Read() (c HardwareCount, err error) {
	for i, to := range []*uint64{&c.Cycles, &c.Instructions, &c.CacheMisses} {
		var b [8]byte
		if n, err := unix.Read(h.fds[i], b[:]); err != nil || n != len(b) {
			return c, fmt.Errorf("read a hardware counter: %d bytes, %w", n, err)
		}
		*to = binary.NativeEndian.Uint64(b[:])
	}
	return c, nil
}

// Close gives the counters back.
func (h *Hardware) Close() {
	for _, fd := range h.fds {
		unix.Close(fd)
	}
	h.fds = nil
}
