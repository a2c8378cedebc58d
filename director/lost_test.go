package director

import (
	"net/netip"
	"testing"

	"dirsw/host"
	"dirsw/packet"
)

// TestLookForClients asks for clients on the link, behind a router, of which the neighbour is silent, and that are not to be reached.
func TestLookForClients(t *testing.T) {
	d, w, _ := start(t)
	at := func(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }
	w.mu.Lock()
	near, far := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("203.0.113.7")
	w.hops[near] = host.Hop{Link: 7, Gateway: near, MTU: 1500}
	w.hops[far] = host.Hop{Link: 7, Gateway: netip.MustParseAddr("192.0.2.1"), MAC: [6]byte{2, 0, 0, 0, 1, 0}, MTU: 1500, Resolved: true}
	w.hops[netip.MustParseAddr("203.0.113.8")] = host.Hop{Link: 8, Resolved: true} // no port of the lanes
	w.hops[netip.MustParseAddr("203.0.113.9")] = host.Hop{Link: 7, Local: true}
	w.asks = 3
	w.mu.Unlock()
	var open []lostClient
	for _, a := range []string{"192.0.2.7", "203.0.113.7", "203.0.113.8", "203.0.113.9", "198.51.100.1"} {
		open = append(open, lostClient{addr: at(a)})
	}
	for i := range 3 { // the neighbour answers the third question
		if open = d.look(open); len(open) != 1 || open[0].addr != at("192.0.2.7") || open[0].tries != i+1 {
			t.Fatalf("after %d looks: %+v", i+1, open)
		}
	}
	if open = d.look(open); len(open) != 0 {
		t.Errorf("the neighbour has answered, and is asked for: %+v", open)
	}
	w.mu.Lock()
	w.hops[near] = host.Hop{Link: 7, Gateway: near, MTU: 1500}
	w.mu.Unlock()
	open = []lostClient{{addr: at("192.0.2.7")}}
	looks := 0
	for ; len(open) > 0; looks++ {
		open = d.look(open)
	}
	if looks != lostTries {
		t.Errorf("a silent neighbour was asked for %d times", looks)
	}
}
