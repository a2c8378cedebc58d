package floor

import (
	"slices"
	"testing"

	"dirsw/bench/traffic"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

func setup(tb testing.TB, proto uint8, dst packet.Addr, flows int, shuffle bool) (*Table, *forwardtest.Loop) {
	tb.Helper()
	f := traffic.Flows{Service: packet.Tuple{Dst: dst, DstPort: 80, Proto: proto}}
	t, err := New(flows, packet.MAC{2, 0, 0, 0, 0, 1}, []packet.MAC{{2, 0, 0, 0, 1, 0}, {2, 0, 0, 0, 1, 1}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { t.Close() })
	i := 0
	for b := range f.Each(0, flows, packet.ACK, 0) {
		if err := t.Insert(b, i%2); err != nil {
			tb.Fatal(err)
		}
		i++
	}
	l, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: f.Each(0, flows, packet.ACK, 0), Shuffle: shuffle, Seed: 1})
	if err != nil {
		tb.Fatal(err)
	}
	return t, l
}

func families() map[string]packet.Addr {
	return map[string]packet.Addr{
		"IPv4": {10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: 80},
		"IPv6": {0x20, 0x01, 0x0d, 0xb8, 15: 0x80},
	}
}

func TestBothPassesForwardEveryFrame(t *testing.T) {
	for family, dst := range families() {
		for proto, p := range map[string]uint8{"TCP": packet.ProtoTCP, "UDP": packet.ProtoUDP} {
			table, lane := setup(t, p, dst, 1000, false)
			for name, pass := range map[string]func(*packet.Batch, uint64) int{"one": table.OnePass, "two": table.TwoPass} {
				t.Run(proto+" "+family+" in "+name, func(t *testing.T) {
					var b packet.Batch
					for range 20 {
						lane.Recv(&b)
						if n := pass(&b, 1); n != b.N {
							t.Fatalf("forwarded %d of %d", n, b.N)
						}
						if got, want := b.Frames[5].Bytes()[:12], []byte{2, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0, 1}; got[5] > 1 ||
							!slices.Equal(got[:5], want[:5]) || !slices.Equal(got[6:], want[6:]) {
							t.Fatalf("addresses % x", got)
						}
						lane.Send(&b)
					}
				})
			}
		}
	}
}

func TestStrangersAreNotForwarded(t *testing.T) {
	for family, dst := range families() {
		table, _ := setup(t, packet.ProtoTCP, dst, 100, false)
		f := traffic.Flows{Service: packet.Tuple{Dst: dst, DstPort: 81}}
		other, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: f.Each(0, 100, packet.ACK, 0)})
		if err != nil {
			t.Fatal(err)
		}
		var b packet.Batch
		other.Recv(&b)
		b.Frames[3].Resize(20)
		b.Frames[4].Bytes()[12] = 0x99
		if one, two := table.OnePass(&b, 1), table.TwoPass(&b, 1); one != 0 || two != 0 {
			t.Errorf("%s: forwarded %d and %d, want none", family, one, two)
		}
		if err := table.Insert(b.Frames[3].Bytes(), 0); err != errNotPlain {
			t.Errorf("%s: Insert of 20 bytes: %v", family, err)
		}
	}
}

func TestFullTable(t *testing.T) {
	f := traffic.Flows{Service: packet.Tuple{Dst: families()["IPv4"], DstPort: 80}}
	table, err := New(2, packet.MAC{}, []packet.MAC{{}})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for b := range f.Each(0, 10, 0, 0) {
		if err = table.Insert(b, 0); err != nil {
			break
		}
	}
	if err != errFull {
		t.Errorf("Insert of 10 flows in a table for 2: %v, want %v", err, errFull)
	}
}

func BenchmarkFloor(b *testing.B) {
	for name, flows := range map[string]int{"hot": 1000, "cold": 1_000_000} {
		table, lane := setup(b, packet.ProtoTCP, families()["IPv4"], flows, true)
		for pass, do := range map[string]func(*packet.Batch, uint64) int{"one": table.OnePass, "two": table.TwoPass} {
			b.Run(name+"/"+pass, func(b *testing.B) {
				var batch packet.Batch
				b.ReportAllocs()
				for n := 0; n < b.N; n += packet.BatchSize {
					lane.Recv(&batch)
					do(&batch, uint64(n))
					lane.Send(&batch)
				}
			})
		}
	}
}

// TestRewrites holds the rewrites against what the frame would be if it had been made so.
func TestRewrites(t *testing.T) {
	own := packet.Addr{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: 1}
	servers := []packet.Addr{{10: 0xff, 11: 0xff, 12: 198, 13: 51, 14: 100, 15: 7}, {10: 0xff, 11: 0xff, 12: 198, 13: 51, 14: 100, 15: 8}}
	for _, c := range []struct {
		name  string
		r     Rewrite
		proto uint8
	}{{"IPIP", IPIP, packet.ProtoTCP}, {"NAT TCP", NAT, packet.ProtoTCP}, {"NAT UDP", NAT, packet.ProtoUDP}} {
		t.Run(c.name, func(t *testing.T) {
			table, lane := setup(t, c.proto, families()["IPv4"], 1000, false)
			table.SetRewrite(c.r, own, servers, 8080)
			var b packet.Batch
			for round := range 20 {
				lane.Recv(&b)
				if round%2 == 0 {
					table.OnePass(&b, 1)
				} else {
					table.TwoPass(&b, 1)
				}
				for i := range b.N {
					f := b.Frames[i].Bytes()
					server := servers[f[5]]
					var outer packet.Meta
					if r := packet.Parse(f, &outer); r != packet.NoDrop || outer.Dst != server {
						t.Fatalf("frame %d: %v, to %v, want %v: % x", i, r, outer.Dst, server, f)
					}
					if c.r == NAT && (outer.DstPort != 8080 || !transportSumIsRight(f)) {
						t.Fatalf("frame %d: to port %d: % x", i, outer.DstPort, f)
					}
					if c.r == IPIP && (f[23] != packet.ProtoIPIP || outer.Src != own || f[34] != 0x45) {
						t.Fatalf("frame %d: protocol %d from %v: % x", i, f[23], outer.Src, f)
					}
				}
				lane.Send(&b)
			}
		})
	}
}

// transportSumIsRight adds everything up that the checksum of TCP or UDP covers (RFC 9293, section 3.1).
func transportSumIsRight(f []byte) bool {
	ip := f[packet.EthernetLen:]
	n := int(ip[2])<<8 | int(ip[3])
	sum := uint32(ip[9]) + uint32(n-packet.IPv4MinLen)
	for i := 12; i+1 < n; i += 2 {
		sum += uint32(ip[i])<<8 | uint32(ip[i+1])
	}
	if n%2 == 1 {
		sum += uint32(ip[n-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return sum == 0xffff
}
