package wire

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// The settings of the kernel's connection tracking that hold for the whole machine: other namespaces can read them only.
const (
	trackMax     = "/proc/sys/net/netfilter/nf_conntrack_max"
	trackBuckets = "/proc/sys/net/netfilter/nf_conntrack_buckets"
)

// makeRoom lets the kernel track n connections, in as many buckets as it would take for that many by itself, and returns what
// puts back what was. Settings that suffice are left alone.
func makeRoom(n int) (undo func() error, err error) {
	var back []func() error
	undo = func() (err error) {
		for i := len(back) - 1; i >= 0; i-- {
			err = errors.Join(err, back[i]())
		}
		return err
	}
	for _, path := range []string{trackBuckets, trackMax} {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return undo, nil // it comes with the first rule that needs it, as great as the kernel makes it
		}
		if err != nil {
			return undo, errors.Join(err, undo())
		}
		was := strings.TrimSpace(string(b))
		if has, err := strconv.Atoi(was); err != nil || has >= n {
			continue // no number: nothing we know how to put back
		}
		back = append(back, func() error { return os.WriteFile(path, []byte(was), 0o644) })
		if err := os.WriteFile(path, []byte(strconv.Itoa(n)), 0o644); err != nil {
			return undo, errors.Join(fmt.Errorf("make room for %d connections: %w", n, err), undo())
		}
	}
	return undo, nil
}

// tracks returns how many connections the kernel can track; all that are asked for if it does not say.
func tracks(asked int) int {
	b, err := os.ReadFile(trackMax)
	if err != nil {
		return asked
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return asked
	}
	return n
}
