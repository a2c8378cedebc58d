package packet

import (
	"bytes"
	"testing"
)

// fuzzSeeds adds the frames of testdata, the built ones, and some cut short.
func fuzzSeeds(f *testing.F) {
	for _, r := range append(frameRows(f), builtRows()...) {
		f.Add(r.frame)
		f.Add(r.frame[:len(r.frame)*2/3])
	}
	for n := range MaxExtensionHeaders + 2 {
		f.Add(extensions(n))
	}
}

// rightHeader gives an IPv4 header behind an untagged or tagged Ethernet header a right checksum, for hardly any input
// of a fuzzer has one.
func rightHeader(b []byte) []byte {
	b = bytes.Clone(b)
	for _, off := range []int{EthernetLen, EthernetLen + VLANTagLen} {
		if len(b) < off+IPv4MinLen || b[off-2] != 0x08 || b[off-1] != 0x00 {
			continue
		}
		if h := IPv4(b[off:]); h.HeaderLen() >= IPv4MinLen && h.HeaderLen() <= len(h) {
			h.SetChecksum(h.ComputeChecksum())
		}
	}
	return b
}

func FuzzParse(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		checkParse(t, frame)
		checkParse(t, rightHeader(frame))
	})
}

// checkParse holds what Parse says of frame against what it promises, against parse and against gopacket.
func checkParse(t *testing.T, frame []byte) {
	was := bytes.Clone(frame)
	var m, general Meta
	filled := filledMeta()
	r := Parse(frame, &m)
	if r2 := Parse(frame, &filled); r2 != r || filled != m {
		t.Errorf("%v %+v, but after another frame %v %+v", r, m, r2, filled)
	}
	if r2 := parse(frame, &general); r2 != r || general != m {
		t.Errorf("%v %+v, but parse: %v %+v", r, m, r2, general)
	}
	if !bytes.Equal(frame, was) {
		t.Error("Parse wrote")
	}
	if r >= DropReasons || r != NoDrop && m != (Meta{}) {
		t.Errorf("%v with %+v", r, m)
	}
	if s := disagree(frame, &m, r); s != "" {
		t.Error(s)
	}
	if r == NoDrop {
		checkMeta(t, frame, &m)
	}
}

// checkMeta: the offsets are in order, and the flags agree with them.
func checkMeta(t *testing.T, frame []byte, m *Meta) {
	if !(m.L3 >= EthernetLen && m.L3 < m.L4 && m.L4 <= m.Payload && uint32(m.Payload) <= m.End && int(m.End) <= len(frame)) {
		t.Errorf("offsets %+v in %d bytes", m, len(frame))
	}
	if m.Family != IPv4Family && m.Family != IPv6Family || m.Src.Is4() != (m.Family == IPv4Family) ||
		m.Dst.Is4() != (m.Family == IPv4Family) {
		t.Errorf("family %d, %v > %v", m.Family, m.Src, m.Dst)
	}
	if m.Flags&LaterFragment != 0 && (m.Flags&Fragment == 0 || m.SrcPort|m.DstPort != 0 || m.Payload != m.L4) {
		t.Errorf("later fragment: %+v", m)
	}
	if m.Flags&Fragment == 0 && m.FragID != 0 {
		t.Errorf("no fragment: %+v", m)
	}
	if m.Flags&ICMPError == 0 {
		if m.Quoted|m.QuotedL4 != 0 || m.Flags&QuotedFragment != 0 {
			t.Errorf("no error: %+v", m)
		}
	} else if m.Quoted != m.L4+ICMPLen || m.Quoted >= m.QuotedL4 || uint32(m.QuotedL4) > m.End || m.Flags&Fragment != 0 ||
		m.TCPFlags != 0 {
		t.Errorf("error: %+v", m)
	}
}

// FuzzFinishChecksum: what it writes makes the checksum right and touches nothing else; where it says that it did not
// write, no byte changes. Afterwards there is nothing left to do. The time to live is taken along.
func FuzzFinishChecksum(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		b := rightHeader(in)
		var m Meta
		if Parse(b, &m) != NoDrop {
			return
		}
		checkFinish(t, b, &m)
		if m.Flags&(Fragment|ICMPError) == 0 {
			unfinish(t, b)
			checkFinish(t, b, &m)
		}
		fr := frameOf(b)
		if DecrementTTL(&fr, &m) {
			var after Meta
			if r := Parse(fr.Bytes(), &after); r != NoDrop || after != m {
				t.Errorf("after DecrementTTL: %v %+v, want %+v", r, after, m)
			}
		} else if !bytes.Equal(fr.Bytes(), b) {
			t.Error("DecrementTTL refused, and wrote")
		}
	})
}

func checkFinish(t *testing.T, b []byte, m *Meta) {
	right := ChecksumOK(b, m)
	fr := frameOf(b)
	if !FinishChecksum(&fr, m) {
		if !bytes.Equal(fr.Bytes(), b) {
			t.Error("wrote, and says it did not")
		}
		return
	}
	if right {
		t.Error("wrote over a right checksum")
	}
	if !ChecksumOK(fr.Bytes(), m) {
		t.Errorf("wrote a wrong checksum: % x", fr.Bytes())
	}
	off, n := 16, 2
	switch m.Proto {
	case ProtoUDP:
		off = 6
	case ProtoSCTP:
		off, n = 8, 4
	}
	off += int(m.L4)
	if bytes.Equal(fr.Bytes()[off:off+n], b[off:off+n]) {
		t.Error("did not write, and says it did")
	}
	want := bytes.Clone(b)
	copy(want[off:off+n], fr.Bytes()[off:off+n])
	if !bytes.Equal(fr.Bytes(), want) {
		t.Error("wrote elsewhere")
	}
	if FinishChecksum(&fr, m) {
		t.Error("wrote a second time")
	}
}
