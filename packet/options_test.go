package packet

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
)

// testRouter is the director that testdata/options.txt is about.
func testRouter() Router {
	v4 := func(a, b, c, d byte) Addr { return Addr{10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d} }
	return Router{Own: v4(192, 0, 2, 100), Local: []Addr{v4(172, 16, 0, 1), v4(192, 0, 2, 100), v4(192, 168, 1, 1)},
		Millis: 0x02ae93a6}
}

// headerWith returns an IPv4 header with options.
func headerWith(options []byte) IPv4 {
	return IPv4(withIPv4Options(Build(nil, spec(tuple4(ProtoUDP))), options...)[EthernetLen:])
}

// TestOptions: each row of testdata/options.txt is a name, the options of a packet to 192.0.2.100, ---- and what a kernel
// did: pass, and the options as they left; source route; or bad, the pointer of its parameter problem, and the options as it
// quoted them. Echo are the options of the ICMP error that it sent, if that had any. The time of all timestamps is the
// same.
func TestOptions(t *testing.T) {
	text, err := os.ReadFile("testdata/options.txt")
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		lines := strings.Split(block, "\n")
		t.Run(lines[0], func(t *testing.T) {
			options, err := hex.DecodeString(lines[1])
			if err != nil || lines[2] != "----" {
				t.Fatal(err, lines[2])
			}
			r, h := testRouter(), headerWith(options)
			sum := h.Checksum()
			seen := r.Visit(h)
			if h.Checksum() != sum {
				t.Error("touched the checksum")
			}
			if got := fate(h, seen); got != lines[3] {
				t.Errorf("%s, want %s", got, lines[3])
			}
			if len(lines) == 4 && !strings.HasSuffix(lines[0], "answered") {
				return
			}
			want := ""
			if len(lines) > 4 {
				want = strings.TrimSpace(strings.TrimPrefix(lines[4], "echo"))
			}
			var echo [MaxOptionsLen]byte
			if got := hex.EncodeToString(echo[:r.Echo(&echo, h, &seen)]); got != want {
				t.Errorf("echo %s, want %s", got, want)
			}
		})
	}
}

func fate(h IPv4, seen OptionsSeen) string {
	options := hex.EncodeToString(h[IPv4MinLen:h.HeaderLen()])
	switch seen.Fate {
	case OptionsSourceRoute:
		return "source route"
	case OptionsBad:
		return fmt.Sprintf("bad %d %s", seen.Pointer, options)
	}
	return "pass " + options
}

// TestRerecord: a reply whose source was translated records the new one.
func TestRerecord(t *testing.T) {
	r, h := testRouter(), headerWith([]byte("\x07\x07\x04\x00\x00\x00\x00\x00"))
	seen := r.Visit(h)
	other := Addr{10: 0xff, 11: 0xff, 12: 203, 13: 0, 14: 113, 15: 9}
	if !seen.Rerecord(h, other) || string(h[23:27]) != "\xcb\x00\x71\x09" {
		t.Errorf("% x", h[20:28])
	}
	h = headerWith([]byte("\x07\x07\x08\x01\x02\x03\x04\x00"))
	if seen = r.Visit(h); seen.Rerecord(h, other) {
		t.Error("recorded without room")
	}
}

// FuzzOptions: no options make Visit or Echo leave the header or allocate, and what passes passes again.
func FuzzOptions(f *testing.F) {
	f.Add([]byte("\x07\x0b\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x44\x0c\x05\x03\xc0\x00\x02\x64\x00\x00\x00\x00\x94\x04\x00\x00"))
	f.Fuzz(func(t *testing.T, options []byte) {
		if len(options) > MaxOptionsLen {
			return
		}
		for len(options)%4 != 0 {
			options = append(options, 0)
		}
		r, h := testRouter(), headerWith(options)
		before := string(h[:IPv4MinLen]) + string(h[h.HeaderLen():])
		seen := r.Visit(h)
		if string(h[:IPv4MinLen])+string(h[h.HeaderLen():]) != before {
			t.Fatal("wrote outside the options")
		}
		var echo [MaxOptionsLen]byte
		if n := r.Echo(&echo, h, &seen); n%4 != 0 || n > len(options) {
			t.Fatalf("echo of %d bytes for %d", n, len(options))
		}
		seen.Rerecord(h, r.Own)
		if again := r.Visit(h); seen.Fate == OptionsPass && again.Fate == OptionsSourceRoute {
			t.Fatal("a source route came into being")
		}
		forgetOptions(h[IPv4MinLen:h.HeaderLen()])
	})
}
