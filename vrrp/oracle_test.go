package vrrp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// oracleEvent is a line of testdata/oracle/vrrp.jsonl: two keepalived 2.2.7 on a link, eight instances each.
type oracleEvent struct {
	T    float64  `json:"t"`
	Ev   string   `json:"ev"`
	Who  string   `json:"who"`
	Line string   `json:"line"`
	What string   `json:"what"`
	From string   `json:"from"`
	Kind string   `json:"kind"`
	Hex  string   `json:"hex"`
	Has  []string `json:"has"`
}

func readOracle(t testing.TB) []oracleEvent {
	t.Helper()
	f, err := os.Open("testdata/oracle/vrrp.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []oracleEvent
	for s := bufio.NewScanner(f); s.Scan(); {
		var e oracleEvent
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// captured is an advert of the capture taken apart, as Net would give it.
type captured struct {
	from  string
	t     float64
	frame []byte
	pkt   Packet
}

func capturedAdverts(t testing.TB) []captured {
	t.Helper()
	var out []captured
	for _, e := range readOracle(t) {
		if e.Ev != "frame" || !strings.HasPrefix(e.Kind, "vrrp") {
			continue
		}
		frame, err := hex.DecodeString(e.Hex)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, captured{from: e.From, t: e.T, frame: frame, pkt: packetOf(frame[14:])})
	}
	if len(out) < 300 {
		t.Fatalf("%d adverts in the capture, want at least 300", len(out))
	}
	return out
}

// packetOf takes the IP header off, as a raw socket's reader does.
func packetOf(ip []byte) Packet {
	if ip[0]>>4 == 6 {
		return Packet{
			Src: netip.AddrFrom16([16]byte(ip[8:])), Dst: netip.AddrFrom16([16]byte(ip[24:])),
			TTL: int(ip[7]), Protocol: ip[6], Data: ip[40:],
		}
	}
	n := int(ip[0]&15) * 4
	total := int(binary.BigEndian.Uint16(ip[2:]))
	return Packet{
		Src: netip.AddrFrom4([4]byte(ip[12:])), Dst: netip.AddrFrom4([4]byte(ip[16:])),
		TTL: int(ip[8]), Protocol: ip[9], Header: ip[:n], Data: ip[n:total],
	}
}

// TestCodecAgainstCapture parses each advert that keepalived sent and encodes it again, with its IPv4 and its
// authentication header: not one byte may differ.
func TestCodecAgainstCapture(t *testing.T) {
	seen := map[string]int{}
	for _, c := range capturedAdverts(t) {
		msg := c.pkt.Data
		cfg := Config{IPv6: c.pkt.Header == nil, Group: c.pkt.Dst}
		if !c.pkt.Dst.IsMulticast() {
			cfg.Group = netip.Addr{}
		}
		var s sender
		if c.pkt.Protocol == ProtocolAH {
			cfg.Auth, cfg.Password = AuthAH, [8]byte([]byte("ahsecret"))
			h, rest, whole, authentic := openAH(c.pkt.Header, msg, cfg.Password, cfg.Unicast())
			if !whole || !authentic {
				t.Fatalf("at %v: authentication header whole %v, authentic %v", c.t, whole, authentic)
			}
			msg, s.seq = rest, h.seq
			if _, _, _, ok := openAH(c.pkt.Header, c.pkt.Data, [8]byte([]byte("other   ")), false); ok {
				t.Fatalf("at %v: authentic with a wrong key", c.t)
			}
		}
		var a Advert
		p := Pseudo{Src: c.pkt.Src, Dst: c.pkt.Dst}
		if r := ParseAdvert(&a, msg, p); r != Accepted {
			t.Fatalf("at %v: %v for %x", c.t, r, msg)
		}
		want := c.frame[14:]
		if cfg.IPv6 {
			want = msg
		} else {
			s.id = binary.BigEndian.Uint16(c.pkt.Header[4:])
		}
		got := s.packet(&cfg, &a, c.pkt.Src, c.pkt.Dst, c.pkt.TTL, false)
		if !bytes.Equal(got, want) {
			t.Fatalf("at %v:\n got %x\nwant %x", c.t, got, want)
		}
		seen[strings.Join([]string{string('0' + rune(a.Version)), netFamily(cfg.IPv6), castWord(cfg.Unicast()), string('0' + rune(a.AuthType))}, " ")]++
	}
	for _, kind := range []string{"2 ip4 multi 0", "2 ip4 multi 1", "2 ip4 uni 1", "2 ip4 multi 2", "3 ip4 multi 0", "3 ip4 uni 0", "3 ip6 multi 0"} {
		if seen[kind] < 10 {
			t.Errorf("%d adverts of kind %q in the capture, want at least 10 (all: %v)", seen[kind], kind, seen)
		}
	}
}

func netFamily(v6 bool) string {
	if v6 {
		return "ip6"
	}
	return "ip4"
}

func castWord(unicast bool) string {
	if unicast {
		return "uni"
	}
	return "multi"
}
