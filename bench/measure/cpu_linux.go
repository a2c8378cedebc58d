package measure

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Pin binds the calling goroutine to a thread and the thread to the last processor that it may use, away from the first
// ones, where interrupts go. The thread ends with the goroutine.
func Pin() error {
	runtime.LockOSThread()
	var may, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return fmt.Errorf("ask for the processors allowed: %w", err)
	}
	last := -1
	for i := range len(may) * 64 {
		if may.IsSet(i) {
			last = i
		}
	}
	one.Set(last)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("pin to processor %d: %w", last, err)
	}
	return nil
}

// ThreadTime returns the processor time that the calling thread has used: what neighbours take is not in it.
func ThreadTime() (time.Duration, error) { return cpuTime(unix.CLOCK_THREAD_CPUTIME_ID) }

// ProcessTime returns the processor time that all threads of this process have used.
func ProcessTime() (time.Duration, error) { return cpuTime(unix.CLOCK_PROCESS_CPUTIME_ID) }

func cpuTime(clock int32) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(clock, &ts); err != nil {
		return 0, fmt.Errorf("read the processor time used: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// PerPacket calls step, which returns how many packets it handled, until d of the thread's time is used, and returns the
// nanoseconds for each. The goroutine must be bound to its thread (Pin).
func PerPacket(d time.Duration, step func() int) (float64, error) {
	const between = 256 // steps between two looks at the clock, which is a system call
	start, err := ThreadTime()
	if err != nil {
		return 0, err
	}
	for n := 0; ; {
		for range between {
			n += step()
		}
		now, err := ThreadTime()
		switch {
		case err != nil:
			return 0, err
		case n == 0:
			return 0, fmt.Errorf("no packet in %d steps", between)
		case now-start >= d:
			return float64(now-start) / float64(n), nil
		}
	}
}
