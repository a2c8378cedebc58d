package conntrack

import (
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// TestNewestReply: of connections with the same direction from the server the newest is found, then the one before it.
func TestNewestReply(t *testing.T) {
	tbl, err := New(Options{MaxConns: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer tbl.Close()
	now := clock.Mono(time.Hour)
	reply := packet.Tuple{Src: packet.Addr{10: 0xff, 11: 0xff, 12: 203, 14: 113, 15: 1}, SrcPort: 80,
		Dst: packet.Addr{10: 0xff, 11: 0xff, 12: 198, 13: 51, 14: 100, 15: 7}, DstPort: 40000, Proto: packet.ProtoTCP,
		Family: packet.IPv4Family}
	var conns []*Conn
	for i := range 20 {
		s := Spec{Tuple: reply.Reverse(), Real: reply.Src, RealPort: reply.SrcPort, Event: TCPSyn}
		s.Dst[15], s.DstPort = uint8(i), 8080 // another service
		if i%3 == 2 {
			s.SrcPort = uint16(i) // and others in between
		}
		c, err := tbl.Insert(&s, tbl.Hash(&s.Tuple), now)
		if err != nil {
			t.Fatal(err)
		}
		if i%3 != 2 {
			conns = append(conns, c)
		}
	}
	for n := len(conns); n > 0; n-- {
		c, dir := tbl.Lookup(&reply, tbl.Hash(&reply))
		if c != conns[n-1] || dir != FromServer {
			t.Fatalf("%d connections: not the newest", n)
		}
		if err := tbl.verify(); err != nil {
			t.Fatal(err)
		}
		tbl.Remove(c)
	}
	if c, _ := tbl.Lookup(&reply, tbl.Hash(&reply)); c != nil {
		t.Error("found one that is gone")
	}
}
