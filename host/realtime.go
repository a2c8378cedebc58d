package host

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// RealTime is how the kernel is to treat a thread.
type RealTime struct {
	Priority int           // 1 to 99: SCHED_RR; 0: the policy of all others
	Nice     int           // -20 to 19, iff Priority is 0
	CPUs     []int         // which it may run on; empty: as it is
	Limit    time.Duration // of processor time without a pause, after which the kernel sends SIGXCPU; 0: none
	NoSwap   bool          // memory of the whole process stays in memory (mlockall)
}

// Set applies r to the calling thread, whose goroutine must be locked to it (runtime.LockOSThread). Threads that it
// starts do not inherit it. The error joins everything that was not permitted; what was is in force. It needs CAP_SYS_NICE
// and, for NoSwap, CAP_IPC_LOCK, or limits that allow it.
func (r RealTime) Set() error {
	var err error
	if len(r.CPUs) > 0 {
		var set unix.CPUSet
		for _, cpu := range r.CPUs {
			set.Set(cpu)
		}
		if e := unix.SchedSetaffinity(0, &set); e != nil {
			err = errors.Join(err, fmt.Errorf("run on processors %v: %w", r.CPUs, e))
		}
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: int32(r.Nice), Flags: unix.SCHED_FLAG_RESET_ON_FORK}
	if r.Priority > 0 {
		attr.Policy, attr.Priority, attr.Nice = unix.SCHED_RR, uint32(min(r.Priority, 99)), 0
	}
	if e := unix.SchedSetAttr(0, &attr, 0); e != nil {
		err = errors.Join(err, fmt.Errorf("run with %s: %w", r.policy(), e))
	}
	if r.Limit > 0 {
		err = errors.Join(err, r.limit())
	}
	if r.NoSwap {
		// ONFAULT: what the runtime has reserved and not used is not filled with pages.
		if e := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); e != nil {
			err = errors.Join(err, fmt.Errorf("keep memory from being swapped: %w", e))
		}
	}
	return err
}

func (r RealTime) policy() string {
	if r.Priority > 0 {
		return fmt.Sprintf("real-time priority %d", r.Priority)
	}
	return fmt.Sprintf("nice value %d", r.Nice)
}

// limit sets the soft limit only: the Go runtime ignores SIGXCPU, and the hard one would kill the director.
func (r RealTime) limit() error {
	var was unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_RTTIME, &was)
	if err == nil {
		was.Cur = min(uint64(r.Limit.Microseconds()), was.Max)
		err = unix.Setrlimit(unix.RLIMIT_RTTIME, &was)
	}
	if err != nil {
		return fmt.Errorf("limit real time to %v: %w", r.Limit, err)
	}
	return nil
}
