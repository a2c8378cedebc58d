//go:build linux

package conntrack

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"dirsw/clock"
	"dirsw/packet"
)

// hugeBytes returns how much of the mapping that p lies in is in huge pages.
func hugeBytes(t *testing.T, p unsafe.Pointer) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	inside := false
	for line := range strings.Lines(string(text)) {
		if from, rest, ok := strings.Cut(line, "-"); ok && !strings.Contains(from, " ") {
			to, _, _ := strings.Cut(rest, " ")
			lo, _ := strconv.ParseUint(from, 16, 64)
			hi, _ := strconv.ParseUint(to, 16, 64)
			inside = lo <= uint64(uintptr(p)) && uint64(uintptr(p)) < hi
		}
		if value, ok := strings.CutPrefix(line, "AnonHugePages:"); ok && inside {
			kB, _ := strconv.Atoi(strings.Fields(value)[0])
			return kB << 10
		}
	}
	t.Fatal("the mapping is not there")
	return 0
}

// TestIndexGetsHugePages: with few connections the index has small pages, with many it gets huge ones, one at a time, and
// everything is found all the while.
func TestIndexGetsHugePages(t *testing.T) {
	probe, err := syscall.Mmap(-1, 0, 2*hugePage, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Munmap(probe)
	skip := int(-uintptr(unsafe.Pointer(&probe[0])) & (hugePage - 1))
	probe[skip] = 1
	if err := syscall.Madvise(probe[skip:skip+hugePage], madvCollapse); err != nil {
		t.Skipf("this kernel gives no huge pages: %v", err)
	}
	x := newTable(t, Options{MaxConns: 1 << 20, Seed: 1})
	index := unsafe.Pointer(&x.index.cells[0])
	pages := len(x.small) / hugePage
	now := start
	var k packet.Tuple
	open := func(from, to uint32) {
		for i := from; i < to; i++ {
			s := Spec{RealPort: 80, Flags: OneWay, Event: TCPAck}
			flow(&s.Tuple, i)
			s.Real = s.Dst
			if _, err := x.Insert(&s, x.Hash(&s.Tuple), now); err != nil {
				t.Fatal(err)
			}
		}
	}
	breath := func(after clock.Mono) {
		now += after
		x.Expire(now, 64, nil)
	}
	open(0, 1000)
	for range 2 * pages {
		breath(clock.Mono(enlargeEvery))
	}
	if n := hugeBytes(t, index); n != 0 {
		t.Errorf("%d bytes in huge pages for a thousand connections", n)
	}
	open(1000, uint32(x.enlargeFrom))
	for range 10 {
		breath(clock.Mono(enlargeEvery) / 20)
	}
	if n := hugeBytes(t, index); n > hugePage {
		t.Errorf("%d bytes in huge pages within half of the time that one may take", n)
	}
	total := uint32(x.Len())
	for range 2 * pages {
		breath(clock.Mono(enlargeEvery))
	}
	if n := hugeBytes(t, index); n < pages*hugePage*3/4 { // the machine may be short of some
		t.Errorf("%d bytes in huge pages, want %d", n, pages*hugePage)
	}
	if x.enlargeFrom != never {
		t.Error("it never ends")
	}
	for i := range total {
		flow(&k, i)
		if c, _ := x.Lookup(&k, x.Hash(&k)); c == nil {
			t.Fatalf("connection %d is lost", i)
		}
	}
}
