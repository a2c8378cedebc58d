package host

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"

	"dirsw/internal/testenv"
)

// TestWatchQueues sets the number of queues, and then the MTU, which is nobody's news here.
func TestWatchQueues(t *testing.T) {
	here, _, h := pair(t)
	must(t, here.nl.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "four0", NumRxQueues: 4, NumTxQueues: 4}, PeerName: "four1"}))
	var calls atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	must(t, h.WatchQueues(ctx, func() { calls.Add(1) }))
	for i, n := range []int{2, 3} {
		here.do(func() { testenv.SetQueues(t, "four0", n) })
		eventually(t, "the number of queues is told", func() bool { return calls.Load() == int64(i+1) })
		if l, err := h.Link("four0"); err != nil || l.Queues != n || l.TxQueues != n {
			t.Errorf("%d receive and %d transmit queues (%v), want %d", l.Queues, l.TxQueues, err, n)
		}
	}
	must(t, here.nl.LinkSetMTU(here.link("four0"), 1400))
	if n := settle(&calls); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}
