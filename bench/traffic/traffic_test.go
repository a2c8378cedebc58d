package traffic

import (
	"bytes"
	"testing"

	"dirsw/packet"
)

func addr(b ...byte) packet.Addr {
	if len(b) == 4 {
		return packet.Addr{10: 0xff, 11: 0xff, 12: b[0], 13: b[1], 14: b[2], 15: b[3]}
	}
	return packet.Addr{0x20, 0x01, 0x0d, 0xb8, 15: 0x80}
}

func flows() map[string]Flows {
	all := map[string]Flows{}
	for name, dst := range map[string]packet.Addr{"IPv4": addr(192, 0, 2, 80), "IPv6": addr()} {
		for proto, p := range map[string]uint8{"TCP": packet.ProtoTCP, "UDP": packet.ProtoUDP} {
			all[proto+" "+name] = Flows{Seed: 7, Service: packet.Tuple{Dst: dst, DstPort: 80, Proto: p},
				DstMAC: packet.MAC{2, 0, 0, 0, 0, 1}, SrcMAC: packet.MAC{2, 0, 0, 0, 0, 2}}
		}
	}
	return all
}

func TestFramesParseToTheirTuples(t *testing.T) {
	for name, f := range flows() {
		t.Run(name, func(t *testing.T) {
			i := 100
			for b := range f.Each(100, 50, packet.SYN, 13) {
				var m packet.Meta
				if r := packet.Parse(b, &m); r != packet.NoDrop || len(b) < EthernetMin {
					t.Fatalf("flow %d: %v, %d bytes", i, r, len(b))
				}
				if m.Tuple != f.Tuple(i) {
					t.Errorf("flow %d: %+v, want %+v", i, m.Tuple, f.Tuple(i))
				}
				if m.Proto == packet.ProtoTCP && m.TCPFlags != packet.SYN {
					t.Errorf("flow %d: flags %#x", i, m.TCPFlags)
				}
				if got := int(m.End) - int(m.Payload); got != 13 {
					t.Errorf("flow %d: %d bytes of payload, want 13", i, got)
				}
				i++
			}
			if i != 150 {
				t.Errorf("%d frames, want 50", i-100)
			}
		})
	}
}

func TestFlowsDiffer(t *testing.T) {
	for name, f := range flows() {
		seen := make(map[packet.Tuple]int)
		for i := range 100_000 {
			k := f.Tuple(i * (MaxFlows / 100_000))
			if j, ok := seen[k]; ok {
				t.Fatalf("%s: flows %d and %d are both %+v", name, i, j, k)
			}
			seen[k] = i
		}
	}
}

func TestSeedChoosesTheFlows(t *testing.T) {
	a, b := flows()["TCP IPv4"], flows()["TCP IPv4"]
	if a.Tuple(1) != b.Tuple(1) {
		t.Error("the same seed gives different flows")
	}
	for _, seed := range []uint64{8, 7 << 16, 7 << 32} {
		if b.Seed = seed; a.Tuple(1) == b.Tuple(1) {
			t.Errorf("seeds %d and %d give the same flow", a.Seed, seed)
		}
	}
}

func TestMixIsWholeConnections(t *testing.T) {
	for name, f := range flows() {
		t.Run(name, func(t *testing.T) {
			m := Mix{Flows: f, Concurrent: 20, Data: 5, Payload: 100, Reset: 0.25}
			sent := map[int][]uint8{}
			ended, resets, n := 0, 0, 0
			for p := range m.Packets() {
				if n++; n > 20_000 {
					break
				}
				if p.First != (len(sent[p.Flow]) == 0) {
					t.Fatalf("flow %d: First %v after %d packets", p.Flow, p.First, len(sent[p.Flow]))
				}
				sent[p.Flow] = append(sent[p.Flow], p.Flags)
				if !p.Last {
					continue
				}
				ended++
				if p.Flags&packet.RST != 0 {
					resets++
				}
				if f.Service.Proto == packet.ProtoTCP && !wellFormed(sent[p.Flow]) {
					t.Fatalf("flow %d: flags %v", p.Flow, sent[p.Flow])
				}
			}
			if open := len(sent) - ended; open > 20 || ended < 1000 {
				t.Errorf("%d connections ended, %d are open, want many and at most 20", ended, open)
			}
			if share := float64(resets) / float64(ended); f.Service.Proto == packet.ProtoTCP && (share < 0.2 || share > 0.3) {
				t.Errorf("share of resets %v, want about 0.25", share)
			}
		})
	}
}

// wellFormed reports whether these are the flags of a TCP client from its first packet to its last.
func wellFormed(flags []uint8) bool {
	s := string(flags)
	data := string([]uint8{packet.PSH | packet.ACK})
	start := string([]uint8{packet.SYN, packet.ACK})
	for n := 1; n <= 5; n++ {
		body := start + string(bytes.Repeat([]byte(data), n))
		if s == body+string([]uint8{packet.FIN | packet.ACK, packet.ACK}) || s == body+string([]uint8{packet.RST | packet.ACK}) {
			return true
		}
	}
	return false
}

func TestMixRepeats(t *testing.T) {
	m := Mix{Flows: flows()["TCP IPv6"], Concurrent: 3, Data: 4}
	hash := func() (sum []byte) {
		n := 0
		for p := range m.Packets() {
			if n++; n > 500 {
				return sum
			}
			sum = append(sum, p.Frame...)
		}
		return sum
	}
	if !bytes.Equal(hash(), hash()) {
		t.Error("the same Mix yields different packets")
	}
}
