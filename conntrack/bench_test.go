package conntrack

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// flows returns n flows in a random order of clients.
func flows(n int) []packet.Tuple {
	rnd := rand.New(rand.NewPCG(1, 2))
	ks := make([]packet.Tuple, n)
	for i := range ks {
		ks[i] = tcp("198.51.100.1", uint16(i))
		binary.BigEndian.PutUint32(ks[i].Src[12:], 0x0a000000|uint32(i>>16))
	}
	rnd.Shuffle(n, func(i, j int) { ks[i], ks[j] = ks[j], ks[i] })
	return ks
}

// filled returns a table for room connections that holds the flows, established, entered in another order.
func filled(b testing.TB, room int, ks []packet.Tuple, flags Flags) *Table {
	x := newTable(b, Options{MaxConns: room, Seed: 1})
	for _, i := range rand.New(rand.NewPCG(3, 4)).Perm(len(ks)) {
		s := Spec{Tuple: ks[i], Real: ks[i].Src, RealPort: 80, Flags: flags, Event: TCPAck}
		s.Real[15] = 200
		if _, err := x.Insert(&s, x.Hash(&ks[i]), start); err != nil {
			b.Fatal(err)
		}
	}
	return x
}

func BenchmarkHash(b *testing.B) {
	x := newTable(b, Options{MaxConns: 1})
	ks := flows(64)
	var sum uint64
	for i := 0; b.Loop(); i++ {
		sum += x.Hash(&ks[i&63])
	}
	if sum == 1 {
		b.Log(sum)
	}
}

// BenchmarkLookup handles batches of 64 packets of established connections: hash, look up, and with "advance" the
// state too. The time is that of one packet.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1 << 10, 1 << 16, 1_000_000} {
		ks := flows(n / 64 * 64)
		x := filled(b, 1_000_000, ks, OneWay)
		for _, mode := range []string{"lookup/one-pass", "lookup/two-pass", "advance/one-pass", "advance/two-pass"} {
			b.Run(fmt.Sprintf("%d/%s", n, mode), func(b *testing.B) {
				advance, two := strings.HasPrefix(mode, "advance"), strings.HasSuffix(mode, "two-pass")
				b.ReportAllocs()
				benchLookup(b, x, ks, advance, two)
			})
		}
		_ = x.Close()
	}
}

func benchLookup(b *testing.B, x *Table, ks []packet.Tuple, advance, two bool) {
	var hs [64]uint64
	at := 0
	for i := 0; i < b.N; i += 64 {
		batch := ks[at : at+64]
		if at += 64; at == len(ks) {
			at = 0
		}
		for j := range batch {
			hs[j] = x.Hash(&batch[j])
		}
		if two {
			x.Prefetch(hs[:])
		}
		for j := range batch {
			c, d := x.Lookup(&batch[j], hs[j])
			if c == nil {
				b.Fatal("not found")
			}
			if advance {
				x.Advance(c, d, TCPAck, start)
			}
		}
	}
}

// BenchmarkHotLookup is one Lookup, the hash being known, in the first cache and in the second.
func BenchmarkHotLookup(b *testing.B) {
	for _, n := range []int{64, 1024} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			ks := flows(n)
			x := filled(b, 1_000_000, ks, OneWay)
			hs := make([]uint64, n)
			for i := range ks {
				hs[i] = x.Hash(&ks[i])
			}
			b.ResetTimer()
			for i := range b.N {
				if c, _ := x.Lookup(&ks[i&(n-1)], hs[i&(n-1)]); c == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}

// BenchmarkInsertExpire is the life of a TCP connection in steady state, with so many others alive: in a batch of 64,
// SYN and ACK from the client, and one in two a FIN (it ends two minutes later) or a RST (ten seconds later), so that
// the slots are in no order. One expiry of a bounded number for each batch, as in a breath of the forwarder.
func BenchmarkInsertExpire(b *testing.B) {
	for _, live := range []int{1 << 10, 1 << 16, 1_000_000} {
		for _, flags := range []Flags{OneWay, 0} {
			b.Run(fmt.Sprintf("%d/%s", live, map[Flags]string{OneWay: "one-way", 0: "two-way"}[flags]), func(b *testing.B) {
				x := newTable(b, Options{MaxConns: live * 13 / 10, Seed: 1})
				o := opener{x: x, now: start, step: clock.Mono(65*time.Second) * 64 / clock.Mono(live), flags: flags}
				for n := 0; n < live*5/2; n += 64 {
					o.batch(b)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for n := 0; n < b.N; n += 64 {
					o.batch(b)
				}
				b.ReportMetric(float64(x.Len()), "live")
			})
		}
	}
}

// opener opens connections from ever new clients.
type opener struct {
	x         *Table
	now, step clock.Mono
	flags     Flags
	n         uint32
	specs     [64]Spec
	hashes    [64]uint64
}

func (o *opener) batch(b *testing.B) {
	o.now += o.step
	o.x.Expire(o.now, 256, nil)
	for i := range o.specs {
		o.n++
		s := &o.specs[i]
		s.Tuple = packet.Tuple{Src: packet.Addr{10: 0xff, 11: 0xff}, Dst: packet.Addr{10: 0xff, 11: 0xff, 12: 192},
			SrcPort: uint16(o.n), DstPort: 80, Proto: packet.ProtoTCP, Family: packet.IPv4Family}
		binary.BigEndian.PutUint32(s.Src[12:], o.n*2654435761)
		s.Real, s.Event, s.Flags = s.Dst, TCPSyn, o.flags
		o.hashes[i] = o.x.Hash(&s.Tuple)
	}
	o.x.Prefetch(o.hashes[:])
	for i := range o.specs {
		s := &o.specs[i]
		c, d := o.x.Lookup(&s.Tuple, o.hashes[i])
		if c != nil {
			b.Fatal("found before Insert")
		}
		c, err := o.x.Insert(s, o.hashes[i], o.now)
		if err != nil {
			b.Fatal(err)
		}
		o.x.Advance(c, d, TCPAck, o.now)
		o.x.Advance(c, d, []Event{TCPFin, TCPRst}[o.hashes[i]>>20&1], o.now)
	}
}

// BenchmarkGC is one run of the garbage collector with so many connections alive.
func BenchmarkGC(b *testing.B) {
	for _, live := range []int{0, 1_000_000} {
		b.Run(strconv.Itoa(live), func(b *testing.B) {
			x := filled(b, 1_000_000, flows(live), 0)
			runtime.GC()
			for b.Loop() {
				runtime.GC()
			}
			runtime.KeepAlive(x)
		})
	}
}

// resident returns the bytes of memory that the process has in use.
func resident(b *testing.B) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	n, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n * int64(os.Getpagesize())
}

// BenchmarkMemory reports what a table with room for, and with, so many connections takes of the machine's memory.
func BenchmarkMemory(b *testing.B) {
	for _, c := range []struct{ room, live int }{{1_000_000, 0}, {1_000_000, 1000}, {1_000_000, 1_000_000}, {10_000_000, 0},
		{10_000_000, 1000}} {
		b.Run(fmt.Sprintf("%d-of-%d", c.live, c.room), func(b *testing.B) {
			for b.Loop() {
				ks := flows(c.live)
				runtime.GC()
				before := resident(b)
				x := filled(b, c.room, ks, 0)
				b.ReportMetric(float64(resident(b)-before)/1e6, "MB")
				b.ReportMetric(float64(x.MemoryBytes())/1e6, "MB-at-most")
				_ = x.Close()
			}
		})
	}
}
