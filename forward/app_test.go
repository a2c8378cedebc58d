package forward_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// masq is one worker between clients on port 0 and real servers on port 1, which answer by it.
type masq struct {
	t    testing.TB
	lane *forwardtest.Lane
	w    *forward.Worker
	now  clock.Mono
	last forward.Verdict
	snap *forward.Snapshot // in force
}

func newMasq(t testing.TB, o forward.Options, rules ...string) *masq {
	t.Helper()
	x := &masq{t: t, lane: forwardtest.New(t, forwardtest.Options{}), now: clock.Mono(time.Hour)}
	o.Observer = func(_ *packet.Frame, _ *packet.Meta, v forward.Verdict) { x.last = v }
	var err error
	if x.w, err = forward.NewWorker(0, x.lane, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.w.Close() })
	x.snap = compiled(t, 1, rules...)
	x.w.Publish(x.snap)
	x.step()
	return x
}

func (x *masq) step() {
	x.t.Helper()
	if _, err := x.w.Step(x.now); err != nil {
		x.t.Fatal(err)
	}
}

// frame makes a packet between two endpoints; what more it has is set by edit.
func frame(proto uint8, from, to string, edit func(*packet.Spec)) []byte {
	s := packet.Spec{Tuple: tuple(proto, from, to), SrcMAC: clientMAC, DstMAC: directorMAC}
	if edit != nil {
		edit(&s)
	}
	return packet.Build(nil, s)
}

// pass lets a frame in by a port and returns what left by the other: nil if that was nothing.
func (x *masq) pass(port int, f []byte) []byte {
	x.t.Helper()
	x.lane.Inject(port, f)
	x.step()
	x.lane.Dropped(port)
	x.lane.Sent(port)
	out := x.lane.Sent(1 - port)
	if len(out) == 0 {
		return nil
	}
	if len(out) > 1 {
		x.t.Errorf("%d frames left, want 1", len(out))
	}
	return out[0]
}

// conns lists the table, an entry a line: state, flow, server, and what an engine goes by.
func (x *masq) conns() (all []string) {
	x.t.Helper()
	done := make(chan struct{}, 1)
	l := forward.Listing{Conns: make([]forward.ConnInfo, 0, 256)}
	for !l.End {
		if !x.w.Post(forward.Command{List: &l, Done: done}) {
			x.t.Fatal("mailbox full")
		}
		x.step()
		<-done
		for i := range l.Conns {
			c := &l.Conns[i]
			end := func(a packet.Addr, port uint16) string { return netip.AddrPortFrom(a.Netip(), port).String() }
			s := fmt.Sprintf("%v %s %s %s", c.State, end(c.Tuple.Src, c.Tuple.SrcPort), end(c.Tuple.Dst, c.Tuple.DstPort),
				end(c.Dest, c.DestPort))
			if c.Engine != forward.NoEngine {
				s += " " + c.Engine.String() + " " + c.Call
			}
			all = append(all, s)
		}
		l.From = l.Next
	}
	slices.Sort(all)
	return all
}

func (x *masq) listed(want ...string) {
	x.t.Helper()
	slices.Sort(want)
	if got := x.conns(); !slices.Equal(got, want) {
		x.t.Errorf("connections\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// session is a control connection of FTP: each side numbers what it sends and knows what it has seen of the other.
type session struct {
	*masq
	client, virtual, real string
	sent                  [2]uint32 // of the client, of the server: sequence number of the next byte
	seen                  [2]uint32 // by the client, by the server: what is expected next
}

const (
	byClient = iota
	byServer
)

func newSession(t testing.TB, client, virtual, real string, rules ...string) *session {
	s := &session{masq: newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 64}}, rules...), client: client, virtual: virtual, real: real,
		sent: [2]uint32{1000, 0xfffffff0}, seen: [2]uint32{0xfffffff0, 1000}} // the server's numbers soon start again
	s.say(byClient, packet.SYN, "")
	s.say(byServer, packet.SYN|packet.ACK, "")
	s.say(byClient, packet.ACK, "")
	return s
}

// segment makes a segment that one side sends.
func (s *session) segment(by int, flags uint8, seq, ack uint32, text string) []byte {
	from, to := s.client, s.virtual
	if by == byServer {
		from, to = s.real, s.client
	}
	return frame(packet.ProtoTCP, from, to, func(p *packet.Spec) {
		p.TCPFlags, p.Seq, p.Payload = flags, seq, []byte(text)
		if flags&packet.ACK != 0 {
			p.Ack = ack
		}
	})
}

// say sends a segment and has the other side take it: it must be what is expected next. It returns its text.
func (s *session) say(by int, flags uint8, text string) string {
	s.t.Helper()
	f := s.segment(by, flags, s.sent[by], s.seen[by], text)
	s.sent[by] += uint32(len(text))
	if flags&(packet.SYN|packet.FIN) != 0 {
		s.sent[by]++
	}
	got := s.pass(by, f)
	if got == nil {
		s.t.Fatalf("%q: %v", text, s.last.Drop)
	}
	return s.take(by, got)
}

// take has the other side look at a segment of one side: whether it is in order, acknowledges what was sent, and is sound.
func (s *session) take(by int, f []byte) string {
	s.t.Helper()
	var m packet.Meta
	if why := packet.Parse(f, &m); why != packet.NoDrop || !packet.ChecksumOK(f, &m) {
		s.t.Fatalf("%v, checksum right: %v", why, packet.ChecksumOK(f, &m))
	}
	h, text := packet.TCP(f[m.L4:]), string(f[m.Payload:m.End])
	if h.Seq() != s.seen[1-by] {
		s.t.Fatalf("%q has sequence number %d, want %d", text, h.Seq(), s.seen[1-by])
	}
	if m.TCPFlags&packet.ACK != 0 && h.Ack() != s.sent[1-by] {
		s.t.Fatalf("%q acknowledges %d, want %d", text, h.Ack(), s.sent[1-by])
	}
	s.seen[1-by] += uint32(len(text))
	if m.TCPFlags&(packet.SYN|packet.FIN) != 0 {
		s.seen[1-by]++
	}
	return text
}

const (
	ftpClient  = "198.51.100.7:40000"
	ftpVirtual = "192.0.2.100:21"
	ftpReal    = "172.16.0.11:21"
)

func masqRules(virtual, real string, more ...string) []string {
	return []string{strings.Join(append([]string{"-A -t", virtual, "-s rr"}, more...), " "),
		"-a -t " + virtual + " -r " + real + " -m"}
}

func TestFTPPassive(t *testing.T) {
	s := newSession(t, ftpClient, ftpVirtual, ftpReal, masqRules(ftpVirtual, ftpReal)...)
	s.say(byServer, packet.ACK|packet.PSH, "220 hello\r\n")
	for i, want := range []string{"195,80", "4,1", "195,80"} {
		s.say(byClient, packet.ACK|packet.PSH, "PASV\r\n")
		got := s.say(byServer, packet.ACK|packet.PSH, "227 Entering Passive Mode (172,16,0,11,"+want+").\r\n")
		if got != "227 Entering Passive Mode (192,0,2,100,"+want+").\r\n" {
			t.Errorf("answer %d: %q", i, got)
		}
		s.say(byClient, packet.ACK, "")
		s.say(byServer, packet.ACK|packet.PSH, "150 here it comes\r\n")
	}
	s.listed("ESTABLISHED "+ftpClient+" "+ftpVirtual+" "+ftpReal,
		"LISTEN 198.51.100.7:0 192.0.2.100:50000 172.16.0.11:50000", "LISTEN 198.51.100.7:0 192.0.2.100:1025 172.16.0.11:1025")

	syn := frame(packet.ProtoTCP, "198.51.100.7:40001", "192.0.2.100:50000", func(p *packet.Spec) { p.TCPFlags = packet.SYN })
	out := s.pass(0, syn)
	var m packet.Meta
	if out == nil || packet.Parse(out, &m) != packet.NoDrop || m.Tuple != tuple(packet.ProtoTCP, "198.51.100.7:40001", "172.16.0.11:50000") {
		t.Fatalf("data connection went to %v", m.Tuple)
	}
	back := frame(packet.ProtoTCP, "172.16.0.11:50000", "198.51.100.7:40001", func(p *packet.Spec) { p.TCPFlags = packet.SYN | packet.ACK })
	if out = s.pass(1, back); out == nil || packet.Parse(out, &m) != packet.NoDrop || m.Tuple != tuple(packet.ProtoTCP, "192.0.2.100:50000", "198.51.100.7:40001") {
		t.Fatalf("its answer came as %v", m.Tuple)
	}
	other := frame(packet.ProtoTCP, "198.51.100.7:40002", "192.0.2.100:50000", func(p *packet.Spec) { p.TCPFlags = packet.SYN })
	if s.pass(0, other) != nil {
		t.Errorf("a second connection to a port that was announced once")
	}
}

func TestFTPActive(t *testing.T) {
	for _, c := range []struct{ name, client, virtual, real, command, data string }{
		{"PORT", ftpClient, ftpVirtual, ftpReal, "PORT 198,51,100,7,160,1\r\n", "198.51.100.7:40961"},
		{"EPRT", ftpClient, ftpVirtual, ftpReal, "EPRT |1|198.51.100.7|40961|\r\n", "198.51.100.7:40961"},
		{"EPRT of IPv6", "[2001:db8:9::7]:40000", "[2001:db8:100::100]:21", "[2001:db8:2::11]:21",
			"EPRT |2|2001:db8:9::7|40961|\r\n", "[2001:db8:9::7]:40961"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSession(t, c.client, c.virtual, c.real, masqRules(c.virtual, c.real)...)
			if got := s.say(byClient, packet.ACK|packet.PSH, c.command); got != c.command {
				t.Errorf("the server reads %q", got)
			}
			twenty := func(s string) string { return strings.TrimSuffix(s, "21") + "20" }
			s.listed("ESTABLISHED "+c.client+" "+c.virtual+" "+c.real, "LISTEN "+c.data+" "+twenty(c.virtual)+" "+twenty(c.real))
			out := s.pass(1, frame(packet.ProtoTCP, twenty(c.real), c.data, func(p *packet.Spec) { p.TCPFlags = packet.SYN }))
			var m packet.Meta
			if out == nil || packet.Parse(out, &m) != packet.NoDrop || m.Tuple != tuple(packet.ProtoTCP, twenty(c.virtual), c.data) {
				t.Fatalf("the server's SYN came as %v", m.Tuple)
			}
			if mac := packet.Ethernet(out).Dst(); mac != clientMAC {
				t.Errorf("to %v, want the way of the control connection, %v", mac, clientMAC)
			}
			out = s.pass(0, frame(packet.ProtoTCP, c.data, twenty(c.virtual), func(p *packet.Spec) { p.TCPFlags = packet.SYN | packet.ACK }))
			if out == nil || packet.Parse(out, &m) != packet.NoDrop || m.Tuple != tuple(packet.ProtoTCP, c.data, twenty(c.real)) {
				t.Fatalf("the client's answer came as %v", m.Tuple)
			}
			if out = s.pass(1, frame(packet.ProtoTCP, strings.TrimSuffix(c.real, "21")+"1020", c.data, nil)); out != nil {
				t.Errorf("from another port: forwarded")
			}
		})
	}
}

// TestFTPExtended: EPSV of IPv6, with an address in the answer and without.
func TestFTPExtended(t *testing.T) {
	const client, virtual, real = "[2001:db8:9::7]:40000", "[2001:db8:100::100]:21", "[2001:db8:2::11]:21"
	s := newSession(t, client, virtual, real, masqRules(virtual, real)...)
	for _, c := range []struct{ command, answer, want string }{
		{"EPSV\r\n", "229 x (|||50000|)\r\n", "229 x (|||50000|)\r\n"},
		{"EPSV 2\r\n", "229 x (|2|2001:db8:2::11|50001|)\r\n", "229 x (|||50001|)\r\n"},
		{"EPSV 1\r\n", "229 x (!!!50002!)\r\n", "229 x (!!!50002!)\r\n"}, // another family: not for us
		{"PASV\r\n", "227 x (1,2,3,4,5,6)\r\n", "227 x (1,2,3,4,5,6)\r\n"},
	} {
		s.say(byClient, packet.ACK|packet.PSH, c.command)
		if got := s.say(byServer, packet.ACK|packet.PSH, c.answer); got != c.want {
			t.Errorf("%q: %q, want %q", c.command, got, c.want)
		}
		s.say(byClient, packet.ACK, "")
	}
	s.listed("ESTABLISHED "+client+" "+virtual+" "+real, "LISTEN [2001:db8:9::7]:0 [2001:db8:100::100]:50000 [2001:db8:2::11]:50000",
		"LISTEN [2001:db8:9::7]:0 [2001:db8:100::100]:50001 [2001:db8:2::11]:50001")
}

// TestFTPAgain: what the server sends again is what it was the first time, also together with what it said before and after.
func TestFTPAgain(t *testing.T) {
	s := newSession(t, ftpClient, ftpVirtual, ftpReal, masqRules(ftpVirtual, ftpReal)...)
	s.say(byServer, packet.ACK|packet.PSH, "220 hello\r\n")
	s.say(byClient, packet.ACK|packet.PSH, "PASV\r\n")
	start, seen := s.sent[byServer], s.seen[byClient]
	const answer, want = "227 x (172,16,0,11,195,80)\r\n", "227 x (192,0,2,100,195,80)\r\n"
	short, shortWant := strings.Replace(answer, "172,16,0,11", "1,2,3,4", 1), want
	first := s.say(byServer, packet.ACK|packet.PSH, short)
	s.say(byServer, packet.ACK|packet.PSH, "150 x\r\n")
	if first != shortWant {
		t.Fatalf("at first %q", first)
	}
	conns := s.conns()
	for _, c := range []struct {
		name      string
		before    uint32 // bytes before the answer
		say, want string
	}{
		{"alone", 0, short, shortWant},
		{"with the next line", 0, short + "150 x\r\n", shortWant + "150 x\r\n"},
		{"with the line before", 11, "220 hello\r\n" + short, "220 hello\r\n" + shortWant},
		{"next line alone", uint32(0) - uint32(len(short)), "150 x\r\n", "150 x\r\n"},
	} {
		f := s.pass(1, s.segment(byServer, packet.ACK|packet.PSH, start-c.before, s.seen[byServer], c.say))
		if f == nil {
			t.Fatalf("%s: %v", c.name, s.last.Drop)
		}
		var m packet.Meta
		packet.Parse(f, &m)
		if got := string(f[m.Payload:m.End]); got != c.want || !packet.ChecksumOK(f, &m) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		at := seen - c.before
		if c.before > 1<<31 { // what stands behind the answer
			at = seen + uint32(len(shortWant))
		}
		if got := packet.TCP(f[m.L4:]).Seq(); got != at {
			t.Errorf("%s: sequence number %d, want %d", c.name, got, at)
		}
	}
	s.listed(conns...)
}

// TestFTPStream: whatever is lost on either side and sent again, the client reads what it should, once and in order.
func TestFTPStream(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		s := newSession(t, ftpClient, ftpVirtual, ftpReal, masqRules(ftpVirtual, ftpReal)...)
		var want, got strings.Builder
		for range 12 {
			if rnd.IntN(2) == 0 {
				s.streamLine(rnd, &got, fmt.Sprintf("2%d0 %s\r\n", rnd.IntN(100), strings.Repeat("x", rnd.IntN(30))), false, &want)
				continue
			}
			a := fmt.Sprintf("%d,%d,%d,%d", rnd.IntN(256), rnd.IntN(256), rnd.IntN(256), rnd.IntN(256))
			s.streamLine(rnd, &got, fmt.Sprintf("227 x (%s,%d,%d)\r\n", a, 100+rnd.IntN(100), rnd.IntN(256)), true, &want)
		}
		if got.String() != want.String() {
			t.Fatalf("seed %d: the client read\n%q\nwant\n%q", seed, got.String(), want.String())
		}
	}
}

// streamLine has the server say a line, or the answer to PASV, until the client acknowledges it.
func (s *session) streamLine(rnd *rand.Rand, got *strings.Builder, text string, answer bool, want *strings.Builder) {
	s.t.Helper()
	reads := text
	if answer {
		s.say(byClient, packet.ACK|packet.PSH, "PASV\r\n")
		n := strings.Split(strings.Trim(text[7:], ")\r\n"), ",")
		reads = "227 x (192,0,2,100," + n[4] + "," + n[5] + ")\r\n"
	}
	want.WriteString(reads)
	for {
		f := s.pass(1, s.segment(byServer, packet.ACK|packet.PSH, s.sent[byServer], s.seen[byServer], text))
		if f == nil {
			s.t.Fatalf("%q: %v", text, s.last.Drop)
		}
		if rnd.IntN(3) == 0 { // lost on its way to the client
			continue
		}
		var m packet.Meta
		packet.Parse(f, &m)
		h := packet.TCP(f[m.L4:])
		data := f[m.Payload:m.End]
		if off := s.seen[byClient] - h.Seq(); off != 0 && off != uint32(len(data)) {
			s.t.Fatalf("%q at %d, the client is at %d", data, h.Seq(), s.seen[byClient])
		} else if off == 0 {
			got.Write(data)
			s.seen[byClient] += uint32(len(data))
		}
		if rnd.IntN(3) == 0 { // the acknowledgment is lost
			continue
		}
		back := s.pass(0, s.segment(byClient, packet.ACK, s.sent[byClient], s.seen[byClient], ""))
		packet.Parse(back, &m)
		if ack := packet.TCP(back[m.L4:]).Ack(); ack != s.sent[byServer]+uint32(len(text)) {
			s.t.Fatalf("the server is told %d, want %d", ack, s.sent[byServer]+uint32(len(text)))
		}
		s.sent[byServer] += uint32(len(text))
		return
	}
}

// TestFTPSessionsComeBack: what a control connection took is free when it ends, and where nothing is left the answer waits
// to be sent again.
func TestFTPSessionsComeBack(t *testing.T) {
	rules := append(masqRules(ftpVirtual, ftpReal), "--set 5 0 0")
	x := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 3}}, rules...)
	for round := range 10 {
		s := &session{masq: x, client: fmt.Sprintf("198.51.100.7:%d", 41000+round), virtual: ftpVirtual, real: ftpReal,
			sent: [2]uint32{1, 1}, seen: [2]uint32{1, 1}}
		s.say(byClient, packet.SYN, "")
		s.say(byServer, packet.SYN|packet.ACK, "")
		s.say(byClient, packet.ACK|packet.PSH, "PASV\r\n")
		if got := s.say(byServer, packet.ACK|packet.PSH, "227 (1,2,3,4,5,6)\r\n"); got != "227 (192,0,2,100,5,6)\r\n" {
			t.Fatalf("round %d: %q", round, got)
		}
		s.say(byClient, packet.ACK|packet.PSH, "PASV\r\n")
		s.say(byServer, packet.ACK|packet.PSH, "227 (1,2,3,4,5,7)\r\n")
		s.say(byClient, packet.ACK|packet.PSH, "PASV\r\n")
		if s.pass(1, s.segment(byServer, packet.ACK|packet.PSH, s.sent[1], s.seen[1], "227 (1,2,3,4,5,8)\r\n")) != nil ||
			x.last.Drop != packet.DropTableFull {
			t.Fatalf("round %d: into a full table: %v", round, x.last.Drop)
		}
		for range 60 { // LISTEN ends after two minutes, then the connection that announced it
			x.now = x.now.Add(5 * time.Second)
			x.step()
		}
		x.listed()
	}
}

// TestFTPOtherServer: the same port, announced for another address, takes the place of the first.
func TestFTPOtherServer(t *testing.T) {
	s := newSession(t, ftpClient, ftpVirtual, ftpReal, masqRules(ftpVirtual, ftpReal)...)
	for _, a := range []string{"172,16,0,11", "172,16,0,12"} {
		s.say(byClient, packet.ACK|packet.PSH, "PASV\r\n")
		s.say(byServer, packet.ACK|packet.PSH, "227 ("+a+",195,80)\r\n")
	}
	s.listed("ESTABLISHED "+ftpClient+" "+ftpVirtual+" "+ftpReal, "LISTEN 198.51.100.7:0 192.0.2.100:50000 172.16.0.12:50000")
}

func TestFTPDamage(t *testing.T) {
	s := newSession(t, ftpClient, ftpVirtual, ftpReal, masqRules(ftpVirtual, ftpReal)...)
	f := s.segment(byClient, packet.ACK|packet.PSH, s.sent[byClient], s.seen[byClient], "PASV\r\n")
	f[len(f)-3] ^= 1
	if s.pass(0, f) != nil || s.last.Drop != packet.DropBadTransport {
		t.Errorf("a damaged segment: %v", s.last.Drop)
	}
	s.say(byServer, packet.ACK|packet.PSH, "227 (172,16,0,11,5,6)\r\n")
	s.listed("ESTABLISHED " + ftpClient + " " + ftpVirtual + " " + ftpReal)
}

// TestFTPAllocatesNothing: neither where nobody looks nor where the text is changed.
func TestFTPAllocatesNothing(t *testing.T) {
	w := newMasq(t, forward.Options{}, masqRules(ftpVirtual, ftpReal)...)
	s := &session{masq: w, client: ftpClient, virtual: ftpVirtual, real: ftpReal, sent: [2]uint32{1, 1}, seen: [2]uint32{1, 1}}
	s.say(byClient, packet.SYN, "")
	s.say(byServer, packet.SYN|packet.ACK, "")
	ask := s.segment(byClient, packet.ACK|packet.PSH, 2, 2, "PASV\r\n")
	answer := s.segment(byServer, packet.ACK|packet.PSH, 2, 2, "227 (172,16,0,11,5,6)\r\n")
	round := func() {
		for port, f := range [][]byte{ask, answer} {
			w.lane.Inject(port, f)
			if _, err := w.w.Step(w.now); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 3 {
		round()
	}
	runtimeAllocs := testing.AllocsPerRun(100, round)
	base := testing.AllocsPerRun(100, func() {
		for port := range 2 {
			w.lane.Inject(port, bytes.Clone(ask[:10]))
			w.w.Step(w.now)
		}
	})
	if runtimeAllocs > base {
		t.Errorf("%v allocations a round, %v for frames that nobody reads", runtimeAllocs, base)
	}
}

// FuzzFTPSession: whatever the two sides say and acknowledge, what leaves is well formed, with a right checksum, and the
// lane loses no frame.
func FuzzFTPSession(f *testing.F) {
	f.Add([]byte("PASV\r\n"), []byte("227 (172,16,0,11,195,80)\r\n"), []byte{1, 1, 5, 10, 0, 0, 4, 0, 0, 0, 8, 0}, uint32(3), uint32(20))
	f.Add([]byte("EPSV\r\n"), []byte("229 (|1|172.16.0.11|50000|)\r\n"), []byte{}, uint32(0), uint32(0))
	f.Add([]byte("PORT 1,2,3,4,5,6\r\n"), []byte("200\r\n"), []byte{0}, uint32(9), uint32(9))
	f.Fuzz(func(t *testing.T, asks, answers, options []byte, back, ack uint32) {
		if len(asks) > 1400 || len(answers) > 1400 || len(options) > 40 {
			return
		}
		s := newSession(t, ftpClient, ftpVirtual, ftpReal, masqRules(ftpVirtual, ftpReal)...)
		sound := func(by int, f []byte) {
			out := s.pass(by, f)
			if out == nil {
				return
			}
			var m packet.Meta
			if why := packet.Parse(out, &m); why != packet.NoDrop || !packet.ChecksumOK(out, &m) {
				t.Fatalf("%v, checksum right: %v: % x", why, packet.ChecksumOK(out, &m), out)
			}
		}
		for range 2 {
			sound(byClient, withTCPOptions(s.segment(byClient, packet.ACK|packet.PSH, s.sent[0], s.seen[0]-ack%64, string(asks)), options))
			sound(byServer, withTCPOptions(s.segment(byServer, packet.ACK|packet.PSH, s.sent[1]-back%64, s.seen[1], string(answers)), options))
			s.sent[0] += uint32(len(asks))
			s.sent[1] += uint32(len(answers))
		}
		s.conns()
	})
}

// withTCPOptions puts options, filled up to words, behind the header of a segment of IPv4 that has none.
func withTCPOptions(f, options []byte) []byte {
	for len(options)%4 != 0 {
		options = append(slices.Clone(options), 0)
	}
	const at = packet.EthernetLen + packet.IPv4MinLen + packet.TCPMinLen
	f = slices.Insert(f, at, options...)
	ip, h := packet.IPv4(f[packet.EthernetLen:]), packet.TCP(f[packet.EthernetLen+packet.IPv4MinLen:])
	ip.SetTotalLen(len(ip))
	ip.SetChecksum(0)
	ip.SetChecksum(ip.ComputeChecksum())
	h.SetHeaderLen(packet.TCPMinLen + len(options))
	h.SetChecksum(0)
	h.SetChecksum(packet.Checksum(h, packet.PseudoHeaderIPv4(ip.Src(), ip.Dst(), packet.ProtoTCP, len(h))))
	return f
}
