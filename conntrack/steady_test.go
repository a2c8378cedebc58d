package conntrack

import (
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/packet"
)

// TestRenewIsAdvance: where a connection is Steady, Renew does what Advance does, whatever the state, the direction, the way
// of its replies and the flags are.
func TestRenewIsAdvance(t *testing.T) {
	steady := 0
	for _, secure := range []bool{false, true} {
		x := newTable(t, Options{MaxConns: 8, SecureTCP: secure})
		for _, proto := range []uint8{packet.ProtoTCP, packet.ProtoUDP} {
			for _, way := range []Flags{0, OneWay} {
				for s := range States {
					for flags := range uint8(64) {
						for dir := FromClient; dir <= FromServer && (dir == FromClient || way == 0); dir++ {
							if renewed(t, x, proto, way, s, flags, dir) {
								steady++
							}
						}
					}
				}
			}
		}
	}
	// ACK with or without PSH and URG, UDP, for which flags say nothing; three times each, and twice for secure.
	if want := (4 + 64) * 3 * 2; steady != want {
		t.Errorf("steady in %d cases, want %d", steady, want)
	}
}

// renewed compares the two, and reports whether the connection is Steady.
func renewed(t *testing.T, x *Table, proto uint8, way Flags, s State, flags uint8, dir Dir) bool {
	if !StateOf(proto, s) || s == None {
		return false
	}
	m := packet.Meta{TCPFlags: flags, L3: packet.EthernetLen}
	m.Tuple = tcp("198.51.100.1", 4000)
	if m.Proto = proto; proto == packet.ProtoUDP {
		m.TCPFlags = 0
	}
	var got [2]Conn
	for i := range got {
		c, err := x.Insert(&Spec{Tuple: m.Tuple, Real: addr("203.0.113.7"), RealPort: 80, Flags: way, State: s}, x.Hash(&m.Tuple), start)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Steady(&m) {
			x.Remove(c)
			return false
		}
		now := start + clock.Mono(3*time.Second)
		x.SetTimeouts(Timeouts{TCP: 5 * time.Second, UDP: 5 * time.Second}) // less than before: it moves in the wheel
		if i == 0 {
			x.Renew(c, dir, now)
		} else if was, is := x.Advance(c, dir, EventOf(nil, &m), now); was != is {
			t.Errorf("protocol %d, %v, flags %#x, %v: not steady, %v follows", proto, s, flags, dir, is)
		}
		got[i] = *c
		if err := x.verify(); err != nil {
			t.Fatal(err)
		}
		x.Remove(c)
		x.SetTimeouts(Timeouts{TCP: 15 * time.Minute, UDP: 5 * time.Minute})
	}
	got[0].ahead, got[1].ahead = 0, 0 // what was there before
	if got[0] != got[1] {
		t.Errorf("protocol %d, %v, flags %#x, %v:\n renewed %+v\nadvanced %+v", proto, s, flags, dir, got[0], got[1])
	}
	return true
}
