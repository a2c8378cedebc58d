package forward_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/packet"
)

const sipVirtual = "192.0.2.100:5060"

// sipRules are a service with three servers, which get calls in the order 3, 2, 1.
func sipRules(method string, more ...string) []string {
	rules := []string{"-A -u " + sipVirtual + " -s rr -p 60 --pe sip " + strings.Join(more, " ")}
	for i := 1; i <= 3; i++ {
		rules = append(rules, fmt.Sprintf("-a -u %s -r 172.16.0.1%d:5060 %s", sipVirtual, i, method))
	}
	return rules
}

func message(call string) string {
	if call == "" {
		return "OPTIONS sip:a@example.org SIP/2.0\r\n\r\n"
	}
	return "INVITE sip:a@example.org SIP/2.0\r\nCall-ID: " + call + "\r\n\r\n"
}

// call sends a message of a client and returns the number of the server that got it, 0 for none.
func (x *masq) call(from, call string) int {
	x.t.Helper()
	out := x.pass(0, frame(packet.ProtoUDP, from, sipVirtual, func(p *packet.Spec) { p.Payload = []byte(message(call)) }))
	if out == nil {
		return 0
	}
	return int(packet.Ethernet(out).Dst()[5]) - 10
}

func TestSIPCalls(t *testing.T) {
	x := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 64}}, sipRules("-g")...)
	for i, c := range []struct {
		from, call string
		want       int
	}{
		{"198.51.100.1:1", "a", 3}, {"198.51.100.1:2", "b", 2}, {"198.51.100.1:3", "c", 1},
		{"198.51.100.1:4", "a", 3}, {"198.51.100.1:5", "b", 2}, {"198.51.100.1:6", "c", 1},
		{"198.51.100.2:1", "a", 3}, // another client's call of the same name
		{"198.51.100.1:7", "A", 2}, // case matters
		{"198.51.100.1:8", "", 0},
		{"198.51.100.1:8", "a", 3},
		{"198.51.100.1:8", "b", 3}, // a known connection is not read
	} {
		if got := x.call(c.from, c.call); got != c.want {
			t.Errorf("%d: call %q of %s went to %d, want %d (%v)", i, c.call, c.from, got, c.want, x.last.Drop)
		}
		if c.want == 0 && x.last.Drop != packet.DropNoCall {
			t.Errorf("%d: dropped for %v, want %v", i, x.last.Drop, packet.DropNoCall)
		}
	}
	calls := map[string]bool{}
	for _, s := range x.conns() {
		if _, call, ok := strings.Cut(s, " sip "); ok {
			calls[call] = true
		}
	}
	for _, call := range []string{"a", "b", "c", "A"} {
		if !calls[call] {
			t.Errorf("call %q is not listed: %v", call, calls)
		}
	}
	tcp := frame(packet.ProtoTCP, "198.51.100.1:1", "192.0.2.100:5061", nil)
	if x.pass(0, tcp) != nil {
		t.Errorf("a port that is no service")
	}
}

// TestSIPCallsEnd: the memory of calls is free when their templates end, however many there were.
func TestSIPCallsEnd(t *testing.T) {
	x := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 16}}, append(sipRules("-g"), "--set 0 0 1")...)
	for round := range 20 {
		n := 0
		for i := range 16 {
			if x.call(fmt.Sprintf("198.51.100.%d:5060", i+1), fmt.Sprintf("call-%d-%d", round, i)) != 0 {
				n++
			}
		}
		if n != 8 || x.last.Drop != packet.DropTableFull {
			t.Fatalf("round %d: %d calls, want 8; %v", round, n, x.last.Drop)
		}
		for range 50 {
			x.now = x.now.Add(5 * time.Second)
			x.step()
		}
		x.listed()
	}
}

// TestSIPAgainstMap plays many clients and calls and compares with a map, over the end of templates.
func TestSIPAgainstMap(t *testing.T) {
	x := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 4096, Seed: 3}}, append(sipRules("-g"), "--set 0 0 1")...)
	chosen := map[string]int{}
	for i := range 3000 {
		client, call := fmt.Sprintf("198.51.100.%d", i*7%11+1), fmt.Sprintf("%d@example.org", i*i%97)
		got := x.call(fmt.Sprintf("%s:%d", client, 1024+i), call)
		if want, ok := chosen[client+" "+call]; ok && got != want || got == 0 {
			t.Fatalf("message %d: call %s of %s went to %d, want %d", i, call, client, got, want)
		}
		chosen[client+" "+call] = got
		if i%100 == 0 {
			x.now = x.now.Add(time.Second)
		}
	}
	for range 60 {
		x.now = x.now.Add(5 * time.Second)
		x.step()
	}
	x.listed()
}

// TestSIPServerCalls: a real server calls a client that is unknown, and the client's answer comes back to it.
func TestSIPServerCalls(t *testing.T) {
	for _, c := range []struct {
		name, extra string
		left        int // connections afterwards
	}{{"connections", "", 2}, {"one packet", "-o", 0}} {
		t.Run(c.name, func(t *testing.T) {
			x := newMasq(t, forward.Options{}, sipRules("-m", c.extra)...)
			out := func(from, to, call string) []byte {
				return x.pass(1, frame(packet.ProtoUDP, from, to, func(p *packet.Spec) { p.Payload = []byte(message(call)) }))
			}
			if out("172.16.0.11:5060", "198.51.100.9:5060", "x") != nil {
				t.Errorf("sent, and no client has shown the way")
			}
			x.call("198.51.100.1:5060", "a")
			f := out("172.16.0.11:5060", "198.51.100.9:5060", "x")
			var m packet.Meta
			if f == nil || packet.Parse(f, &m) != packet.NoDrop || m.Tuple != tuple(packet.ProtoUDP, sipVirtual, "198.51.100.9:5060") ||
				!packet.ChecksumOK(f, &m) || packet.Ethernet(f).Dst() != clientMAC {
				t.Fatalf("the client got %v", m.Tuple)
			}
			if got := x.call("198.51.100.9:5060", "x"); got != 1 {
				t.Errorf("the client's answer went to %d, want 1", got)
			}
			if got := x.call("198.51.100.9:5061", "x"); got != 1 {
				t.Errorf("what it says from another port went to %d, want 1", got)
			}
			for name, from := range map[string]string{"another port": "172.16.0.11:5062", "another server": "172.16.0.19:5060"} {
				if out(from, "198.51.100.9:5060", "x") != nil {
					t.Errorf("from %s: forwarded", name)
				}
			}
			if out("172.16.0.12:5060", "198.51.100.8:5060", "") != nil {
				t.Errorf("without a Call-ID: forwarded")
			}
			n := 0
			for _, s := range x.conns() {
				if strings.Contains(s, "198.51.100.9") && !strings.Contains(s, " sip ") {
					n++
				}
			}
			if n != c.left {
				t.Errorf("%d connections of the client, want %d: %v", n, c.left, x.conns())
			}
		})
	}
}

func TestSIPAllocatesNothing(t *testing.T) {
	x := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 1 << 14}}, sipRules("-g")...)
	frames := make([][]byte, 4096)
	for i := range frames {
		frames[i] = frame(packet.ProtoUDP, fmt.Sprintf("198.51.100.1:%d", i+1), sipVirtual, func(p *packet.Spec) {
			p.Payload = []byte(message(fmt.Sprint(i % 64)))
		})
	}
	next := 0
	round := func() {
		for range 16 {
			x.lane.Inject(0, frames[next%len(frames)])
			next++
		}
		x.step()
		x.lane.Sent(1)
	}
	round()
	lane := testing.AllocsPerRun(50, func() { // what the lane itself takes for as many frames of a known connection
		for range 16 {
			x.lane.Inject(0, frames[0])
		}
		x.step()
		x.lane.Sent(1)
	})
	if got := testing.AllocsPerRun(50, round); got > lane {
		t.Errorf("%v allocations for 16 new connections, %v without any", got, lane)
	}
}
