package director

import (
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/host"
	"dirsw/packet"
)

// leaping is a clock on which nobody waits: what is due later happens at once, and then it is later.
type leaping struct{ now clock.Mono }

func (l *leaping) Now() clock.Mono { return l.now }

func (l *leaping) AfterFunc(d time.Duration, f func()) clock.Timer {
	l.now = l.now.Add(d)
	go f()
	return time.NewTimer(0)
}

// A director that has waited in vain for a worker whose interface is away does not rest after it as after work: what comes
// next, such as the neighbours of the interface that is back, is followed at once.
func TestWaitingIsNoWork(t *testing.T) {
	w, err := forward.NewWorker(0, forwardtest.New(t, forwardtest.Options{}), forward.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	wo := &world{w: w, hops: map[netip.Addr]host.Hop{}, owns: map[netip.Prefix]bool{}}
	c := &leaping{}
	d := New(Options{Clock: c, Log: zap.NewNop(), Host: wo, Net: electorate{wo}, Filter: wo, Workers: []*forward.Worker{w},
		Ports: []Port{{Name: "eth0", Link: 7, MAC: packet.MAC{2, 0, 0, 0, 0, 1}}}, Model: parse(t, directorConf)})
	d.facts = d.gather(d.file)
	if _, err := d.apply(d.file); err != nil {
		t.Fatal(err)
	}
	begin := c.now
	wo.hops[netip.MustParseAddr("192.0.2.1")] = host.Hop{Link: 7, MTU: 1500, Resolved: true}
	d.news()
	if waited := c.now.Sub(begin); waited < adoptWithin {
		t.Fatalf("the worker that does not run was waited for %v", waited)
	}
	if d.rested > c.now {
		t.Errorf("the next news wait %v more", d.rested.Sub(c.now))
	}
}
