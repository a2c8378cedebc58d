package bfd

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

// fromKeepalived are packets that keepalived 2.2.7 sent: down, init, up with Poll, up with Final.
var fromKeepalived = map[string]Packet{
	"20400318 7962c9fb 00000000 000f4240 0000c350 00000000": {
		State: Down, DetectMult: 3, My: 0x7962c9fb, DesiredMinTx: time.Second, RequiredMinRx: 50 * time.Millisecond},
	"20800318 7962c9fb 55166612 000f4240 0000c350 00000000": {
		State: Init, DetectMult: 3, My: 0x7962c9fb, Your: 0x55166612, DesiredMinTx: time.Second, RequiredMinRx: 50 * time.Millisecond},
	"20e00318 55166612 7962c9fb 0000c350 0000c350 00000000": {
		State: Up, Poll: true, DetectMult: 3, My: 0x55166612, Your: 0x7962c9fb, DesiredMinTx: 50 * time.Millisecond, RequiredMinRx: 50 * time.Millisecond},
	"20d00318 7962c9fb 55166612 0000c350 0000c350 00000000": {
		State: Up, Final: true, DetectMult: 3, My: 0x7962c9fb, Your: 0x55166612, DesiredMinTx: 50 * time.Millisecond, RequiredMinRx: 50 * time.Millisecond},
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPacket(t *testing.T) {
	for text, want := range fromKeepalived {
		b := unhex(t, text)
		got, reject := Parse(b)
		if reject != 0 || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, reject, want)
		}
		if again := got.Append(nil); !bytes.Equal(again, b) {
			t.Errorf("%+v: %x, want %x", got, again, b)
		}
	}
}

// TestPacketRejects damages a good packet in one place each.
func TestPacketRejects(t *testing.T) {
	const good = "20c00318 7962c9fb 55166612 0000c350 0000c350 00000000"
	for _, tt := range []struct {
		name, packet string
		want         Reject
	}{
		{"good", good, 0},
		{"trailing bytes", good + "ffff", 0},
		{"reserved diagnostic", "3fc00318 7962c9fb 55166612 0000c350 0000c350 00000000", 0},
		{"empty", "", RejectShort},
		{"a byte too short", good[:len(good)-2], RejectShort},
		{"version 0", "00c00318 7962c9fb 55166612 0000c350 0000c350 00000000", RejectVersion},
		{"version 2", "40c00318 7962c9fb 55166612 0000c350 0000c350 00000000", RejectVersion},
		{"length 23", "20c00317 7962c9fb 55166612 0000c350 0000c350 00000000", RejectLength},
		{"length beyond the payload", "20c00319 7962c9fb 55166612 0000c350 0000c350 00000000", RejectLength},
		{"multiplier 0", "20c00018 7962c9fb 55166612 0000c350 0000c350 00000000", RejectMultiplier},
		{"multipoint", "20c10318 7962c9fb 55166612 0000c350 0000c350 00000000", RejectMultipoint},
		{"my discriminator 0", "20c00318 00000000 55166612 0000c350 0000c350 00000000", RejectMyDiscriminator},
		{"up without your discriminator", "20c00318 7962c9fb 00000000 0000c350 0000c350 00000000", RejectYourDiscriminator},
		{"init without your discriminator", "20800318 7962c9fb 00000000 0000c350 0000c350 00000000", RejectYourDiscriminator},
		{"down without your discriminator", "20400318 7962c9fb 00000000 0000c350 0000c350 00000000", 0},
		{"admin down without your discriminator", "20000318 7962c9fb 00000000 0000c350 0000c350 00000000", 0},
		{"authenticated", "20c40318 7962c9fb 55166612 0000c350 0000c350 00000000", RejectAuth},
		{"poll and final", "20f00318 7962c9fb 55166612 0000c350 0000c350 00000000", RejectPollFinal},
	} {
		if _, got := Parse(unhex(t, tt.packet)); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestRejectNames(t *testing.T) {
	seen := map[string]bool{}
	new(Rejects).Each(func(r Reject, _ uint64) {
		if s := r.String(); s == "none" || seen[s] {
			t.Errorf("reason %d is called %q", r, s)
		}
		seen[r.String()] = true
	})
	if len(seen) != int(rejectCount)-1 {
		t.Errorf("%d names of %d", len(seen), rejectCount-1)
	}
}

// FuzzParse reads any payload: no panic, and what is let pass obeys the RFC and comes out of Append again.
func FuzzParse(f *testing.F) {
	for text := range fromKeepalived {
		f.Add(unhex(f, text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, reject := Parse(b)
		if reject != 0 {
			return
		}
		if p.DetectMult == 0 || p.My == 0 || p.Your == 0 && p.State >= Init || p.Poll && p.Final {
			t.Errorf("%x let pass", b)
		}
		again, reject := Parse(p.Append(nil))
		if reject != 0 || again != p {
			t.Errorf("%+v, again %+v, %v", p, again, reject)
		}
	})
}
