package track

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxExits is how many processes are watched for their end at most. The end of others is seen by the next scan.
const maxExits = 256

// exits waits for the ends of processes, so that an end is told at once (pidfd_open(2); a zombie has ended).
type exits struct {
	ended func() // called, on a goroutine of its own, when a watched process has ended

	mu    sync.Mutex // guards what follows
	files map[int]*os.File
	busy  sync.WaitGroup
}

// watch makes pids the processes that are watched. Those that are gone already, and where the kernel or the limits do
// not let us, are left to the scans.
func (e *exits) watch(pids map[int]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for pid, f := range e.files {
		if !pids[pid] {
			f.Close() // ends its goroutine
			delete(e.files, pid)
		}
	}
	for pid := range pids {
		if e.files[pid] != nil || len(e.files) >= maxExits {
			continue
		}
		fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
		if err != nil {
			continue
		}
		f := os.NewFile(uintptr(fd), "pidfd")
		e.files[pid] = f
		e.busy.Add(1)
		go e.wait(pid, f)
	}
}

// wait waits until a process has ended, or its file is closed.
func (e *exits) wait(pid int, f *os.File) {
	defer e.busy.Done()
	raw, err := f.SyscallConn()
	over := false
	if err == nil {
		err = raw.Read(func(fd uintptr) bool {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(p, 0)
			over = n > 0
			return over || err != nil && err != unix.EINTR
		})
	}
	e.mu.Lock()
	if e.files[pid] == f {
		delete(e.files, pid)
	}
	e.mu.Unlock()
	f.Close()
	if err == nil && over {
		e.ended()
	}
}
