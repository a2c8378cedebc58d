package forward_test

import (
	"fmt"
	"testing"

	"dirsw/forward"
	"dirsw/packet"
)

// TestTeamKeepsConnectionsWhenClientsMove changes what decides about the worker while connections live: by a service that
// keeps networks together, by ports and back. No connection may change its server or be lost.
func TestTeamKeepsConnectionsWhenClientsMove(t *testing.T) {
	rules := []string{"-A -t 192.0.2.100:80 -s rr", "-a -t 192.0.2.100:80 -r 172.16.0.11:80 -g",
		"-a -t 192.0.2.100:80 -r 172.16.0.12:80 -g", "-a -t 192.0.2.100:80 -r 172.16.0.13:80 -g"}
	for name, change := range map[string]func(*forward.Steer){
		"coarser": func(s *forward.Steer) { s.Mask4 = packet.Addr{10: 0xff, 11: 0xff, 12: 0xff} },
		"ports":   func(s *forward.Steer) { s.Ports = true },
	} {
		t.Run(name, func(t *testing.T) {
			e := newTeam(t, 3, rules...)
			const clients = 200
			server := map[int]packet.MAC{}
			send := func(round int, flags uint8) {
				for i := range clients {
					out := e.any(0, packet.Build(nil, packet.Spec{TCPFlags: flags, SrcMAC: clientMAC, DstMAC: directorMAC,
						Tuple: tuple(packet.ProtoTCP, fmt.Sprintf("198.51.%d.1:%d", i, 4000+i), "192.0.2.100:80")}))
					if len(out[1]) != 1 {
						t.Fatalf("round %d, client %d: %d frames to servers", round, i, len(out[1]))
					}
					to := packet.Ethernet(out[1][0]).Dst()
					if was, ok := server[i]; ok && was != to {
						t.Fatalf("round %d: client %d went to %v, then to %v", round, i, was, to)
					}
					server[i] = to
				}
			}
			send(0, packet.SYN)
			base := compiled(t, 3, rules...)
			moved := base.Steer
			change(&moved)
			last := base.Steer
			for round, steer := range []forward.Steer{moved, base.Steer} {
				next := *base
				next.Gen = uint64(10 + round)
				next.Steer = steer.Follow(&last)
				if next.Steer.Former == nil || next.Steer.Former.Former != nil {
					t.Fatalf("round %d: former steering %+v", round, next.Steer.Former)
				}
				last = next.Steer
				for _, w := range e.w {
					w.Publish(&next)
				}
				e.steps(1)
				send(round+1, packet.ACK)
			}
			if c := e.sum(); c.Connections != clients || c.Drops[packet.DropNoConnection] != 0 {
				t.Errorf("%d connections, %d packets of none", c.Connections, c.Drops[packet.DropNoConnection])
			}
		})
	}
}

// TestFlowsOfOneClientUseTheTeam steers by ports: one client has all workers, and what comes in fragments has one.
func TestFlowsOfOneClientUseTheTeam(t *testing.T) {
	e := newTeam(t, 3, "-A -t 192.0.2.100:80 -s rr", "-a -t 192.0.2.100:80 -r 172.16.0.11:80 -g")
	s := compiled(t, 3, "-A -t 192.0.2.100:80 -s rr", "-a -t 192.0.2.100:80 -r 172.16.0.11:80 -g")
	s.Gen, s.Steer.Ports = 2, true
	for _, w := range e.w {
		w.Publish(s)
	}
	e.steps(1)
	const flows = 300
	for _, flags := range []uint8{packet.SYN, packet.ACK} {
		for i := range flows {
			out := e.any(0, packet.Build(nil, packet.Spec{TCPFlags: flags, SrcMAC: clientMAC, DstMAC: directorMAC,
				Tuple: tuple(packet.ProtoTCP, fmt.Sprintf("198.51.100.1:%d", 4000+i), "192.0.2.100:80")}))
			if len(out[1]) != 1 {
				t.Fatalf("flow %d: %d frames", i, len(out[1]))
			}
		}
	}
	for i := range e.w {
		if n := len(e.conns(i)); n < 64 { // as many as it lists
			t.Errorf("worker %d has %d of the %d connections of the client", i, n, flows)
		}
	}
	if c := e.sum(); c.Connections != flows {
		t.Errorf("%d connections of %d flows", c.Connections, flows)
	}
}
