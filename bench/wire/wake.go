package wire

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

//go:embed c/wake.c
var wakeSource []byte

// Wake returns the microseconds (median) that it takes to wake a thread on the director's processor that has slept for the
// silence: what no director that sleeps can do without.
func (b *Bench) Wake(ctx context.Context, count int, silence time.Duration) (float64, error) {
	if b.waker == "" {
		return 0, errors.New("there is no C compiler; install gcc or clang")
	}
	out, err := exec.CommandContext(ctx, b.waker, strconv.Itoa(b.first), strconv.Itoa(b.last),
		strconv.FormatInt(silence.Microseconds(), 10), strconv.Itoa(count)).Output()
	if err != nil {
		return 0, fmt.Errorf("wake a thread: %w", err)
	}
	return median(out)
}

// median returns that of numbers, one to a line.
func median(out []byte) (float64, error) {
	var all []float64
	for _, s := range bytes.Fields(out) {
		f, err := strconv.ParseFloat(string(s), 64)
		if err != nil {
			return 0, fmt.Errorf("what is %q? %w", s, err)
		}
		all = append(all, f)
	}
	if len(all) == 0 {
		return 0, errors.New("there are no numbers")
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}
