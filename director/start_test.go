package director

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/host"
	"dirsw/packet"
)

// TestStartThatFailsLeavesNothing: what was put in force before the packet filter refused is taken back.
func TestStartThatFailsLeavesNothing(t *testing.T) {
	w, err := forward.NewWorker(0, forwardtest.New(t, forwardtest.Options{}), forward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	full := errors.New("the map is full")
	wo := &world{w: w, hops: map[netip.Addr]host.Hop{}, owns: map[netip.Prefix]bool{}, rang: make(chan struct{}, 1), fail: full}
	d := New(Options{Clock: clock.NewSystem(), Log: zap.NewNop(), Host: wo, Statics: wo, Net: electorate{wo}, Filter: wo, Workers: []*forward.Worker{w},
		Ports: []Port{{Name: "eth0", Link: 7, MAC: packet.MAC{2, 0, 0, 0, 0, 1}}}, Model: parse(t, directorConf)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx, clock.NewSystem()) }()
	if err := d.Run(t.Context()); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
	cancel()
	<-done
	if got := wo.took(); !strings.HasSuffix(got, "filter []") || strings.Contains(got, "own ") {
		t.Errorf("it did:\n%s", got)
	}
}
