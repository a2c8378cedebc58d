package vrrp

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dirsw/clock"
)

// manyAddresses is a plan of one instance with n addresses that no advert names.
func manyAddresses(n int, interval time.Duration) Plan {
	p := simple(150)
	c := &p.Instances[0]
	c.Version, c.Interval = 3, interval
	for i := range n {
		c.Excluded = append(c.Excluded, Address{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 32)})
	}
	return p
}

// TestManyAddressesHoldNoAdvertBack: what takes long is done between the adverts.
func TestManyAddressesHoldNoAdvertBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newWireNet()
		net.slow = 100 * time.Microsecond
		r := NewRunner(Options{Clock: clock.NewSystem(), Net: net})
		if err := r.Apply(manyAddresses(2000, 10*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(150 * time.Millisecond)
		instances, _ := r.States()
		if s := &instances[0]; s.State != Master || s.Stats.Late.Max > 2*slice {
			t.Errorf("%v, and an advert left %v late", s.State, s.Stats.Late.Max)
		}
		time.Sleep(time.Second)
		owned := slices.DeleteFunc(net.took(), func(c string) bool { return !strings.HasPrefix(c, "own ") })
		if len(owned) < 2000 {
			t.Errorf("%d addresses are set", len(owned))
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		gone := slices.DeleteFunc(net.took(), func(c string) bool { return !strings.HasPrefix(c, "disown ") })
		if len(gone) != 2001 {
			t.Errorf("%d addresses are given back", len(gone))
		}
	})
}

// TestNothingIsAnnouncedThatIsGivenUp: a burst does not go on with what a reload takes away, nor with anything once the
// instance is master no more.
func TestNothingIsAnnouncedThatIsGivenUp(t *testing.T) {
	p := manyAddresses(1000, time.Second)
	m, now := NewMachine(), clock.Mono(time.Second)
	m.Link(now, LinkState{Name: "eth0", Up: true, Addrs: []netip.Addr{addr("10.0.0.1")}})
	m.Apply(now, p)
	now = now.Add(4 * time.Second)
	first := announced(m.Timers(now))
	if n := len(first); n != portion {
		t.Fatalf("%d announcements at once", n)
	}
	fewer := manyAddresses(500, time.Second)
	m.Apply(now, fewer)
	all := map[string]int{}
	for m.Next() < now.Add(time.Second/2) {
		now = m.Next()
		for _, a := range announced(m.Timers(now)) {
			all[a]++
		}
	}
	if want := 501; len(all) != want {
		t.Errorf("%d addresses are announced, want %d", len(all), want)
	}
	for a, n := range all {
		if n < p.Instances[0].GARP.Repeat-1 {
			t.Errorf("%s is announced %d times", a, n)
		}
	}
	now = now.Add(5 * time.Second)
	m.Timers(now)
	m.Link(now, LinkState{Name: "eth0"})
	if next := m.Next(); next != never {
		t.Errorf("something is to be done at %v", next)
	}
}

func announced(effects []Effect) (out []string) {
	for _, e := range effects {
		if e.Kind == EffectAnnounce {
			out = append(out, fmt.Sprint(e.Addr))
		}
	}
	return out
}
