package forward_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/packet"
)

// TestCourseRefused: of a packet that no course takes nothing has changed, not even an unfinished checksum: what its sender is
// told quotes it as it came.
func TestCourseRefused(t *testing.T) {
	h := harbour{workers: 1, room: 64, unfinished: 7}
	var out [2]string
	for i := range out {
		s := h.sailor(t, i == 0)
		s.amend = func(x *forward.Snapshot) {
			own := packet.AddrFrom(netip.MustParseAddr("172.16.0.1"))
			x.Own = [][2]packet.Addr{{own}, {own}, {own}}
		}
		for _, line := range []string{"-A -t 192.0.2.100:80 -s rr", "-a -t 192.0.2.100:80 -r 172.16.0.11:80 -m"} {
			if err := s.command(line); err != "" {
				t.Fatal(err)
			}
		}
		k := packet.Spec{Tuple: tuple(packet.ProtoTCP, client(1), "192.0.2.100:80"), SrcMAC: clientMAC, DstMAC: directorMAC, TCPFlags: packet.SYN}
		s.take(0, []parcel{{2, packet.Build(nil, k)}})
		k.TCPFlags = packet.ACK
		s.take(0, []parcel{{2, packet.Build(nil, k)}})
		k.Tuple, k.DF, k.Payload = tuple(packet.ProtoTCP, "172.16.0.11:80", client(1)), true, make([]byte, 1000)
		answer := s.take(0, []parcel{{1, unfinishedSum(packet.Build(nil, k))}}) // longer than the way to the client allows
		var n forward.Counters
		s.w[0].ReadCounters(&n)
		if out[i] = fmt.Sprintf("%x, %d mended", answer, n.Mended); len(answer) != 1 || answer[0].port != 1 || !strings.HasSuffix(out[i], " 0 mended") {
			t.Errorf("courses %v: %s", i > 0, out[i])
		}
	}
	if out[0] != out[1] {
		t.Errorf("\nlong way %s\n courses %s", out[0], out[1])
	}
}

// TestNoWayBackToNobody: a frame from a sender without an address says nothing about the way to other clients.
func TestNoWayBackToNobody(t *testing.T) {
	e := natEnds["4"]
	b := newBackup(t, "-A -t "+e.service+" -s rr", "-a -t "+e.service+" -r "+e.server+" -m")
	b.pass(0, frame(packet.ProtoTCP, client(1), e.service, func(s *packet.Spec) { s.TCPFlags = packet.SYN }))
	b.pass(0, frame(packet.ProtoTCP, client(2), e.service, func(s *packet.Spec) { s.TCPFlags, s.SrcMAC = packet.SYN, packet.MAC{} }))
	r := toldOf(client(3), e.service, e.server)
	r.Flags = conntrack.RecordMasq
	b.learn(t, []conntrack.Record{r})
	out := b.pass(1, frame(packet.ProtoTCP, e.server, client(3), func(s *packet.Spec) { s.TCPFlags = packet.ACK }))
	if out == nil || packet.Ethernet(out).Dst() != clientMAC {
		t.Errorf("a reply to a client of which another director has told: % x (%v), want it to %v", out, b.last.Drop, clientMAC)
	}
}
