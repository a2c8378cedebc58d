package conntrack

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dirsw/packet"
)

// persistRow is a case of a persistent service: what came, and what ipvsadm -Lnc listed.
type persistRow struct {
	Case  string
	Rules []string
	Steps []struct {
		Op, Proto, C, V, RS, From, Flags string
		S                                float64
		Seq                              [][]any
		Conns                            []string
	}
}

// persistent plays the forwarder of one persistent service.
type persistent struct {
	*bench
	timeout time.Duration
}

func tupleOf(t *testing.T, proto uint8, client, virtual string) packet.Tuple {
	t.Helper()
	c, err := netip.ParseAddrPort(client)
	if err != nil {
		t.Fatal(err)
	}
	v, err := netip.ParseAddrPort(virtual)
	if err != nil {
		t.Fatal(err)
	}
	return packet.Tuple{Src: packet.AddrFrom(c.Addr()), SrcPort: c.Port(), Dst: packet.AddrFrom(v.Addr()),
		DstPort: v.Port(), Proto: proto, Family: packet.IPv4Family}
}

// open makes a connection as the kernel did: through the template if there is one, else by its choice of server.
func (p *persistent) open(t *testing.T, client, virtual, server string) {
	t.Helper()
	k := tupleOf(t, p.proto, client, virtual)
	real := netip.MustParseAddrPort(server)
	s := Spec{Tuple: k, Real: packet.AddrFrom(real.Addr()), RealPort: real.Port(), Flags: OneWay, Event: UDPAny}
	if p.proto == packet.ProtoTCP {
		s.Event = TCPSyn
	}
	tk := k
	tk.SrcPort = 0
	h := p.HashTemplate(&tk)
	tpl := p.Template(&tk, h)
	if tpl != nil && tpl.Real() != s.Real {
		t.Errorf("%s: the template says %v, the kernel chose %s", client, tpl.Real(), server)
	}
	if tpl == nil {
		ts := s
		ts.Tuple, ts.Event = tk, Keep
		var err error
		if tpl, err = p.InsertTemplate(&ts, h, p.timeout, p.now); err != nil {
			t.Fatal(err)
		}
	}
	c, err := p.Insert(&s, p.Hash(&k), p.now)
	if err != nil {
		t.Fatal(err)
	}
	p.Control(c, tpl, p.now)
}

// listing is what ipvsadm -Lnc would print of the table, in the words of the transcript.
func (p *persistent) listing() (lines []string) {
	p.Scan(0, 1000, func(c *Conn) bool {
		name := map[uint8]string{packet.ProtoTCP: "TCP", packet.ProtoUDP: "UDP"}[c.Proto()]
		lines = append(lines, fmt.Sprintf("%s %v:%d %v:%d %v:%d %v %d", name, c.Client(), c.ClientPort(), c.Virtual(),
			c.VirtualPort(), c.Real(), c.RealPort(), c.State(), int(c.Left(p.now)/time.Second)))
		return true
	})
	slices.Sort(lines)
	return lines
}

// sameListing compares, allowing a second more left than the kernel truncated to.
func sameListing(got, want []string) bool {
	return slices.EqualFunc(got, want, func(g, w string) bool {
		i, j := strings.LastIndexByte(g, ' '), strings.LastIndexByte(w, ' ')
		var a, b int
		_, e1 := fmt.Sscan(g[i:], &a)
		_, e2 := fmt.Sscan(w[j:], &b)
		return e1 == nil && e2 == nil && g[:i] == w[:j] && (a == b || a == b+1)
	})
}

func TestOraclePersistence(t *testing.T) {
	all := rows[persistRow](t, "persist-time")
	for _, r := range all {
		t.Run(r.Case, func(t *testing.T) {
			var p persistent
			for _, rule := range r.Rules {
				if f := strings.Fields(rule); f[0] == "-A" {
					p.bench = newBench(t, map[string]string{"-t": "tcp", "-u": "udp"}[f[1]], "dr")
					var sec int
					if _, err := fmt.Sscan(f[len(f)-1], &sec); err != nil {
						t.Fatal(err)
					}
					p.timeout = time.Duration(sec) * time.Second
				}
			}
			for _, rule := range r.Rules {
				if set, ok := strings.CutPrefix(rule, "--set "); ok {
					p.set(t, set)
				}
			}
			for i, s := range r.Steps {
				switch s.Op {
				case "newseq":
					for _, q := range s.Seq {
						p.open(t, q[0].(string), q[1].(string), q[2].(string))
					}
				case "pkt":
					k := tupleOf(t, p.proto, s.C, s.V)
					c, d := p.Lookup(&k, p.Hash(&k))
					if c == nil || s.Flags != "A" {
						t.Fatalf("step %d: %v, packet %s", i, c, s.Flags)
					}
					p.Advance(c, d, TCPAck, p.now)
				case "sleep":
					p.now = p.now.Add(time.Duration(s.S * float64(time.Second)))
					p.Expire(p.now, 1000, nil)
				case "conns":
					want := slices.Sorted(slices.Values(s.Conns))
					if got := p.listing(); !sameListing(got, want) {
						t.Errorf("step %d:\n got %q\nwant %q", i, got, want)
					}
				default:
					t.Fatalf("step %d: %q", i, s.Op)
				}
			}
		})
	}
	if len(all) != 3 {
		t.Errorf("%d rows, want 3", len(all))
	}
}

// template enters a template of 10 s and a UDP connection of the client on port 1 through it.
func template(t *testing.T, x *Table) (tpl, c *Conn, k packet.Tuple) {
	t.Helper()
	k = tcp("198.51.100.1", 0)
	k.Proto = packet.ProtoUDP
	tpl, err := x.InsertTemplate(&Spec{Tuple: k}, x.HashTemplate(&k), 10*time.Second, start)
	if err != nil {
		t.Fatal(err)
	}
	ck := k
	ck.SrcPort = 1
	if c, err = x.Insert(&Spec{Tuple: ck, Event: UDPAny}, x.Hash(&ck), start); err != nil {
		t.Fatal(err)
	}
	x.Control(c, tpl, start)
	return tpl, c, k
}

func TestTemplateKeysAreApart(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	tpl, _, k := template(t, x)
	if c, _ := x.Lookup(&k, x.Hash(&k)); c != nil {
		t.Errorf("a packet from port 0 found the template")
	}
	port0, err := x.Insert(&Spec{Tuple: k, Event: UDPAny}, x.Hash(&k), start)
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := x.Lookup(&k, x.Hash(&k)); c != port0 {
		t.Errorf("Lookup of port 0: %p, want %p", c, port0)
	}
	// Even the hash of the other space does not lead over.
	if c, _ := x.Lookup(&k, x.HashTemplate(&k)); c != nil {
		t.Errorf("the template is found by Lookup")
	}
	if got := x.Template(&k, x.HashTemplate(&k)); got != tpl {
		t.Errorf("Template: %p, want %p", got, tpl)
	}
	if x.Len() != 2 || x.Templates() != 1 {
		t.Errorf("%d connections, %d templates, want 2 and 1", x.Len(), x.Templates())
	}
}

func TestTemplateAssuredByUDPReply(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	tpl, c, _ := template(t, x)
	x.Advance(c, FromClient, UDPAny, start)
	if tpl.State() != None {
		t.Errorf("state %v before the reply, want NONE", tpl.State())
	}
	x.Advance(c, FromServer, UDPAny, start)
	if tpl.State() != Assured {
		t.Errorf("state %v after the reply, want ASSURED", tpl.State())
	}
}

func TestTemplateOutlivesItsTime(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	tpl, c, k := template(t, x)
	now := start.Add(10*time.Second + 20*time.Millisecond)
	x.Expire(now, 100, nil)
	if x.Template(&k, x.HashTemplate(&k)) != tpl || tpl.Left(now) != time.Minute {
		t.Fatalf("left %v after its time with a connection, want 1m", tpl.Left(now))
	}
	x.Remove(c)
	if tpl.Users() != 0 {
		t.Errorf("%d users, want 0", tpl.Users())
	}
	x.Expire(now.Add(time.Minute-1), 100, nil)
	if x.Templates() != 1 {
		t.Errorf("gone before its minute was over")
	}
	x.Expire(now.Add(time.Minute+20*time.Millisecond), 100, nil)
	if x.Templates() != 0 {
		t.Errorf("not gone after its minute")
	}
}

// TestTemplateGoesFirst: its slot serves nothing else before the connection through it has ended.
func TestTemplateGoesFirst(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	tpl, c, k := template(t, x)
	slot := tpl.Slot()
	x.Remove(tpl)
	if x.TemplateOf(c) != nil {
		t.Errorf("a removed template is still linked")
	}
	k.Dst = addr("192.0.2.101")
	other, err := x.InsertTemplate(&Spec{Tuple: k}, x.HashTemplate(&k), 10*time.Second, start)
	if err != nil {
		t.Fatal(err)
	}
	if other.Slot() == slot || x.Templates() != 1 || x.Len() != 1 {
		t.Fatalf("slot %d again, %d templates and %d connections, want 1 and 1", other.Slot(), x.Templates(), x.Len())
	}
	x.Advance(c, FromServer, UDPAny, start)
	if other.State() != None {
		t.Errorf("a stranger's template became %v", other.State())
	}
	x.Remove(c)
	if other.Users() != 0 {
		t.Errorf("a stranger's template has %d users", int32(other.Users()))
	}
	for i := range 2 { // the slots of the connection and of its template
		k.Dst[15]++
		again, err := x.InsertTemplate(&Spec{Tuple: k}, x.HashTemplate(&k), time.Second, start)
		if err != nil || again.Users() != 0 {
			t.Errorf("template %d has %d users, %v, want none", i, again.Users(), err)
		}
	}
	if x.At(slot) == nil {
		t.Errorf("the slot was not used again")
	}
}

// TestControlAssures: a connection that is established by its first packet assures its template.
func TestControlAssures(t *testing.T) {
	for ev, want := range map[Event]State{TCPSyn: None, TCPAck: Assured, SCTPChunkInit: None, SCTPChunkData: Assured,
		UDPAny: None} {
		x := newTable(t, Options{MaxConns: 8})
		k := tcp("198.51.100.1", 0)
		p, err := x.InsertTemplate(&Spec{Tuple: k}, x.HashTemplate(&k), 10*time.Second, start)
		if err != nil {
			t.Fatal(err)
		}
		k.SrcPort = 4000
		c, err := x.Insert(&Spec{Tuple: k, Event: ev}, x.Hash(&k), start)
		if err != nil {
			t.Fatal(err)
		}
		x.Control(c, p, start)
		if p.State() != want {
			t.Errorf("event %d: the template is %v, want %v", ev, p.State(), want)
		}
	}
}

func TestRetire(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	old, c, k := template(t, x)
	h := x.HashTemplate(&k)
	x.Retire(old)
	x.Retire(old)
	if x.Template(&k, h) != nil {
		t.Errorf("a retired template is found")
	}
	if old.ClientPort() != 0 || old.VirtualPort() != 65535 || old.RealPort() != 65535 || x.TemplateOf(c) != old {
		t.Errorf("retired: %v, real port %d", old.Tuple(), old.RealPort())
	}
	young, err := x.InsertTemplate(&Spec{Tuple: k}, h, 10*time.Second, start)
	if err != nil || x.Template(&k, h) != young {
		t.Fatalf("no new template beside a retired one: %v", err)
	}
	x.Remove(c)
	now := start
	for range 2 {
		now = now.Add(11 * time.Second)
		x.Expire(now, 100, nil)
	}
	if x.Templates() != 0 {
		t.Errorf("%d templates left, want 0", x.Templates())
	}
}

// TestControlAgain: a connection that is given another template leaves the first one.
func TestControlAgain(t *testing.T) {
	x := newTable(t, Options{MaxConns: 8})
	tpl, c, k := template(t, x)
	k.Dst = addr("192.0.2.101")
	other, err := x.InsertTemplate(&Spec{Tuple: k}, x.HashTemplate(&k), 10*time.Second, start)
	if err != nil {
		t.Fatal(err)
	}
	x.Control(c, other, start.Add(5*time.Second))
	if tpl.Users() != 0 || other.Users() != 1 || x.TemplateOf(c) != other {
		t.Errorf("users %d and %d, want 0 and 1", tpl.Users(), other.Users())
	}
	if left := other.Left(start.Add(5 * time.Second)); left != 10*time.Second {
		t.Errorf("left %v, want 10s", left)
	}
}
