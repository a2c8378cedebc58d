package connsync

import (
	"testing"

	"dirsw/conntrack"
	"dirsw/packet"
)

// BenchmarkCodec writes and reads full messages of connections; an operation is one record.
func BenchmarkCodec(b *testing.B) {
	four := record()
	four.Flags, four.EngineLen, four.DataLen = 0, 0, 0
	six := four
	six.Family, six.Src, six.Dst, six.Real = packet.IPv6Family, packet.Addr{1}, packet.Addr{2}, packet.Addr{3}
	for _, f := range []struct {
		name string
		rec  conntrack.Record
	}{{"IPv4", four}, {"IPv6", six}} {
		b.Run("write/"+f.name, func(b *testing.B) {
			b.ReportAllocs()
			m := NewMessage(Version1, 7, 1472)
			for b.Loop() {
				if m.Add(&f.rec) != Added {
					m.Bytes()
					m.Reset()
				}
			}
		})
		b.Run("read/"+f.name, func(b *testing.B) {
			b.ReportAllocs()
			m := NewMessage(Version1, 7, 1472)
			for m.Add(&f.rec) == Added {
			}
			r, msg := Reader{}, m.Bytes()
			n := 0
			for b.Loop() {
				if n--; n < 0 {
					r.Read(msg, func(*conntrack.Record) { n++ })
				}
			}
		})
	}
}
