package replay

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"dirsw/bench/traffic"
	"dirsw/clock"
	"dirsw/packet"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)

// sample is n frames of different clients, the second half to port 81.
func sample(n int) (frames [][]byte) {
	f := traffic.Flows{Service: packet.Tuple{Dst: packet.Addr{10: 0xff, 11: 0xff, 12: 192, 13: 0, 14: 2, 15: 80}}}
	for i := range n {
		f.Service.DstPort = 80 + uint16(2*i/n)
		frames = append(frames, f.Frame(nil, i, packet.SYN, 10*i))
	}
	return frames
}

// pcap makes a capture of frames a second apart.
func pcap(t testing.TB, link layers.LinkType, nanos bool, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	if nanos {
		w = pcapgo.NewWriterNanos(&b)
	}
	if err := w.WriteFileHeader(65535, link); err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		at := epoch.Add(time.Duration(i) * time.Second)
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(f), Length: len(f)}, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// pcapng does it in the other format.
func pcapng(t testing.TB, link layers.LinkType, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, link)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		at := epoch.Add(time.Duration(i) * time.Second)
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(f), Length: len(f)}, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// block makes a pcapng block.
func block(o binary.AppendByteOrder, typ uint32, body ...byte) []byte {
	body = append(body, make([]byte, -len(body)&3)...)
	b := o.AppendUint32(o.AppendUint32(nil, typ), uint32(12+len(body)))
	return o.AppendUint32(append(b, body...), uint32(12+len(body)))
}

func words(o binary.AppendByteOrder, w ...uint32) (b []byte) {
	for _, w := range w {
		b = o.AppendUint32(b, w)
	}
	return b
}

// section is a section header and an interface description with options.
func section(o binary.AppendByteOrder, options ...byte) []byte {
	b := block(o, ngSection, words(o, ngMagic, 1, 0xffffffff, 0xffffffff)...)
	head := o.AppendUint16(o.AppendUint16(nil, uint16(layers.LinkTypeEthernet)), 0)
	head = o.AppendUint32(head, 0)
	return append(b, block(o, ngIface, append(head, options...)...)...)
}

// played is what play saw.
type played struct {
	frames [][]byte
	times  []clock.Mono
	err    error
	lane   *Lane
}

// play sends every frame that comes.
func play(t testing.TB, r io.Reader, w io.Writer, o Options) played {
	t.Helper()
	l, err := Open(r, w, o)
	if err != nil {
		return played{err: err}
	}
	p := played{lane: l}
	var b packet.Batch
	for now, ok := l.Next(); ok; now, ok = l.Next() {
		if n, err := l.Recv(&b); n != 1 || err != nil {
			t.Fatalf("Recv after Next: %d, %v", n, err)
		}
		p.frames = append(p.frames, slices.Clone(b.Frames[0].Bytes()))
		p.times = append(p.times, now)
		l.Send(&b)
		if n, err := l.Recv(&b); n != 0 || err != nil && l.Err() == nil {
			t.Fatalf("a second Recv: %d, %v", n, err)
		}
	}
	if _, err := l.Recv(&b); err != io.EOF {
		t.Errorf("Recv at the end: %v, want io.EOF", err)
	}
	p.err = l.Err()
	return p
}

// bigEndian is a pcapng capture in that order, with nanoseconds, two sections and blocks of a type that nobody knows.
func bigEndian(frames ...[]byte) []byte {
	o := binary.BigEndian
	var b []byte
	for i, f := range frames {
		if i == 0 || i == len(frames)/2 {
			b = append(b, section(o, 0, ngOptResolution, 0, 1, 9, 0, 0, 0)...)
		}
		at := uint64(epoch.Add(time.Duration(i) * time.Second).UnixNano())
		n := uint32(len(f))
		b = append(b, block(o, ngEnhanced, append(words(o, 0, uint32(at>>32), uint32(at), n, n), f...)...)...)
		b = append(b, block(o, 0xbad, 1, 2, 3)...)
	}
	return b
}

func TestPlaysWhatWasCaptured(t *testing.T) {
	frames := sample(20)
	nanos := pcap(t, layers.LinkTypeEthernet, true, frames...)
	withFCS := slices.Clone(nanos)
	withFCS[23] = 0x24 // four bytes of checksum, and that this is known
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(nanos)
	z.Close()
	for name, capture := range map[string][]byte{
		"pcap":                  pcap(t, layers.LinkTypeEthernet, false, frames...),
		"pcap with nanoseconds": nanos,
		"pcap with FCS bits":    withFCS,
		"pcap compressed":       zipped.Bytes(),
		"pcapng":                pcapng(t, layers.LinkTypeEthernet, frames...),
		"pcapng, big-endian":    bigEndian(frames...),
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			p := play(t, iotest.OneByteReader(bytes.NewReader(capture)), &out, Options{})
			if p.err != nil {
				t.Fatal(p.err)
			}
			if !reflect.DeepEqual(p.frames, frames) {
				t.Fatalf("%d frames, want the %d captured", len(p.frames), len(frames))
			}
			for i, now := range p.times {
				if want := origin.Add(time.Duration(i) * time.Second); now != want {
					t.Errorf("packet %d at %v, want %v", i+1, now, want)
				}
			}
			if c := p.lane.Counters(); p.lane.Number() != 20 || c.Sent != 20 || c.Received != 20 {
				t.Errorf("last packet %d, counters %+v", p.lane.Number(), c)
			}
			again := play(t, &out, nil, Options{})
			if again.err != nil || !reflect.DeepEqual(again.frames, frames) || !reflect.DeepEqual(again.times, p.times) {
				t.Fatalf("what was written does not play as it was sent: %v", again.err)
			}
			if !again.lane.Time().Equal(p.lane.Time()) {
				t.Errorf("the last packet was sent at %v, written at %v", p.lane.Time(), again.lane.Time())
			}
		})
	}
}

func TestSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	le := binary.LittleEndian
	frames := sample(3)
	good, ng := pcap(t, layers.LinkTypeEthernet, true, frames...), pcapng(t, layers.LinkTypeEthernet, frames...)
	snapped := slices.Clone(good)
	le.PutUint32(snapped[24+12:], 1514)
	empty := good[:24]
	packet := func(w ...uint32) []byte { return append(section(le), block(le, ngEnhanced, words(le, w...)...)...) }
	for _, c := range []struct {
		name    string
		capture []byte
		want    error
		played  int
	}{
		{"empty", nil, ErrEmpty, 0},
		{"text", []byte("tcpdump: listening on eth0"), &NotCaptureError{[]byte("tcpd")}, 0},
		{"a byte", []byte{7}, &NotCaptureError{[]byte{7}}, 0},
		{"broken gzip", []byte{0x1f, 0x8b, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9}, &NotCaptureError{[]byte{0x1f, 0x8b, 9, 9}}, 0},
		{"cut in the header", good[:11], &CutError{}, 0},
		{"cut in the header of the second packet", good[:24+16+60+5], &CutError{After: 1}, 1},
		{"cut behind a packet header", good[:24+16], &CutError{}, 0},
		{"cut in the last packet", good[:len(good)-1], &CutError{After: 2}, 2},
		{"pcapng cut in a block", ng[:len(ng)-3], &CutError{After: 2}, 2},
		{"pcapng cut in a section", section(le)[:10], &CutError{}, 0},
		{"no packets", empty, nil, 0},
		{"a packet of no bytes", append(slices.Clone(empty), words(le, 0, 0, 0, 0)...), nil, 1},
		{"snaplen", snapped, &SnapError{Packet: 1, Have: 60, Whole: 1514}, 0},
		{"Linux cooked", pcap(t, 113, true, frames...), &LinkTypeError{113}, 0},
		{"raw IP in pcapng", pcapng(t, 101, frames...), &LinkTypeError{101}, 0},
		{"more recorded than there was", append(slices.Clone(empty), words(le, 0, 0, 100, 60)...),
			&FormatError{What: "a packet of 60 bytes with 100 of them recorded"}, 0},
		{"an endless packet", append(slices.Clone(empty), words(le, 0, 0, 1<<31, 1<<31)...),
			&FormatError{What: "a packet of 2147483648 bytes with 2147483648 of them recorded"}, 0},
		{"pcapng of no byte order", block(le, ngSection, 1, 2, 3, 4), &FormatError{What: "a section of neither byte order"}, 0},
		{"a short block", append(section(le), words(le, ngEnhanced, 8)...), &FormatError{What: "a block of 8 bytes"}, 0},
		{"a long block", append(section(le), words(le, ngEnhanced, 1<<31)...), &FormatError{What: "a block of 2147483648 bytes"}, 0},
		{"two lengths", append(section(le), words(le, 5, 16, 0, 20)...), &FormatError{What: "a block of 16 bytes that ends as one of 20"}, 0},
		{"no such interface", packet(3, 0, 0, 0, 0), &FormatError{What: "a packet of interface 3 of 1"}, 0},
		{"more than the block", packet(0, 0, 0, 50, 50), &FormatError{What: "a packet of 50 bytes with 50 of them recorded in 0"}, 0},
		{"a packet block too short", packet(0, 0), &FormatError{What: "a packet block of 8 bytes"}, 0},
		{"times that 64 bits cannot hold", section(le, ngOptResolution, 0, 1, 0, 64, 0, 0, 0),
			&FormatError{What: "time in units of 2^-64 or 10^-64 seconds"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := play(t, bytes.NewReader(c.capture), nil, Options{})
			if fmt.Sprintf("%#v", p.err) != fmt.Sprintf("%#v", c.want) {
				t.Errorf("error %#v, want %#v", p.err, c.want)
			}
			if len(p.frames) != c.played {
				t.Errorf("%d packets were played, want %d", len(p.frames), c.played)
			}
			if s := fmt.Sprint(p.err); c.want != nil && (len(s) < 40 || len(s) > 200 || !bytes.Contains([]byte(s), []byte("again"))) &&
				!bytes.Contains([]byte(s), []byte("record one")) {
				t.Errorf("%q does not say what to do", s)
			}
		})
	}
}

func TestWhatIsNotWantedIsLeftToTheKernel(t *testing.T) {
	frames := append(sample(10), []byte("no frame at all"))
	var malformed int
	o := Options{Wanted: func(frame []byte, m *packet.Meta) bool {
		if m.Family == 0 {
			malformed++
		}
		return m.DstPort == 80
	}}
	p := play(t, bytes.NewReader(pcap(t, layers.LinkTypeEthernet, true, frames...)), nil, o)
	if p.err != nil || len(p.frames) != 5 || p.lane.LeftToKernel() != 6 || malformed != 1 {
		t.Errorf("%d played, %d left, %d malformed, %v; want 5, 6, 1", len(p.frames), p.lane.LeftToKernel(), malformed, p.err)
	}
}

func TestTimeNeverGoesBack(t *testing.T) {
	le := binary.LittleEndian
	capture := section(le)
	stamp := func(us uint64) {
		f := sample(1)[0]
		n := uint32(len(f))
		capture = append(capture, block(le, ngEnhanced, append(words(le, 0, uint32(us>>32), uint32(us), n, n), f...)...)...)
	}
	simple := func() {
		capture = append(capture, block(le, ngSimple, append(words(le, 60), make([]byte, 60)...)...)...)
	}
	simple()
	stamp(5_000_000)
	stamp(4_000_000)
	simple()
	stamp(6_000_000)
	stamp(1 << 63)
	p := play(t, bytes.NewReader(capture), io.Discard, Options{})
	want := []clock.Mono{origin, origin, origin, origin, origin.Add(time.Second), origin.Add(horizon)}
	if p.err != nil || !slices.Equal(p.times, want) {
		t.Errorf("times %v, %v; want %v", p.times, p.err, want)
	}
}

func TestAnErrorOfWritingEndsIt(t *testing.T) {
	full := errors.New("no space left on device")
	capture := pcap(t, layers.LinkTypeEthernet, true, sample(5)...)
	w := &limited{n: 24 + 16 + 60, err: full}
	p := play(t, bytes.NewReader(capture), w, Options{})
	if !errors.Is(p.err, full) || len(p.frames) != 2 {
		t.Errorf("%d packets, error %v; want 2 and that of writing", len(p.frames), p.err)
	}
	if c := p.lane.Counters(); c.Sent != 1 || c.SendFailed != 1 {
		t.Errorf("counters %+v", c)
	}
	if _, err := Open(bytes.NewReader(capture), &limited{err: full}, Options{}); !errors.Is(err, full) {
		t.Errorf("Open: %v", err)
	}
}

func TestAnErrorOfReadingIsNoEnd(t *testing.T) {
	broken := errors.New("input/output error")
	capture := pcap(t, layers.LinkTypeEthernet, true, sample(5)...)
	r := io.MultiReader(bytes.NewReader(capture[:24+16+60]), iotest.ErrReader(broken))
	if p := play(t, r, nil, Options{}); !errors.Is(p.err, broken) || len(p.frames) != 1 {
		t.Errorf("%d packets, error %v", len(p.frames), p.err)
	}
	if _, err := Open(iotest.ErrReader(broken), nil, Options{}); !errors.Is(err, broken) {
		t.Errorf("Open: %v", err)
	}
}

// limited writes n bytes and then fails.
type limited struct {
	n   int
	err error
}

func (l *limited) Write(b []byte) (int, error) {
	if len(b) > l.n {
		return 0, l.err
	}
	l.n -= len(b)
	return len(b), nil
}

func TestFramesAreLentAndComeBack(t *testing.T) {
	l, err := Open(bytes.NewReader(pcap(t, layers.LinkTypeEthernet, true, sample(2)...)), nil, Options{MTU: 9000, Name: "eth0"})
	if err != nil {
		t.Fatal(err)
	}
	if p := l.Ports(); len(p) != 1 || p[0].MTU != 9000 || p[0].Name != "eth0" {
		t.Errorf("ports %+v", p)
	}
	var b packet.Batch
	for range pool {
		f, ok := l.Alloc()
		if !ok || f.Len() != 0 || !f.Resize(1514) {
			t.Fatalf("Alloc %d: %v, %d bytes", b.N, ok, f.Len())
		}
		if _, ok := f.Prepend(headroom); !ok {
			t.Fatalf("frame %d has no headroom", b.N)
		}
		b.Add(f)
	}
	l.Next()
	var in packet.Batch
	if n, err := l.Recv(&in); n != 0 || err != nil || l.Counters().RxDropped != 1 {
		t.Errorf("Recv without a free frame: %d, %v", n, err)
	}
	l.Drop(&b)
	l.Next()
	if n, _ := l.Recv(&in); n != 1 {
		t.Errorf("Recv after all came back: %d", n)
	}
}

func FuzzReader(f *testing.F) {
	frames := sample(4)
	for _, seed := range [][]byte{
		pcap(f, layers.LinkTypeEthernet, true, frames...), pcapng(f, layers.LinkTypeEthernet, frames...), bigEndian(frames...),
		section(binary.LittleEndian, ngOptOffset, 0, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8), []byte("\x1f\x8b"),
	} {
		f.Add(seed)
		f.Add(seed[:len(seed)*2/3])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p := play(t, bytes.NewReader(b), io.Discard, Options{})
		if !slices.IsSorted(p.times) {
			t.Errorf("times go back: %v", p.times)
		}
		if p.lane != nil && p.lane.Number() < len(p.frames) {
			t.Errorf("%d packets read, %d played", p.lane.Number(), len(p.frames))
		}
	})
}
