package connsync

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"dirsw/conntrack"
	"dirsw/packet"
)

// sample is a message of a kernel.
type sample struct {
	name    string
	version Version
	msg     []byte
}

// samples reads testdata/oracle/messages.txt.
func samples(t testing.TB) (list []sample) {
	t.Helper()
	text, err := os.ReadFile("testdata/oracle/messages.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if f[0] == "#" {
			continue
		}
		msg, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, sample{f[0], Version(f[1][0] - '0'), msg})
	}
	return list
}

// TestOracleRoundTrip reads every message that the kernel sent and writes it again, byte for byte.
func TestOracleRoundTrip(t *testing.T) {
	list := samples(t)
	if len(list) != 38 {
		t.Fatalf("only %d messages", len(list))
	}
	for _, s := range list {
		t.Run(s.name, func(t *testing.T) {
			var r Reader
			m := NewMessage(s.version, s.msg[1], len(s.msg))
			r.Read(s.msg, func(rec *conntrack.Record) {
				if got := m.Add(rec); got != Added {
					t.Errorf("record %d: result %d", m.Len(), got)
				}
			})
			if r.Counts.Faults != [Faults]uint64{} || r.Counts.Messages != 1 || int(r.Counts.Records) != m.Len() {
				t.Errorf("counts %+v for %d records", r.Counts, m.Len())
			}
			if !bytes.Equal(m.Bytes(), s.msg) {
				t.Errorf("got  %x\nwant %x", m.Bytes(), s.msg)
			}
		})
	}
}

// TestOracleRecords says what some of them mean.
func TestOracleRecords(t *testing.T) {
	at := func(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }
	route := conntrack.RecordRoute | conntrack.RecordNoOutput
	for _, tt := range []struct {
		name  string
		index int
		want  conntrack.Record
	}{
		{"fwmark", 0, conntrack.Record{Tuple: packet.Tuple{Src: at("10.1.0.1"), Dst: at("0.0.0.5"), Family: packet.IPv4Family},
			Real: at("172.16.0.11"), Flags: route | conntrack.RecordInactive | conntrack.RecordTemplate, Mark: 5, Timeout: time.Minute}},
		{"ipv6/established", 0, conntrack.Record{Tuple: packet.Tuple{Src: at("2001:db8:c::1"), Dst: at("2001:db8:100::100"),
			SrcPort: 4000, DstPort: 80, Proto: packet.ProtoTCP, Family: packet.IPv6Family}, Real: at("2001:db8:2::11"), RealPort: 8080,
			State: conntrack.TCPEstablished, Timeout: 15 * time.Minute}},
		{"version0/persist", 1, conntrack.Record{Tuple: packet.Tuple{Src: at("10.1.0.1"), Dst: at("192.0.2.100"), DstPort: 80,
			Proto: packet.ProtoTCP, Family: packet.IPv4Family}, Real: at("172.16.0.11"), RealPort: 80, State: conntrack.Assured,
			Flags: route | conntrack.RecordInactive | conntrack.RecordTemplate}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []conntrack.Record
			for _, s := range samples(t) {
				if s.name == tt.name {
					new(Reader).Read(s.msg, func(r *conntrack.Record) { got = append(got, *r) })
				}
			}
			if len(got) <= tt.index || got[tt.index] != tt.want {
				t.Errorf("got %+v, want as number %d %+v", got, tt.index, tt.want)
			}
		})
	}
}
