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

// flow sets k to the i-th of many flows. It writes words, so that reading them at once does not stall.
func flow(k *packet.Tuple, i uint32) {
	*k = packet.Tuple{SrcPort: uint16(i), DstPort: 80, Proto: packet.ProtoTCP, Family: packet.IPv4Family}
	binary.BigEndian.PutUint64(k.Src[8:], 0xffff_0a00_0000|uint64(i>>16))
	binary.BigEndian.PutUint64(k.Dst[8:], 0xffff_c000_0264)
}

// flows returns the numbers of n flows in a random order.
func flows(n int) []uint32 {
	ks := make([]uint32, n)
	for i, p := range rand.New(rand.NewPCG(1, 2)).Perm(n) {
		ks[i] = uint32(p)
	}
	return ks
}

// filled returns a table for room connections that holds the flows, established, entered in another order.
func filled(b testing.TB, room int, ks []uint32, flags Flags) *Table {
	x := newTable(b, Options{MaxConns: room, Seed: 1})
	for _, i := range rand.New(rand.NewPCG(3, 4)).Perm(len(ks)) {
		s := Spec{RealPort: 80, Flags: flags, Event: TCPAck}
		flow(&s.Tuple, ks[i])
		s.Real = s.Dst
		if _, err := x.Insert(&s, x.Hash(&s.Tuple), start); err != nil {
			b.Fatal(err)
		}
	}
	return x
}

func BenchmarkHash(b *testing.B) {
	x := newTable(b, Options{MaxConns: 1})
	var ks [64]packet.Tuple
	for i := range ks {
		flow(&ks[i], uint32(i))
	}
	var sum uint64
	for i := 0; b.Loop(); i++ {
		sum += x.Hash(&ks[i&63])
	}
	if sum == 1 {
		b.Log(sum)
	}
}

// BenchmarkLookup handles batches of 64 packets of established connections: hash, look up, and with "advance" the
// state too. The time is that of one packet, and includes making its key, which "keys" measures alone.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1 << 10, 1 << 16, 1_000_000} {
		ks := flows(n / 64 * 64)
		x := filled(b, 1_000_000, ks, OneWay)
		for _, mode := range []string{"keys", "lookup/one-pass", "lookup/two-pass", "advance/one-pass", "advance/two-pass"} {
			b.Run(fmt.Sprintf("%d/%s", n, mode), func(b *testing.B) {
				b.ReportAllocs()
				benchLookup(b, x, ks, mode)
			})
		}
		_ = x.Close()
	}
}

func benchLookup(b *testing.B, x *Table, ks []uint32, mode string) {
	advance, two, keys := strings.HasPrefix(mode, "advance"), strings.HasSuffix(mode, "two-pass"), mode == "keys"
	var hs [64]uint64
	var batch [64]packet.Tuple
	at := 0
	for i := 0; i < b.N; i += 64 {
		for j := range batch {
			flow(&batch[j], ks[at+j])
		}
		if at += 64; at == len(ks) {
			at = 0
		}
		if keys {
			continue
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
			nos := flows(n)
			x := filled(b, 1_000_000, nos, OneWay)
			ks, hs := make([]packet.Tuple, n), make([]uint64, n)
			for i := range ks {
				flow(&ks[i], nos[i])
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
