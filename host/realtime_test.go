package host

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dirsw/internal/testenv"
)

// onOwnThread runs f on a thread that ends with it.
func onOwnThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		f()
	}()
	<-done
}

func TestRealTime(t *testing.T) {
	testenv.NeedNetAdmin(t)
	var here unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &here))
	first := 0
	for !here.IsSet(first) {
		first++
	}
	var was unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_RTTIME, &was))
	defer func() { must(t, unix.Setrlimit(unix.RLIMIT_RTTIME, &was)) }()
	for _, c := range []struct {
		name     string
		r        RealTime
		policy   uint32
		priority uint32
		nice     int32
	}{
		{"round robin", RealTime{Priority: 50}, unix.SCHED_RR, 50, 0},
		{"no more than there is", RealTime{Priority: 1000}, unix.SCHED_RR, 99, 0},
		{"nice", RealTime{Nice: -7}, unix.SCHED_NORMAL, 0, -7},
		{"nothing", RealTime{}, unix.SCHED_NORMAL, 0, 0},
		{"a processor, and a limit", RealTime{Priority: 1, CPUs: []int{first}, Limit: 10 * time.Second}, unix.SCHED_RR, 1, 0},
	} {
		onOwnThread(func() {
			if err := c.r.Set(); err != nil {
				t.Errorf("%s: %v", c.name, err)
				return
			}
			attr, err := unix.SchedGetAttr(0, 0)
			if err != nil || attr.Policy != c.policy || attr.Priority != c.priority || attr.Nice != c.nice || attr.Flags&unix.SCHED_FLAG_RESET_ON_FORK == 0 {
				t.Errorf("%s: got %+v, %v", c.name, attr, err)
			}
			var set unix.CPUSet
			if err := unix.SchedGetaffinity(0, &set); err != nil || len(c.r.CPUs) > 0 && (set.Count() != 1 || !set.IsSet(first)) || len(c.r.CPUs) == 0 && set != here {
				t.Errorf("%s: runs on %v, %v", c.name, set, err)
			}
			child := make(chan *unix.SchedAttr)
			go func() { a, _ := unix.SchedGetAttr(0, 0); child <- a }()
			if a := <-child; a == nil || a.Policy != unix.SCHED_NORMAL {
				t.Errorf("%s: another goroutine's thread has %+v", c.name, a)
			}
		})
	}
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_RTTIME, &limit))
	if limit.Cur != 10_000_000 || limit.Max != was.Max {
		t.Errorf("the limit of real time is %+v, want 10 s and no other hard one", limit)
	}
	onOwnThread(func() {
		if err := (RealTime{Priority: 5, CPUs: []int{1023}}).Set(); err == nil || !strings.Contains(err.Error(), "1023") {
			t.Errorf("got %v for a processor that there is not", err)
		}
		if attr, err := unix.SchedGetAttr(0, 0); err != nil || attr.Policy != unix.SCHED_RR {
			t.Errorf("what was permitted is not in force: %+v, %v", attr, err)
		}
	})
}

func TestPromoteSecondaries(t *testing.T) {
	here, _, h := pair(t)
	get := func() string {
		v, err := h.sysctl("ipv4", "veth0", "promote_secondaries")
		must(t, err)
		return v
	}
	restore, err := h.PromoteSecondaries("veth0")
	must(t, err)
	if get() != "1" {
		t.Error("it is not set")
	}
	must(t, restore())
	if get() != "0" {
		t.Error("it is not restored")
	}
	restore, err = h.PromoteSecondaries("veth0")
	must(t, err)
	must(t, here.nl.LinkDel(here.link("veth0")))
	must(t, restore())
	if _, err := h.PromoteSecondaries("veth0"); err == nil {
		t.Error("set on a link that is gone")
	}
}
