package forward_test

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
	"dirsw/sched"
)

// defaultSync is what the kernel's sysctls are at first.
var defaultSync = forward.Sync{Threshold: 3, Period: 50}

// edit publishes the snapshot of x with a change.
func (x *masq) edit(change func(*forward.Snapshot)) {
	s := *x.snap
	s.Gen++
	s.Dests = slices.Clone(s.Dests)
	change(&s)
	x.snap = &s
	x.w.Publish(&s)
	x.step()
}

// newMaster and newBackup are two directors with the same rules.
func newMaster(t testing.TB, rules ...string) *masq {
	x := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 1024}}, rules...)
	x.edit(func(s *forward.Snapshot) { s.Sync = defaultSync; s.Sync.Master = true })
	return x
}

func newBackup(t testing.TB, rules ...string) *masq {
	x := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 1024}}, rules...)
	x.edit(func(s *forward.Snapshot) { s.Sync = defaultSync; s.Sync.Backup = true })
	return x
}

func (x *masq) count() (c forward.Counters) {
	x.now = x.now.Add(time.Second)
	x.step()
	x.w.ReadCounters(&c)
	return c
}

// tcp sends packets of a client and returns the server that got the last, "" if none did.
func (x *masq) tcp(from, to string, flags ...uint8) (server string) {
	x.t.Helper()
	for _, f := range flags {
		server = ""
		if out := x.pass(0, frame(packet.ProtoTCP, from, to, func(p *packet.Spec) { p.TCPFlags = f })); out != nil {
			server = x.snap.Dests[x.last.Dest].Addr.String()
		}
	}
	return server
}

func TestSyncOffTellsNothing(t *testing.T) {
	x := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 64}}, sticky...)
	x.tcp(client(1), vip, packet.SYN, packet.ACK, packet.ACK, packet.ACK)
	x.edit(func(s *forward.Snapshot) { s.Sync = defaultSync; s.Sync.Backup = true })
	x.tcp(client(1), vip, packet.ACK)
	if got := x.told(); len(got) != 0 || x.count().SyncTold != 0 {
		t.Errorf("%d records told", len(got))
	}
	x.edit(func(s *forward.Snapshot) { s.Sync.Master = true })
	x.tcp(client(1), vip, packet.FIN|packet.ACK)
	x.edit(func(s *forward.Snapshot) { s.Sync.Master = false })
	x.tcp(client(1), vip, packet.RST)
	if got := x.told(); len(got) != 2 || got[0].State != conntrack.TCPFinWait || !got[1].IsTemplate() {
		t.Errorf("while it was a master it told of %d, want the connection and its template", len(got))
	}
}

func TestSyncRingFull(t *testing.T) {
	x := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 1 << 15}}, sticky...)
	x.edit(func(s *forward.Snapshot) { s.Sync = defaultSync; s.Sync.Master = true })
	x.tcp(client(1), vip, packet.SYN)
	for range 9000 {
		x.tcp(client(1), vip, packet.ACK)
	}
	got := x.told()
	c := x.count()
	// The template, which each packet tells of, leaves a quarter of the room to what is told once.
	if len(got) < 8192*3/4 || len(got) > 8192*3/4+70 || c.SyncTold != uint64(len(got)) || c.SyncDropped < 2800 || c.Forwarded != 9001 {
		t.Errorf("%d records, %d counted, %d dropped, %d forwarded", len(got), c.SyncTold, c.SyncDropped, c.Forwarded)
	}
	conns := 0
	for i := range got {
		if !got[i].IsTemplate() {
			conns++
		}
	}
	if conns != 180 { // packets 3, 53, 103 and so on
		t.Errorf("the connection is told of %d times", conns)
	}
	for i := range 9000 {
		x.tcp(fmt.Sprintf("198.51.%d.%d:7", i/200, i%200), vip, packet.SYN, packet.FIN)
	}
	if got = x.told(); len(got) != 8192 {
		t.Errorf("%d records in a full ring", len(got))
	}
	x.tcp(client(1), vip, packet.ACK)
	if got := x.told(); len(got) != 1 {
		t.Errorf("%d records after there was room again, want the template", len(got))
	}
}

// TestSyncFollowsConnections: the states and counts of a backup are those that were told last, until the end.
func TestSyncFollowsConnections(t *testing.T) {
	m, b := newMaster(t, twoServers...), newBackup(t, twoServers...)
	for _, c := range []struct {
		flags            []uint8
		state            string
		active, inactive int
		renewed          uint64
	}{
		{[]uint8{packet.SYN, packet.ACK}, "", 0, 0, 0},
		{[]uint8{packet.ACK}, "ESTABLISHED", 1, 0, 0},
		{[]uint8{packet.FIN}, "FIN_WAIT", 0, 1, 1},
		{[]uint8{packet.SYN, packet.ACK}, "FIN_WAIT", 0, 1, 1},
		{[]uint8{packet.RST}, "CLOSE", 0, 1, 2},
	} {
		m.tcp(client(1), vip, c.flags...)
		b.learn(t, m.told())
		var want []string
		if c.state != "" {
			want = []string{c.state + " " + client(1) + " " + vip + " 172.16.0.12:80"}
		}
		b.listed(want...)
		active, inactive := 0, 0
		for i := range b.snap.Dests {
			active += b.snap.Dests[i].Load.Active()
			inactive += b.snap.Dests[i].Load.Inactive()
		}
		n := b.count()
		if active != c.active || inactive != c.inactive || n.SyncRenewed != c.renewed {
			t.Errorf("%s: %d active, %d inactive, told %d times again", c.state, active, inactive, n.SyncRenewed)
		}
	}
	b.now = b.now.Add(10 * time.Second)
	b.step()
	b.now = b.now.Add(time.Second)
	b.step()
	b.listed()
	for i := range b.snap.Dests {
		if !b.snap.Dests[i].Load.Idle() {
			t.Errorf("server %d still counts connections", i)
		}
	}
}

// TestSyncReplaced: a connection that goes to another server takes the place of the one that is known; the end of the old one
// comes too late to matter.
func TestSyncReplaced(t *testing.T) {
	b := newBackup(t, twoServers...)
	r := toldOf(client(1), vip, "172.16.0.11:80")
	other := toldOf(client(1), vip, "172.16.0.12:80")
	b.learn(t, []conntrack.Record{r, other})
	b.listed("ESTABLISHED " + client(1) + " " + vip + " 172.16.0.12:80")
	r.State, r.Flags = conntrack.TCPClose, r.Flags|conntrack.RecordInactive
	b.learn(t, []conntrack.Record{r})
	b.listed("ESTABLISHED " + client(1) + " " + vip + " 172.16.0.12:80")
	if n := b.count(); n.SyncRefused[forward.RefusedReplaced] != 1 || n.SyncLearned != 2 {
		t.Errorf("%d learned, refused %v", n.SyncLearned, n.SyncRefused)
	}
	if a, c := &b.snap.Dests[0], &b.snap.Dests[1]; a.Load.Active()+c.Load.Active() != 1 || a.Load.Inactive()+c.Load.Inactive() != 0 {
		t.Errorf("active %d and %d", a.Load.Active(), c.Load.Active())
	}
}

// toldOf is the record of an established TCP connection in direct routing.
func toldOf(client, virtual, real string) conntrack.Record {
	to := tuple(packet.ProtoTCP, client, real)
	return conntrack.Record{Tuple: tuple(packet.ProtoTCP, client, virtual), Real: to.Dst, RealPort: to.DstPort,
		Flags: conntrack.RecordRoute | conntrack.RecordNoOutput, State: conntrack.TCPEstablished, Timeout: 15 * time.Minute}
}

func TestSyncRefusals(t *testing.T) {
	engine := func(r *conntrack.Record) {
		r.Flags, r.State, r.SrcPort = conntrack.RecordTemplate, conntrack.None, 0
		r.EngineLen = uint8(copy(r.Engine[:], "sip"))
		r.DataLen = uint8(copy(r.Data[:], "a"))
	}
	for _, c := range []struct {
		name string
		want forward.Refusal
		edit func(*conntrack.Record)
	}{
		{"server", forward.RefusedServer, func(r *conntrack.Record) { r.Real[15]++ }},
		{"port of the server", forward.RefusedServer, func(r *conntrack.Record) { r.RealPort++ }},
		{"service", forward.RefusedServer, func(r *conntrack.Record) { r.DstPort++ }},
		{"bypass without a service by mark", forward.RefusedServer, func(r *conntrack.Record) {
			r.Flags, r.Real[15] = conntrack.RecordBypass, 99
		}},
		{"family", forward.RefusedValue, func(r *conntrack.Record) { r.Family = 5 }},
		{"addresses of two families", forward.RefusedValue, func(r *conntrack.Record) { r.Real = addrOf("2001:db8::1") }},
		{"protocol", forward.RefusedValue, func(r *conntrack.Record) { r.Proto = 50 }},
		{"state of another protocol", forward.RefusedValue, func(r *conntrack.Record) { r.State = conntrack.SCTPClosed }},
		{"state of no protocol", forward.RefusedValue, func(r *conntrack.Record) { r.State = conntrack.States + 200 }},
		{"time", forward.RefusedValue, func(r *conntrack.Record) { r.Timeout = -1 }},
		{"method", forward.RefusedValue, func(r *conntrack.Record) { r.Flags |= 7 }},
		{"no client port", forward.RefusedValue, func(r *conntrack.Record) { r.Flags |= conntrack.RecordNoClientPort }},
		{"template with a port", forward.RefusedValue, func(r *conntrack.Record) {
			r.Flags, r.State = conntrack.RecordTemplate, conntrack.Assured
		}},
		{"template in a state of TCP", forward.RefusedValue, func(r *conntrack.Record) { r.Flags, r.SrcPort = conntrack.RecordTemplate, 0 }},
		{"template of no protocol", forward.RefusedValue, func(r *conntrack.Record) {
			r.Flags, r.SrcPort, r.State, r.Proto = conntrack.RecordTemplate, 0, conntrack.None, 0
		}},
		{"engine", forward.RefusedValue, func(r *conntrack.Record) { engine(r); r.Engine[0] = 'x' }},
		{"engine without a call", forward.RefusedValue, func(r *conntrack.Record) { engine(r); r.DataLen = 0 }},
		{"length of the engine", forward.RefusedValue, func(r *conntrack.Record) { engine(r); r.EngineLen = 17 }},
		{"engine that no service has", forward.RefusedEngine, engine},
		{"nothing", forward.Taken, func(*conntrack.Record) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBackup(t, oneServer...)
			r := toldOf(client(1), vip, "172.16.0.11:80")
			c.edit(&r)
			b.learn(t, []conntrack.Record{r})
			var want [forward.Refusals]uint64
			learned := uint64(1)
			if c.want != forward.Taken {
				want[c.want], learned = 1, 0
			}
			if n := b.count(); n.SyncRefused != want || n.SyncLearned != learned || n.Connections+n.Templates != learned {
				t.Errorf("refused %v, learned %d; want %v", n.SyncRefused, n.SyncLearned, c.want)
			}
		})
	}
	if forward.Refusals.String() != "invalid" {
		t.Error("there are names for more reasons than there are")
	}
}

func TestSyncIntoFullTable(t *testing.T) {
	b := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 2}}, sticky...)
	b.edit(func(s *forward.Snapshot) { s.Sync.Backup = true })
	var all []conntrack.Record
	for p := range 3 {
		all = append(all, toldOf(client(1+p), vip, "172.16.0.11:80"))
	}
	template := all[0]
	template.SrcPort, template.State, template.Flags = 0, conntrack.Assured, template.Flags|conntrack.RecordTemplate
	b.learn(t, append(all, template))
	if n := b.count(); n.SyncLearned != 2 || n.SyncRefused[forward.RefusedFull] != 2 {
		t.Errorf("%d learned, refused %v", n.SyncLearned, n.SyncRefused)
	}
}

// TestSyncStrangers: connections of a server that is not here go on, and belong to it once it is here.
func TestSyncStrangers(t *testing.T) {
	b := newBackup(t, oneServer...)
	b.edit(func(s *forward.Snapshot) { addStranger(s, "172.16.0.12") })
	r := toldOf(client(1), vip, "172.16.0.12:80")
	template := r
	template.SrcPort, template.State, template.Flags = 0, conntrack.Assured, template.Flags|conntrack.RecordTemplate
	b.learn(t, []conntrack.Record{r, template})
	if got := b.tcp(client(1), vip, packet.ACK); got != "172.16.0.12" {
		t.Errorf("went to %q (%v)", got, b.last.Drop)
	}
	stranger := &b.snap.Dests[1]
	if stranger.Load.Active() != 1 || stranger.Load.Persistent() != 1 {
		t.Errorf("%d connections and %d templates counted", stranger.Load.Active(), stranger.Load.Persistent())
	}
	b.count() // commits the tallies
	next := compiled(t, 1, twoServers...)
	b.edit(func(s *forward.Snapshot) {
		d := next.Dests[1]
		d.Service = 0
		s.Dests = append(s.Dests, d)
	})
	b.learn(t, []conntrack.Record{r, template})
	if b.tcp(client(1), vip, packet.ACK); b.last.Dest != 2 || !stranger.Load.Idle() || b.snap.Dests[2].Load.Active() != 1 ||
		b.snap.Dests[2].Load.Persistent() != 1 {
		t.Errorf("connection of server %d, the stranger still counts: %v", b.last.Dest, !stranger.Load.Idle())
	}
	if n := b.count(); n.Connections != 1 || n.Templates != 1 {
		t.Errorf("%d connections, %d templates", n.Connections, n.Templates)
	}
}

// TestSyncSIP: a template that was told of is found by the Call-ID.
func TestSyncSIP(t *testing.T) {
	m, b := newMaster(t, sipRules("-g")...), newBackup(t, sipRules("-g")...)
	for i, call := range []string{"a@1", "b@2", strings.Repeat("c", 255)} {
		want := m.call(fmt.Sprintf("198.51.100.9:%d", 5000+i), call)
		b.learn(t, m.told())
		for range 2 { // rr would choose others
			if got := b.call(fmt.Sprintf("198.51.100.9:%d", 6000+i), call); got != want || b.last.Why == forward.WhyScheduler {
				t.Errorf("%.5s: server %d by %v, want %d by the template", call, got, b.last.Why, want)
			}
		}
	}
	b.learn(t, m.all(t))
	if n := b.count(); n.Templates != 3 || n.SyncRefused != [forward.Refusals]uint64{} {
		t.Errorf("%d templates, refused %v", n.Templates, n.SyncRefused)
	}
}

// TestSyncFTP: a data connection tells of its control connection, and that goes on with the numbers that its sides have seen.
func TestSyncFTP(t *testing.T) {
	rules := masqRules(ftpVirtual, ftpReal)
	s := newSession(t, ftpClient, ftpVirtual, ftpReal, rules...)
	s.edit(func(p *forward.Snapshot) { p.Sync = defaultSync; p.Sync.Master = true })
	s.say(byServer, packet.ACK|packet.PSH, "220 hello\r\n")
	s.say(byClient, packet.ACK|packet.PSH, "PASV\r\n")
	if got := s.say(byServer, packet.ACK|packet.PSH, "227 (1,2,3,4,195,80)\r\n"); got != "227 (192,0,2,100,195,80)\r\n" {
		t.Fatal(got)
	}
	s.told()
	s.pass(0, frame(packet.ProtoTCP, "198.51.100.7:40001", "192.0.2.100:50000", func(p *packet.Spec) { p.TCPFlags = packet.SYN }))
	told := s.told()
	if len(told) != 1 || told[0].DstPort != 21 || told[0].Flags != conntrack.RecordOutSeq || told[0].Out.Delta != 4 {
		t.Fatalf("the first packet of the data connection tells of %d: %+v", len(told), told)
	}
	b := newBackup(t, rules...)
	b.learn(t, told)
	s.masq = b
	s.pass(0, frame(packet.ProtoTCP, "198.51.100.8:1", ftpVirtual, func(p *packet.Spec) { p.TCPFlags = packet.SYN })) // by the router
	s.say(byServer, packet.ACK|packet.PSH, "150 here it comes\r\n")
	s.say(byClient, packet.ACK|packet.PSH, "PASV\r\n")
	if got := s.say(byServer, packet.ACK|packet.PSH, "227 (1,2,3,4,195,81)\r\n"); got != "227 (192,0,2,100,195,81)\r\n" {
		t.Errorf("the new director lets the client read %q", got)
	}
	s.say(byClient, packet.ACK, "")
}

// TestSyncWayBack: a server that speaks first reaches its client, once the director knows where clients are.
func TestSyncWayBack(t *testing.T) {
	for _, e := range natEnds {
		b := newBackup(t, "-A -t "+e.service+" -s rr", "-a -t "+e.service+" -r "+e.server+" -m")
		r := toldOf(e.clientOf(1), e.service, e.server)
		r.Flags = conntrack.RecordMasq
		b.learn(t, []conntrack.Record{r})
		reply := frame(packet.ProtoTCP, e.server, e.clientOf(1), func(p *packet.Spec) { p.TCPFlags = packet.ACK })
		if b.pass(1, reply) != nil || b.last.Drop != packet.DropNoNextHop {
			t.Errorf("%s: before any client was heard of: %v", e.service, b.last.Drop)
		}
		if b.pass(1, reply); b.lost() != e.clientOf(0) {
			t.Errorf("%s: the director is not asked for the way, once", e.service)
		}
		b.pass(0, frame(packet.ProtoTCP, e.clientOf(2), e.service, func(p *packet.Spec) { p.TCPFlags = packet.SYN }))
		if out := b.pass(1, reply); out == nil || packet.Ethernet(out).Dst() != clientMAC {
			t.Errorf("%s: the reply did not go the way of other clients: %v", e.service, b.last.Drop)
		}
		b.now = b.now.Add(time.Second)
		if b.pass(1, reply); b.lost() != e.clientOf(0) {
			t.Errorf("%s: the director is not asked again", e.service)
		}
		done := make(chan struct{}, 1)
		near := packet.MAC{2, 9, 9, 9, 9, 9}
		b.w.Post(forward.Command{Way: &forward.Way{Client: r.Src, Port: 0, MAC: near}, Done: done})
		if out := b.pass(1, reply); out == nil || packet.Ethernet(out).Dst() != near || b.lost() != "" {
			t.Errorf("%s: the reply did not go the way that was answered: %v", e.service, b.last.Drop)
		}
		b.pass(0, frame(packet.ProtoTCP, e.clientOf(1), e.service, func(p *packet.Spec) { p.TCPFlags = packet.ACK }))
		if out := b.pass(1, reply); out == nil || packet.Ethernet(out).Dst() != clientMAC {
			t.Errorf("%s: the reply did not go the way of the client's own packet: %v", e.service, b.last.Drop)
		}
	}
}

// TestSyncBypass: what found no server and went where the client wanted goes there from another director, too.
func TestSyncBypass(t *testing.T) {
	bypass := func(x *masq) *masq {
		x.edit(func(s *forward.Snapshot) {
			s.Marks = markFive() // by which alone packets are for here
			s.Marks.Everywhere, s.Marks.Nets = false, []forward.LocalNet{{Addr: addrOf("0.0.0.0"), Free: 32, Mark: 5, Mask: ^uint32(0)}}
			s.Services = slices.Clone(s.Services)
			s.Services[0].Bypasses, s.Services[0].Bypass = true, conntrack.DestID(len(s.Dests))
			s.Dests = append(s.Dests, forward.Dest{Addr: addrOf("0.0.0.0"), Method: forward.Bypass, Weight: 1, Load: sched.NewLoad(1), Tally: forward.NewTally(1),
				Hop: forward.Hop{OK: true, Local: true, Port: 1, MTU: 1500, Src: directorMAC, Dst: clientMAC}})
		})
		return x
	}
	m, b := bypass(newMaster(t, "-A -f 5 -s rr")), bypass(newBackup(t, "-A -f 5 -s rr"))
	m.tcp(client(1), vip, packet.SYN, packet.ACK, packet.ACK)
	told := m.told()
	if len(told) != 1 || told[0].Flags != conntrack.RecordBypass || told[0].Mark != 5 || told[0].Real.String() != "0.0.0.0" || told[0].RealPort != 0 {
		t.Fatalf("%d records: %v", len(told), told)
	}
	b.learn(t, slices.Concat(told, told))
	if n := b.count(); n.SyncLearned != 1 || n.SyncRenewed != 1 {
		t.Errorf("%d learned, %d renewed, refused %v", n.SyncLearned, n.SyncRenewed, n.SyncRefused)
	}
	if b.tcp(client(1), vip, packet.ACK); b.last.Drop != packet.NoDrop || b.last.Why != forward.WhyConnection {
		t.Errorf("%v, %v", b.last.Why, b.last.Drop)
	}
	if got, want := b.conns(), m.conns(); !slices.Equal(got, want) {
		t.Errorf("lists %v, want %v", got, want)
	}
}

// TestSyncMixedFamilies: no record can say that the server has an address of the other family.
func TestSyncMixedFamilies(t *testing.T) {
	m := newMaster(t, "-A -t "+vip+" -s rr", "-a -t "+vip+" -r [2001:db8:2::11]:80 -i")
	m.tcp(client(1), vip, packet.SYN, packet.ACK, packet.ACK)
	if got := m.told(); len(got) != 0 || len(m.all(t)) != 0 || len(m.conns()) != 1 {
		t.Errorf("%d records of %v", len(got), m.conns())
	}
}

// lost takes what the director is asked for: one client at most, with port 0.
func (x *masq) lost() string {
	var all [4]packet.Addr
	switch n := x.w.TakeLost(all[:]); n {
	case 0:
		return ""
	case 1:
		return netip.AddrPortFrom(all[0].Netip(), 0).String()
	default:
		return fmt.Sprint(all[:n])
	}
}

// TestSyncLostIsBounded: however many clients are lost, the director is asked for no more than it can be.
func TestSyncLostIsBounded(t *testing.T) {
	e := natEnds["4"]
	b := newBackup(t, "-A -t "+e.service+" -s rr", "-a -t "+e.service+" -r "+e.server+" -m")
	for i := range 300 {
		r := toldOf(fmt.Sprintf("198.51.%d.%d:7", i/100, i%100), e.service, e.server)
		r.Flags = conntrack.RecordMasq
		b.learn(t, []conntrack.Record{r})
		b.pass(1, frame(packet.ProtoTCP, e.server, fmt.Sprintf("198.51.%d.%d:7", i/100, i%100), func(p *packet.Spec) { p.TCPFlags = packet.ACK }))
	}
	all := make([]packet.Addr, 400)
	if n := b.w.TakeLost(all); n != 64 {
		t.Errorf("asked for %d", n)
	}
}

// TestSyncBackupOnly: a director that is but a backup leaves what clients send to the kernel, and translates replies.
func TestSyncBackupOnly(t *testing.T) {
	e := natEnds["4"]
	b := newNATBench(t, e, "-t", natPorts())
	b.flow(opening(packet.ProtoTCP, client(1), e.service))
	kernel := func(s packet.Spec, want bool) {
		t.Helper()
		s.SrcMAC, s.DstMAC = clientMAC, directorMAC
		out := b.through(atClients, s, atKernel)
		if (len(out) == 1) != want || (b.last.Why == forward.WhyKernel) != want {
			t.Errorf("%v: %d frames to the kernel (%v, %v)", s.Tuple, len(out), b.last.Why, b.last.Drop)
		}
		b.lane.Sent(atServers)
	}
	known := packet.Spec{Tuple: tuple(packet.ProtoTCP, client(1), e.service), TCPFlags: packet.ACK}
	reply := packet.Spec{Tuple: tuple(packet.ProtoTCP, e.server, client(1)), TCPFlags: packet.ACK, SrcMAC: clientMAC, DstMAC: directorMAC}
	for _, c := range []struct {
		sync forward.Sync
		want bool
	}{
		{forward.Sync{Backup: true}, false},
		{forward.Sync{Master: true, BackupOnly: true}, false},
		{forward.Sync{Backup: true, BackupOnly: true}, true},
		{forward.Sync{Backup: true, Master: true, BackupOnly: true}, true},
	} {
		b.edit(func(s *forward.Snapshot) { s.Sync = c.sync })
		kernel(known, c.want)
		kernel(opening(packet.ProtoTCP, client(2), e.service), c.want)
		if out := b.through(atServers, reply, atClients); len(out) != 1 {
			t.Errorf("%+v: a reply did not go on (%v)", c.sync, b.last.Drop)
		}
	}
}

// TestSyncOnePacket: with one-packet scheduling only templates are told of.
func TestSyncOnePacket(t *testing.T) {
	x := newMaster(t, "-A -u 192.0.2.100:53 -s rr -o -p 60", "-a -u 192.0.2.100:53 -r 172.16.0.11:53 -g")
	for range 4 {
		x.pass(0, frame(packet.ProtoUDP, client(1), "192.0.2.100:53", nil))
	}
	got := x.told()
	for i := range got {
		if !got[i].IsTemplate() || got[i].Flags != 0x1183 || got[i].Timeout != time.Minute {
			t.Errorf("%s", recordText(&got[i]))
		}
	}
	if len(got) != 4 {
		t.Errorf("%d records, want one for each packet", len(got))
	}
}

// TestSyncGrace: a template that lives on for its connections is told of when its time is over.
func TestSyncGrace(t *testing.T) {
	x := newMaster(t, sticky...)
	x.tcp(client(1), vip, packet.SYN, packet.ACK)
	x.told()
	x.now = x.now.Add(51 * time.Second)
	x.step()
	x.now = x.now.Add(time.Second)
	x.step()
	if got := x.told(); len(got) != 1 || !got[0].IsTemplate() || got[0].Timeout != time.Minute || got[0].State != conntrack.Assured {
		t.Errorf("%d records: %v", len(got), got)
	}
}

// all asks for records of the whole table.
func (x *masq) all(t *testing.T) (all []conntrack.Record) {
	t.Helper()
	tell := forward.Telling{}
	for range 1000 {
		done := make(chan struct{}, 1)
		if !x.w.Post(forward.Command{Tell: &tell, Done: done}) {
			t.Fatal("mailbox full")
		}
		x.step()
		<-done
		got := x.told()
		if len(got) != tell.Told {
			t.Fatalf("%d records, %d counted", len(got), tell.Told)
		}
		all = append(all, got...)
		if tell.End {
			return all
		}
		tell.From = tell.Next
	}
	t.Fatal("no end")
	return nil
}

// TestSyncAll: a backup that joins learns all that counts.
func TestSyncAll(t *testing.T) {
	rules := slices.Concat(twoServers, []string{"-A -u 192.0.2.100:53 -s rr -p 60", "-a -u 192.0.2.100:53 -r 172.16.0.11:53 -g"})
	m := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 1 << 15}}, rules...)
	if got := m.all(t); len(got) != 0 {
		t.Errorf("a director that is no master tells of %d", len(got))
	}
	const n = 10_000
	for i := range n {
		from := fmt.Sprintf("198.51.%d.%d:4000", i/200, i%200+1)
		m.tcp(from, vip, packet.SYN)
		if i%2 == 0 {
			m.tcp(from, vip, packet.ACK)
		}
	}
	m.pass(0, frame(packet.ProtoUDP, client(1), "192.0.2.100:53", nil))
	m.edit(func(s *forward.Snapshot) { s.Sync = defaultSync; s.Sync.Master = true })
	all := m.all(t)
	if want := n/2 + 2; len(all) != want { // half-open connections are not told of
		t.Errorf("%d records, want %d", len(all), want)
	}
	b := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 1 << 15}}, rules...)
	b.edit(func(s *forward.Snapshot) { s.Sync.Backup = true })
	b.learn(t, all)
	for range len(all) / 64 {
		b.step()
	}
	want := slices.DeleteFunc(m.conns(), func(s string) bool { return strings.HasPrefix(s, "SYN_RECV") })
	if got := b.conns(); !slices.Equal(got, want) {
		t.Errorf("%d entries, want %d", len(got), len(want))
	}
	if m.count(); slices.ContainsFunc(m.all(t), func(r conntrack.Record) bool { return r.Timeout <= 0 }) {
		t.Error("a record without a time")
	}
}

// TestSyncTeam: who owns a client takes in what is told of it, and every worker's packets find it.
func TestSyncTeam(t *testing.T) {
	for _, workers := range []int{2, 3} {
		rules := slices.Concat(twoServers, masqRules("192.0.2.100:81", "172.16.0.11:81"), []string{
			"-A -t 192.0.2.100:82 -s rr -p 60 -M 255.255.255.0", "-a -t 192.0.2.100:82 -r 172.16.0.11:82 -g", "-a -t 192.0.2.100:82 -r 172.16.0.12:82 -g"})
		m, b := newTeam(t, workers, rules...), newTeam(t, workers, rules...)
		snap := compiled(t, workers, rules...)
		m.sync(func(s *forward.Sync) { s.Master = true }, rules)
		b.sync(func(s *forward.Sync) { s.Backup = true }, rules)
		flows := map[packet.Tuple]packet.MAC{}
		for i := range 60 {
			for _, port := range []int{80, 81, 82} {
				k := tuple(packet.ProtoTCP, fmt.Sprintf("198.51.%d.7:%d", i, 1000+i), fmt.Sprintf("192.0.2.100:%d", port))
				for _, f := range []uint8{packet.SYN, packet.ACK, packet.ACK} {
					out := m.one(0, packet.Build(nil, packet.Spec{Tuple: k, TCPFlags: f, SrcMAC: clientMAC, DstMAC: directorMAC}))
					flows[k] = packet.Ethernet(out).Dst()
				}
			}
		}
		for _, r := range m.told() {
			if !b.w[snap.Steer.Owner(&r.Src, r.SrcPort)].Learn(&r) {
				t.Fatal("no room")
			}
		}
		b.steps(20)
		for k, mac := range flows {
			out := b.one(0, packet.Build(nil, packet.Spec{Tuple: k, TCPFlags: packet.ACK, SrcMAC: clientMAC, DstMAC: directorMAC}))
			if got := packet.Ethernet(out).Dst(); got != mac {
				t.Errorf("%v went to %v, want %v", k, got, mac)
			}
			if k.DstPort != 82 {
				continue
			}
			k.SrcPort += 5000 // a new connection of the same network
			k.Src[15]++
			out = b.one(0, packet.Build(nil, packet.Spec{Tuple: k, TCPFlags: packet.SYN, SrcMAC: clientMAC, DstMAC: directorMAC}))
			if got := packet.Ethernet(out).Dst(); got != mac {
				t.Errorf("%v went to %v, want %v by the template", k, got, mac)
			}
		}
		if n := b.sum(); n.HandedOver == 0 || n.SyncLearned != 4*60 || n.Connections != 4*60 {
			t.Errorf("%d handed over, %d learned, %d connections", n.HandedOver, n.SyncLearned, n.Connections)
		}
	}
}

// sync publishes what the team has with another Sync.
func (e *team) sync(change func(*forward.Sync), rules []string) {
	s := compiled(e.t, len(e.w), rules...)
	s.Gen = 2
	s.Sync = defaultSync
	change(&s.Sync)
	for _, w := range e.w {
		w.Publish(s)
	}
	e.steps(1)
}

func (e *team) told() (all []conntrack.Record) {
	for _, w := range e.w {
		all = append(all, (&masq{w: w}).told()...)
	}
	return all
}

// TestSyncConcurrently: records go in and out while the worker runs.
func TestSyncConcurrently(t *testing.T) {
	const clients = 500
	frames := func(yield func([]byte) bool) {
		for i := range clients {
			for _, f := range []uint8{packet.SYN, packet.ACK, packet.ACK} {
				if !yield(frame(packet.ProtoTCP, fmt.Sprintf("198.51.%d.%d:7", i/100, i%100), vip, func(p *packet.Spec) { p.TCPFlags = f })) {
					return
				}
			}
		}
	}
	loop, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: frames})
	if err != nil {
		t.Fatal(err)
	}
	x := newMaster(t, sticky...)
	x.edit(func(s *forward.Snapshot) { s.Sync.Backup = true })
	x.w.SetLane(loop)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	system := clock.NewSystem()
	go func() { done <- x.w.Run(ctx, system) }()
	buf := make([]conntrack.Record, 50)
	told, learned := 0, 0
	for end := system.Now().Add(time.Minute); (told < 4*clients || learned < 4*clients) && system.Now() < end; {
		r := toldOf(fmt.Sprintf("203.0.113.%d:%d", learned%200, 1000+learned%3), vip, "172.16.0.11:80")
		if x.w.Learn(&r) {
			learned++
		}
		n := x.w.TakeRecords(buf)
		for i := range n {
			if buf[i].Family != packet.IPv4Family || buf[i].DstPort != 80 {
				t.Fatalf("%s", recordText(&buf[i]))
			}
		}
		if told += n; n == 0 {
			runtime.Gosched()
		}
	}
	stop()
	if err := <-done; err != nil || told < 4*clients || learned < 4*clients {
		t.Errorf("%v; %d told, %d learned", err, told, learned)
	}
}

// TestSyncAllocatesNothing: neither what is told nor what is learned.
func TestSyncAllocatesNothing(t *testing.T) {
	x := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 1 << 12}}, sticky...)
	var frames [][]byte
	var all []conntrack.Record
	for i := range 16 {
		r := toldOf(fmt.Sprintf("198.51.100.%d:7", i+1), vip, "172.16.0.11:80")
		r.Src[14]++ // a client that does not send
		all = append(all, r)
		r.Src[14]--
		for _, f := range []uint8{packet.SYN, packet.ACK, packet.ACK, packet.ACK} {
			frames = append(frames, packet.Build(nil, packet.Spec{Tuple: r.Tuple, TCPFlags: f, SrcMAC: clientMAC, DstMAC: directorMAC}))
		}
	}
	loop, err := forwardtest.NewLoop(forwardtest.LoopOptions{Frames: slices.Values(frames)})
	if err != nil {
		t.Fatal(err)
	}
	x.edit(func(s *forward.Snapshot) { s.Sync = defaultSync; s.Sync.Master, s.Sync.Backup = true, true })
	x.w.SetLane(loop)
	buf := make([]conntrack.Record, 256)
	round := func() {
		x.now = x.now.Add(20 * time.Minute) // so that all end and begin anew
		for i := range all {
			x.w.Learn(&all[i])
		}
		if _, err := x.w.Step(x.now); err != nil {
			t.Fatal(err)
		}
		if x.w.TakeRecords(buf) == 0 {
			t.Fatal("nothing told")
		}
	}
	round()
	if n := testing.AllocsPerRun(50, round); n != 0 {
		t.Errorf("%v allocations a breath", n)
	}
}
