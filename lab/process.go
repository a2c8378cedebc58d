package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// How long a process may take to end after SIGTERM, and after SIGKILL.
const (
	gentle = 20 * time.Second
	final  = 20 * time.Second
)

// startTime returns when a process started, in clock ticks since boot (proc(5), /proc/pid/stat, field 22). With it a
// pid names one process only. One that has ended but was not waited for is an error.
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	i := strings.LastIndex(string(b), ") ") // the second field, in parentheses, may hold anything
	if i < 0 {
		return 0, fmt.Errorf("/proc/%d/stat is not as expected", pid)
	}
	fields := strings.Fields(string(b[i+2:])) // from the third on
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat is not as expected", pid)
	}
	if fields[0] == "Z" || fields[0] == "X" {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// alive reports whether the process that was started then still runs.
func alive(pid int, start uint64) bool {
	now, err := startTime(pid)
	return err == nil && now == start
}

// end ends the process pid that started at start, and waits for it. That it is gone already is no error; another
// process that has got its pid is not touched.
func end(pid int, start uint64) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if !alive(pid, start) { // asked while fd keeps the pid from being used again
		return nil
	}
	for _, s := range []struct {
		signal unix.Signal
		wait   time.Duration
	}{{unix.SIGTERM, gentle}, {unix.SIGKILL, final}} {
		if err := unix.PidfdSendSignal(fd, s.signal, nil, 0); errors.Is(err, unix.ESRCH) {
			return nil
		} else if err != nil {
			return fmt.Errorf("end process %d: %w", pid, err)
		}
		if ended(fd, s.wait) {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end", pid)
}

// ended waits at most d for the process of a pidfd.
func ended(fd int, d time.Duration) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(d.Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return err == nil && n > 0
		}
	}
}

// Inhabitant is a process inside a node.
type Inhabitant struct {
	PID     int
	Command string // the words of its command line
}

// inhabitants lists the processes whose network namespace is the one with that inode.
func inhabitants(inode uint64) ([]Inhabitant, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	want := fmt.Sprintf("net:[%d]", inode)
	var out []Inhabitant
	for _, d := range dirs {
		if is, err := os.Readlink(d + "/ns/net"); err != nil || is != want { // an error: it has just ended
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(d))
		if err != nil {
			continue
		}
		b, _ := os.ReadFile(d + "/cmdline")
		out = append(out, Inhabitant{pid, strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " "))})
	}
	return out, nil
}
