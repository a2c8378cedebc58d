package script

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/clock"
)

// reapEvery is how long a child must have been a zombie before it counts as nobody's. Whoever starts a program and waits
// for it reaps it within milliseconds.
const reapEvery = 10 * time.Second

// Reap takes the exit statuses of children that nobody waits for, until ctx is done. Programs of the operator's leave
// such when they end before those that they started, and this process is process 1 of a container, or a subreaper: who
// else would take them. It is needless anywhere else.
func Reap(ctx context.Context, c clock.Clock) error {
	seen := make(map[int]bool) // zombies at the last look
	for {
		over := make(chan struct{})
		timer := c.AfterFunc(reapEvery, func() { close(over) })
		select {
		case <-over:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		now := make(map[int]bool)
		for _, pid := range zombies() {
			if !seen[pid] {
				now[pid] = true
				continue
			}
			if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != nil && err != unix.ECHILD {
				return fmt.Errorf("reap process %d: %w", pid, err)
			}
		}
		seen = now
	}
}

// zombies lists the children of this process that have ended.
func zombies() []int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	var out []int
	for _, path := range lists {
		list, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended meanwhile
		}
		for _, word := range bytes.Fields(list) {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", word))
			if err != nil {
				continue
			}
			if end := bytes.LastIndexByte(stat, ')'); end > 0 && bytes.HasPrefix(stat[end:], []byte(") Z")) {
				pid, _ := strconv.Atoi(string(word))
				out = append(out, pid)
			}
		}
	}
	return out
}
