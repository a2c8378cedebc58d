package connsync

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dirsw/conntrack"
	"dirsw/packet"
)

// entry is one of version 1 that is as it should be, of 36 bytes.
const entry = "00060024 00000083 0001 0fa1 0050 0050 00000000 00000384 0a010001 c0000264 ac10000b"

// entry6 is one for IPv6, of 72 bytes.
const entry6 = "01060048 00000000 0001 0fa1 0050 1f90 00000000 00000384 20010db8000c00000000000000000001" +
	"20010db8010000000000000000000100 20010db8000200000000000000000011"

// message puts entries, in hexadecimal, behind a header of version 1 that fits them.
func message(t *testing.T, n int, entries ...string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll("0007 0000 "+hex.EncodeToString([]byte{byte(n)})+"010000"+strings.Join(entries, ""), " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// with replaces a part of an entry.
func with(old, new string) string {
	if !strings.Contains(entry, old) {
		panic(old)
	}
	return strings.Replace(entry, old, new, 1)
}

func TestFaults(t *testing.T) {
	first := strings.Replace(entry, "0fa1", "0001", 1) // stands before the faulty one
	seqs := "0118" + strings.Repeat("00000001", 6)
	for _, tt := range []struct {
		name   string
		msg    []byte
		want   Fault // Faults: none
		ports  string
		syncID uint8
	}{
		{"whole", message(t, 2, first, entry), Faults, "1 4001", 0},
		{"own syncid", message(t, 1, entry), Faults, "4001", 7},
		{"other syncid", message(t, 1, entry), Foreign, "", 8},
		{"empty", nil, Short, "", 0},
		{"header of three bytes", []byte{0, 7, 0}, Short, "", 0},
		{"header only", message(t, 0), Faults, "", 0},
		{"longer than it says", append(message(t, 1, entry), 0), Length, "", 0},
		{"shorter than it says", message(t, 1, entry)[:40], Length, "", 0},
		{"fewer entries than it says", message(t, 3, first, entry), Cut, "1 4001", 0},
		{"more entries than it says", message(t, 1, first, entry), Faults, "1", 0},
		{"entry longer than the message", message(t, 2, first, with("00060024", "00060028")), Cut, "1", 0},
		{"entry shorter than its kind", message(t, 2, first, with("00060024", "00060023")), Cut, "1", 0},
		{"entry of length 0", message(t, 2, first, with("00060024", "00060000")), Cut, "1", 0},
		{"entry of IPv6 with the length of IPv4", message(t, 2, first, with("00060024", "01060024")), Cut, "1", 0},
		{"entry of another kind", message(t, 3, first, with("00060024", "02060024"), entry), Kind, "1", 0},
		{"entry of another version", message(t, 3, first, with("00060024", "00061024"), entry), Layout, "1", 0},
		{"protocol ICMP", message(t, 3, first, with("0006", "0001"), entry), Protocol, "1 4001", 0},
		{"template of protocol 0", message(t, 1, with("00060024 00000083", "00000024 00001183")), Faults, "4001", 0},
		{"TCP state 11", message(t, 3, first, with("0001 0fa1", "000b 0fa1"), entry), State, "1 4001", 0},
		{"TCP state 10", message(t, 1, with("0001 0fa1", "000a 0fa1")), Faults, "4001", 0},
		{"template state 2", message(t, 2, with("00000083 0001", "00001083 0002"), entry), State, "4001", 0},
		{"ESP state 1", message(t, 2, with("0006", "0032"), entry), State, "4001", 0},
		{"IPv6", message(t, 1, entry6), Faults, "4001", 0},
		{"IPv6 that is IPv4", message(t, 2, first, strings.Replace(entry6, "20010db8000c00000000000000000001",
			"00000000000000000000ffff0a010001", 1)), Address, "1", 0},
		{"seqs", message(t, 1, with("00060024 00000083", "0006003e 00000600"), seqs), Faults, "4001", 0},
		{"seqs that the flags do not tell of", message(t, 1, with("00060024", "0006003e"), seqs), Faults, "4001", 0},
		{"seqs twice", message(t, 2, first, with("00060024", "00060058"), seqs, seqs), Option, "1", 0},
		{"seqs too short", message(t, 2, first, with("00060024", "00060028"), "01020000"), Option, "1", 0},
		{"option of length 0", message(t, 2, first, with("00060024", "00060026"), "0200"), Option, "1", 0},
		{"option cut", message(t, 2, first, with("00060024", "00060025"), "02"), Option, "1", 0},
		{"option beyond the entry", message(t, 2, first, with("00060024", "00060028"), "0203aaaa"), Option, "1", 0},
		{"unknown option", message(t, 2, first, with("00060024", "00060028"), "0902aaaa"), Option, "1", 0},
		{"unknown option that may be skipped", message(t, 1, with("00060024", "00060028"), "4902aaaa"), Faults, "4001", 0},
		{"engine and data", message(t, 2, with("00060024", "0006002d"), "0202aaaa 0303736970 000000", first), Faults, "4001 1", 0},
		{"engine without data", message(t, 2, with("00060024", "00060029"), "0303736970 000000", first), Engine, "1", 0},
		{"name of 17 bytes", message(t, 2, first, with("00060024", "00060037"), "0311"+strings.Repeat("61", 17)), Option, "1", 0},
		{"version 0, cut", []byte{1, 7, 0, 5, 0}, Cut, "", 0},
		{"version 0, two of one", append([]byte{2, 7, 0, 28, 0, 6, 0, 1}, make([]byte, 20)...), Cut, "1", 0},
		{"version 0, seqs missing", append([]byte{1, 7, 0, 28, 0, 6, 0, 1}, append(make([]byte, 16), 4, 0, 0, 1)...), Cut, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var want Counts
			if want.Messages = 1; tt.want != Faults {
				want.Faults[tt.want] = 1
			}
			r := Reader{SyncID: tt.syncID}
			var ports []string
			r.Read(tt.msg, func(rec *conntrack.Record) {
				ports = append(ports, netip.AddrPortFrom(netip.IPv4Unspecified(), rec.SrcPort).String()[8:])
			})
			want.Records = uint64(len(ports))
			if got := strings.Join(ports, " "); got != tt.ports {
				t.Errorf("records of ports %q, want %q", got, tt.ports)
			}
			if r.Counts != want {
				t.Errorf("counts %+v, want %+v", r.Counts, want)
			}
		})
	}
}

func TestFaultNames(t *testing.T) {
	seen := map[string]bool{}
	for f := range Faults {
		if s := f.String(); s == "" || s == "invalid" || seen[s] {
			t.Errorf("fault %d is called %q", f, s)
		}
		seen[f.String()] = true
	}
	if Faults.String() != "invalid" {
		t.Error("what is no fault has a name")
	}
}

// record is one with everything a message can say.
func record() conntrack.Record {
	at := func(s string) packet.Addr { return packet.AddrFrom(netip.MustParseAddr(s)) }
	r := conntrack.Record{Tuple: packet.Tuple{Src: at("192.0.2.1"), Dst: at("198.51.100.1"), SrcPort: 40000, DstPort: 21,
		Proto: packet.ProtoTCP, Family: packet.IPv4Family}, Real: at("203.0.113.9"), RealPort: 2121, State: conntrack.TCPCloseWait,
		Flags: conntrack.RecordInSeq | conntrack.RecordOutSeq | conntrack.RecordInactive, Mark: 6666, Timeout: time.Hour,
		In: conntrack.RecordSeq{Init: 1, Delta: 2, Previous: 3}, Out: conntrack.RecordSeq{Init: 4, Delta: 5, Previous: 1 << 31}}
	r.EngineLen, r.DataLen = uint8(copy(r.Engine[:], "sip")), uint8(copy(r.Data[:], bytes.Repeat([]byte{'c'}, 255)))
	return r
}

func TestRoundTrip(t *testing.T) {
	full := record()
	bare := full
	bare.EngineLen, bare.DataLen, bare.Engine, bare.Data = 0, 0, [16]byte{}, [255]byte{}
	six := full
	six.Family, six.Src, six.Dst, six.Real = packet.IPv6Family, packet.Addr{0: 0x20}, packet.Addr{1: 1}, packet.Addr{2: 2}
	zero := bare // what version 0 has no room for
	zero.Mark, zero.Timeout = 0, 0
	for _, tt := range []struct {
		name    string
		version Version
		records []conntrack.Record
	}{
		{"everything", Version1, []conntrack.Record{full, bare, full}},
		{"IPv6", Version1, []conntrack.Record{six, full, six}},
		{"version 0", Version0, []conntrack.Record{zero, zero}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := NewMessage(tt.version, 9, 1472)
			for i := range tt.records {
				if got := m.Add(&tt.records[i]); got != Added {
					t.Fatalf("record %d: result %d", i, got)
				}
			}
			var got []conntrack.Record
			r := Reader{SyncID: 9}
			r.Read(m.Bytes(), func(rec *conntrack.Record) { got = append(got, *rec) })
			if len(got) != len(tt.records) {
				t.Fatalf("%d records, want %d: %+v", len(got), len(tt.records), r.Counts)
			}
			for i := range got {
				if got[i] != tt.records[i] {
					t.Errorf("record %d\ngot  %+v\nwant %+v", i, got[i], tt.records[i])
				}
			}
		})
	}
}

// TestStates says the number of each state, and back.
func TestStates(t *testing.T) {
	for s := conntrack.State(0); s < conntrack.States; s++ {
		r := conntrack.Record{State: s}
		switch {
		case s == conntrack.None:
			r.Proto = packet.ProtoESP
		case s == conntrack.Assured:
			r.Flags = conntrack.RecordTemplate
		case s <= conntrack.TCPSynAck:
			r.Proto = packet.ProtoTCP
		case s == conntrack.UDPNormal:
			r.Proto = packet.ProtoUDP
		default:
			r.Proto = packet.ProtoSCTP
		}
		got, known, ok := stateOf(r.Proto, r.IsTemplate(), stateNumber(&r))
		if got != s || !known || !ok {
			t.Errorf("%v of protocol %d: number %d, back %v (%v, %v)", s, r.Proto, stateNumber(&r), got, known, ok)
		}
	}
}

func TestMessageIsFull(t *testing.T) {
	r, six := record(), record()
	r.EngineLen, r.Flags = 0, 0
	six.EngineLen, six.Flags, six.Src, six.Dst, six.Real = 0, 0, packet.Addr{1}, packet.Addr{1}, packet.Addr{1}
	split := r
	split.Real = packet.Addr{1}
	fill := func(m *Message) int {
		for m.Add(&r) == Added {
		}
		return m.Len()
	}
	for _, tt := range []struct {
		version Version
		max     int
		want    int
	}{{Version1, 1472, 40}, {Version1, 300, 8}, {Version1, 43, 0}, {Version1, 65507, MaxEntries}, {Version0, 1472, 61}, {Version0, 27, 0}} {
		m := NewMessage(tt.version, 0, tt.max)
		if got := fill(m); got != tt.want || len(m.Bytes()) > max(tt.max, headerLen) {
			t.Errorf("version %d in %d bytes: %d records in %d bytes, want %d", tt.version, tt.max, got, len(m.Bytes()), tt.want)
		}
		if got := m.Add(&r); tt.want == 0 && got != Refused || tt.want > 0 && got != Full {
			t.Errorf("version %d in %d bytes: result %d", tt.version, tt.max, got)
		}
		if m.Reset(); m.Len() != 0 || fill(m) != tt.want {
			t.Errorf("version %d in %d bytes: another number after Reset", tt.version, tt.max)
		}
	}
	if got := NewMessage(Version0, 0, 1472).Add(&six); got != Refused {
		t.Errorf("IPv6 in version 0: result %d", got)
	}
	if got := NewMessage(Version1, 0, 79).Add(&six); got != Refused {
		t.Errorf("IPv6 without room: result %d", got)
	}
	if got := NewMessage(Version1, 0, 1472).Add(&split); got != Refused {
		t.Errorf("two families: result %d", got)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	rec := record()
	m := NewMessage(Version1, 7, 1472)
	r := Reader{SyncID: 7}
	n := 0
	if got := testing.AllocsPerRun(100, func() {
		for m.Add(&rec) == Added {
		}
		r.Read(m.Bytes(), func(*conntrack.Record) { n++ })
		m.Reset()
	}); got != 0 || n == 0 {
		t.Errorf("%v allocations for %d records", got, n)
	}
}

// FuzzRead takes any bytes for a message: nothing is read beyond its end, and what is taken is written and read again as it was.
func FuzzRead(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.msg)
	}
	full := record()
	m := NewMessage(Version1, 0, 1472)
	m.Add(&full)
	f.Add(bytes.Clone(m.Bytes()))
	f.Fuzz(func(t *testing.T, msg []byte) {
		var r Reader
		r.Read(msg[:len(msg):len(msg)], func(rec *conntrack.Record) {
			again := NewMessage(Version1, 0, 4096)
			if got := again.Add(rec); got != Added {
				t.Fatalf("%+v: result %d", rec, got)
			}
			seen := 0
			new(Reader).Read(again.Bytes(), func(got *conntrack.Record) {
				if seen++; *got != *rec {
					t.Errorf("got  %+v\nwant %+v", got, rec)
				}
			})
			if seen != 1 {
				t.Errorf("%+v is not read again", rec)
			}
		})
		taken := r.Counts.Records
		for _, n := range r.Counts.Faults {
			taken += n
		}
		if r.Counts.Messages != 1 || taken > 256 {
			t.Errorf("counts %+v", r.Counts)
		}
	})
}
