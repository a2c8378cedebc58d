package forward_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"dirsw/packet"
)

// TestTeamPutsFragmentsTogether has the fragments of datagrams, of clients and of replies to them, come to workers drawn at random:
// all of one are put together by the client's worker, which sends them on in pieces, and so is what an error quotes of one.
func TestTeamPutsFragmentsTogether(t *testing.T) {
	for _, flow := range []bool{false, true} {
		t.Run(fmt.Sprint("by flow ", flow), func(t *testing.T) {
			how, method := "-m", "NAT"
			if flow {
				how, method = "-g", "direct routing" // what may be steered by flow
			}
			rules := []string{"-A -u 192.0.2.100:53 -s rr", "-a -u 192.0.2.100:53 -r 172.16.0.11:53 " + how}
			e := newTeam(t, 3, rules...)
			if flow {
				s := compiled(t, 3, rules...)
				s.Gen, s.Steer.Ports = 2, true
				for _, w := range e.w {
					w.Publish(s)
				}
				e.steps(1)
			}
			for i := range 60 {
				spec := packet.Spec{SrcMAC: clientMAC, DstMAC: directorMAC, ID: uint16(i), Payload: bytes.Repeat([]byte{byte(i)}, 3000+i),
					Tuple: tuple(packet.ProtoUDP, fmt.Sprintf("198.51.100.%d:4000", i+1), "192.0.2.100:53")}
				out := e.scatter(0, piecesOf(t, packet.Build(nil, spec), 1500, uint32(i)))
				if len(out[1]) != 3 || len(out[0]) != 0 {
					t.Fatalf("%s, client %d: %d frames to the server and %d back, want 3 and none", method, i, len(out[1]), len(out[0]))
				}
				if flow {
					continue
				}
				reply := packet.Spec{DstMAC: directorMAC, ID: uint16(i), Payload: spec.Payload,
					Tuple: tuple(packet.ProtoUDP, "172.16.0.11:53", fmt.Sprintf("198.51.100.%d:4000", i+1))}
				pieces := piecesOf(t, packet.Build(nil, reply), 1500, uint32(i))
				out = e.scatter(1, pieces)
				if len(out[0]) != 3 || len(out[1]) != 0 {
					t.Fatalf("client %d: %d frames of the reply and %d to the server, want 3 and none", i, len(out[0]), len(out[1]))
				}
				if whole := joined(t, out[0]); !bytes.Equal(whole[len(whole)-len(spec.Payload):], spec.Payload) {
					t.Fatalf("client %d: the reply is another", i)
				}
				// The client's router has dropped the first of them.
				q := bytes.Clone(out[0][0][packet.EthernetLen:][:64])
				frame := packet.Build(nil, packet.Spec{DstMAC: directorMAC, SrcMAC: clientMAC, ICMPType: 11, Payload: q,
					Tuple: packet.Tuple{Src: packet.AddrFrom(netip.MustParseAddr("203.0.113.254")), Dst: spec.Dst,
						Proto: packet.ProtoICMP, Family: packet.IPv4Family}})
				if out := e.any(0, frame); len(out[1]) != 1 {
					t.Fatalf("client %d: an error about a fragment gave %d frames", i, len(out[1]))
				}
			}
			if c := e.sum(); c.HandedOver == 0 || c.Connections != 60 || c.Drops != [packet.DropReasons]uint64{} {
				t.Errorf("%d handed over, %d connections, drops %v", c.HandedOver, c.Connections, c.Drops)
			}
		})
	}
}

// scatter lets frames in, in any order, each at a worker drawn at random, and returns what left, by port.
func (e *team) scatter(port int, frames [][]byte) (out [2][][]byte) {
	e.t.Helper()
	for _, i := range e.rnd.Perm(len(frames)) {
		e.lanes[e.rnd.IntN(len(e.lanes))].Inject(port, frames[i])
		if e.rnd.IntN(2) == 0 {
			e.steps(1)
		}
	}
	e.steps(3)
	for _, l := range e.lanes {
		for p := range out {
			out[p] = append(out[p], l.Sent(p)...)
		}
	}
	return out
}
