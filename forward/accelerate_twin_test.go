package forward_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/config"
	"dirsw/config/ipvsadm"
	"dirsw/conntrack"
	"dirsw/director"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// site is a director made from commands of ipvsadm and settings, with one worker or several, with an accelerator or without.
// Clients are behind port 0, real server 172.16.0.N and 2001:db8:2::N behind port 1 unless a hop says otherwise.
type site struct {
	t     *testing.T
	w     []*forward.Worker
	lanes []*forwardtest.Lane
	now   clock.Mono
	model config.Model
	snap  *forward.Snapshot
	hops  map[netip.Addr]forward.Hop
	quick bool
	plod  bool                    // without courses
	amend func(*forward.Snapshot) // what no command says; nil: nothing
}

var siteServers = []string{"172.16.0.11", "172.16.0.12", "172.16.0.13", "2001:db8:2::11", "2001:db8:2::12", "2001:db8:2::13"}

func newSite(t *testing.T, workers int, quick bool) *site {
	s := &site{t: t, now: clock.Mono(time.Hour), hops: map[netip.Addr]forward.Hop{}, snap: &forward.Snapshot{}, quick: quick}
	for _, a := range siteServers {
		addr := netip.MustParseAddr(a)
		own := packet.AddrFrom(netip.MustParseAddr("172.16.0.1"))
		if addr.Is6() {
			own = packet.AddrFrom(netip.MustParseAddr("2001:db8:2::1"))
		}
		s.hops[addr] = forward.Hop{OK: true, Port: 1, MTU: 1500, Src: directorMAC, Dst: packet.MAC{2, 0, 0, 0, 2, addr.As16()[15]}, Own: own}
	}
	for i := range workers {
		ports := forwardtest.DefaultPorts()
		ports[0].Unfinished = true
		o := forwardtest.Options{Ports: ports}
		if quick {
			o.Accelerate = func() clock.Mono { return s.now }
			if i > 0 {
				o.Beside = s.lanes[0]
			}
		}
		lane := forwardtest.New(t, o)
		w, err := forward.NewWorker(i, lane, forward.Options{Table: conntrack.Options{MaxConns: 1 << 12, Seed: uint64(i)},
			Accelerate: forward.Accelerate{Every: 1, Within: 1}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
		s.w, s.lanes = append(s.w, w), append(s.lanes, lane)
	}
	if workers > 1 {
		forward.Join(s.w)
	}
	return s
}

// step lets each worker take n breaths.
func (s *site) step(n int) {
	s.t.Helper()
	for range n {
		for _, w := range s.w {
			if s.plod {
				w.Plod()
			}
			if _, err := w.Step(s.now); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// wait lets time pass.
func (s *site) wait(d time.Duration) {
	s.t.Helper()
	for end := s.now.Add(d); s.now < end; {
		s.now = min(s.now.Add(max(20*time.Millisecond, d/500)), end)
		s.step(1)
	}
}

// publish has the workers follow what the model and the hops say.
func (s *site) publish(before *config.Model) error {
	snap, err := director.Compile(&director.Inputs{Model: &s.model, Before: before, Hops: s.hops, Workers: len(s.w)}, s.snap)
	if err != nil {
		return err
	}
	s.snap = snap
	if s.amend != nil {
		s.amend(snap)
	}
	for _, w := range s.w {
		w.Publish(snap)
	}
	s.step(2)
	return nil
}

// command is a line of ipvsadm, or "sysctl NAME VALUE"; it returns what there is to complain of.
func (s *site) command(line string) string {
	before, next := s.model, s.model.Clone()
	words := strings.Fields(line)
	var err error
	if words[0] == "sysctl" {
		var v config.Sysctl
		if v, err = config.ParseSysctl([]string{words[1], "=", words[2]}); err == nil {
			next.Dataplane.SetSysctl(v)
		}
	} else {
		var c ipvsadm.Command
		if c, err = ipvsadm.ParseArgs(words); err == nil {
			err = c.Apply(next)
		}
	}
	if err == nil {
		s.model = *next
		err = s.publish(&before)
	}
	if err != nil {
		s.model = before
		return err.Error()
	}
	return ""
}

// hop changes the way to a server.
func (s *site) hop(server string, change func(*forward.Hop)) {
	s.t.Helper()
	a := netip.MustParseAddr(server)
	h := s.hops[a]
	change(&h)
	s.hops[a] = h
	if err := s.publish(&s.model); err != nil {
		s.t.Fatal(err)
	}
}

// send lets frames in together at a worker and returns what left, in no order. What the packet filter leaves to the director's own
// network stack must not be sent by the accelerator either.
func (s *site) send(worker, port int, frames ...[]byte) []string {
	s.t.Helper()
	s.now = s.now.Add(time.Millisecond)
	var all []string
	for _, f := range frames {
		var m packet.Meta
		if packet.Parse(f, &m) == packet.NoDrop && !s.snap.Takes(f, &m) {
			all = append(all, "left to the kernel")
			if buf := make([]byte, forwardtest.BufferLen); s.quick {
				copied := packet.MakeFrame(buf, forwardtest.Headroom, copy(buf[forwardtest.Headroom:], f), uint8(port), 0)
				if s.lanes[0].Accelerator().(*forwardtest.Accelerator).Send(&copied) {
					all = append(all, fmt.Sprintf("and yet accelerated: %x", copied.Bytes()))
				}
			}
			continue
		}
		s.lanes[worker].Inject(port, f)
	}
	s.step(3) // to the owner, and to the one before it
	for _, l := range s.lanes {
		for p := range 2 {
			for _, f := range l.Sent(p) {
				all = append(all, fmt.Sprintf("port %d: %x", p, withoutID(f)))
			}
			l.Dropped(p)
		}
	}
	slices.Sort(all)
	return all
}

// withoutID clears the identification of an IPv4 packet that the director has made, and so the header's checksum, if that is right.
func withoutID(f []byte) []byte {
	f = bytes.Clone(f)
	at := packet.EthernetLen
	if f[12] == 0x81 {
		at += packet.VLANTagLen
	}
	ip := packet.IPv4(f[at:])
	if ip[0]>>4 != 4 || ip.Protocol() != 4 && ip.Protocol() != 41 && ip.Protocol() != packet.ProtoICMP {
		return f
	}
	if packet.Checksum(ip[:ip.HeaderLen()], 0) != 0 {
		return append(f, " with a wrong checksum"...)
	}
	ip[4], ip[5], ip[10], ip[11] = 0, 0, 0, 0
	return f
}

// list tells all that there is to see: connections, counts and counters.
func (s *site) list() string {
	s.t.Helper()
	var lines []string
	for _, w := range s.w {
		l := forward.Listing{Conns: make([]forward.ConnInfo, 0, 1<<13)}
		done := make(chan struct{}, 1)
		for !l.End {
			w.Post(forward.Command{List: &l, Done: done})
			s.step(1)
			<-done
			for i := range l.Conns {
				c := &l.Conns[i]
				lines = append(lines, fmt.Sprintf("worker's %v to %v:%d %v %v template %v", c.Tuple, c.Dest, c.DestPort, c.State, c.Left, c.Template))
			}
			l.From = l.Next
		}
	}
	slices.Sort(lines)
	s.now = s.now.Add(time.Second) // so that counters are committed
	s.step(2)
	var sum forward.Counters
	for _, w := range s.w {
		var c forward.Counters
		w.ReadCounters(&c)
		sum.Add(&c)
	}
	lines = append(lines, fmt.Sprintf("%d connections, %d templates, answered %d, drops %v, packets %d", sum.Connections, sum.Templates,
		sum.Answered, sum.Drops, sum.Forwarded+sum.Accelerated))
	for i := range s.snap.Dests {
		d := &s.snap.Dests[i]
		lines = append(lines, fmt.Sprintf("server %v weight %d gone %v active %d inactive %d persistent %d: %+v", d.Addr, d.Weight, d.Gone,
			d.Load.Active(), d.Load.Inactive(), d.Load.Persistent(), d.Tally.Read()))
	}
	for i := range s.snap.Services {
		lines = append(lines, fmt.Sprintf("service %v: %+v", s.snap.Services[i].Key, s.snap.Services[i].Tally.Read()))
	}
	return strings.Join(lines, "\n")
}

// accelerated is how many packets the workers have not seen.
func (s *site) accelerated() uint64 {
	return s.lanes[0].Accelerator().(*forwardtest.Accelerator).Sent()
}

// couple is a director without accelerator and one with it, to which the same happens.
type couple struct {
	t       *testing.T
	rnd     *rand.Rand
	plain   *site
	quick   *site
	clients []packet.Tuple // of connections
	log     []string
}

func (c *couple) fail(what string) {
	c.t.Helper()
	c.t.Fatalf("%s\nin a life of %s after:\n%s", what, c.log[0], strings.Join(c.log[max(1, len(c.log)-25):], "\n"))
}

// both does the same to both and compares what comes of it.
func both[T any](c *couple, what string, do func(*site) T) T {
	c.t.Helper()
	c.log = append(c.log, what)
	want, got := do(c.plain), do(c.quick)
	if w, g := fmt.Sprint(want), fmt.Sprint(got); w != g {
		c.fail(fmt.Sprintf("%s: with an accelerator\n%s\nwithout\n%s", what, diffLines(g, w), diffLines(w, g)))
	}
	return want
}

// diffLines are the lines of a that are not in b.
func diffLines(a, b string) string {
	var out []string
	has := strings.Split(b, "\n")
	for l := range strings.SplitSeq(a, "\n") {
		if !slices.Contains(has, l) {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

func (c *couple) pick(of ...string) string { return of[c.rnd.IntN(len(of))] }

// services of the couple: an address for each family, with TCP and UDP.
func (c *couple) services() []string {
	return []string{"-t 192.0.2.100:80", "-u 192.0.2.100:53", "-t [2001:db8::100]:80", "-u [2001:db8::100]:53"}
}

// serverFor is a real server that a service can have: in tunnels also of the other family.
func (c *couple) serverFor(service, method string) string {
	six := strings.Contains(service, "[")
	if method == "-i" && c.rnd.IntN(3) == 0 {
		six = !six
	}
	n, port := 11+c.rnd.IntN(3), service[strings.LastIndex(service, ":")+1:]
	if six {
		return fmt.Sprintf("[2001:db8:2::%d]:%s", n, port)
	}
	return fmt.Sprintf("172.16.0.%d:%s", n, port)
}

func (c *couple) command(line string) {
	c.t.Helper()
	both(c, line, func(s *site) string { return s.command(line) })
}

// change changes a rule, a setting or the network, once the worker has heard of all that was sent: what is set does not hold for
// packets that came before, of which it may hear a second later.
func (c *couple) change() {
	c.t.Helper()
	both(c, "settle", func(s *site) int { s.wait(time.Millisecond); return 0 })
	service, method := c.pick(c.services()...), c.pick("-g", "-i")
	switch c.rnd.IntN(14) {
	case 0, 1:
		c.command(fmt.Sprintf("-a %s -r %s %s -w %s", service, c.serverFor(service, method), method, c.pick("1", "2", "0")))
	case 2, 3:
		c.command(fmt.Sprintf("-e %s -r %s %s -w %s", service, c.serverFor(service, method), method, c.pick("1", "3", "0", "0")))
	case 4, 5:
		c.command(fmt.Sprintf("-d %s -r %s", service, c.serverFor(service, method)))
	case 6:
		c.command("-E " + service + c.pick(" -s rr", " -s wlc", " -s sh", " -s rr -p 20", " -s wrr -p 360 "+map[bool]string{true: "-M 48",
			false: "-M 255.255.255.0"}[strings.Contains(service, "[")], " -s rr -o"))
	case 7:
		c.command("-D " + service)
		c.open(service)
	case 8:
		c.command("--set " + c.pick("900 120 300", "60 10 30", "5 2 3", "0 0 7"))
	case 9, 10:
		c.command("sysctl net.ipv4.vs." + c.pick("expire_nodest_conn 0", "expire_nodest_conn 1", "expire_quiescent_template 1",
			"expire_quiescent_template 0", "conn_reuse_mode 0", "conn_reuse_mode 1", "pmtu_disc 0", "pmtu_disc 1", "secure_tcp 3", "secure_tcp 0"))
	default:
		c.move()
	}
}

// open adds a service with servers.
func (c *couple) open(service string) {
	c.t.Helper()
	c.command("-A " + service + c.pick(" -s rr", " -s wlc", " -s rr -p 30"))
	for range 3 {
		method := c.pick("-g", "-i")
		c.command(fmt.Sprintf("-a %s -r %s %s -w %s", service, c.serverFor(service, method), method, c.pick("1", "1", "2")))
	}
}

// move changes the way to a server.
func (c *couple) move() {
	c.t.Helper()
	server := siteServers[c.rnd.IntN(len(siteServers))]
	what, n := c.rnd.IntN(5), c.rnd.IntN(4)
	both(c, fmt.Sprintf("hop to %s changes: %d %d", server, what, n), func(s *site) int {
		s.hop(server, func(h *forward.Hop) {
			switch what {
			case 0:
				h.Dst[4] = byte(n)
			case 1:
				h.OK, h.Fail = n > 0, forward.HopSilent
			case 2:
				h.MTU = []uint16{1500, 1400, 1280, 600}[n]
			case 3:
				h.Port = uint8(n % 2)
			default:
				h.OK = true
			}
		})
		return 0
	})
}

// newClient begins a connection.
func (c *couple) newClient() {
	k := packet.Tuple{Proto: packet.ProtoTCP, Family: packet.IPv4Family, SrcPort: uint16(1024 + c.rnd.IntN(40)), DstPort: 80,
		Src: packet.AddrFrom(netip.AddrFrom4([4]byte{203, 0, byte(113 + c.rnd.IntN(3)), byte(1 + c.rnd.IntN(6))})),
		Dst: packet.AddrFrom(netip.MustParseAddr("192.0.2.100"))}
	if c.rnd.IntN(2) == 0 {
		src := netip.MustParseAddr("2001:db8:c::1").As16()
		src[6], src[15] = byte(c.rnd.IntN(3)), byte(1+c.rnd.IntN(6))
		k.Family, k.Src, k.Dst = packet.IPv6Family, packet.AddrFrom(netip.AddrFrom16(src)), packet.AddrFrom(netip.MustParseAddr("2001:db8::100"))
	}
	if c.rnd.IntN(3) == 0 {
		k.Proto, k.DstPort = packet.ProtoUDP, 53
	}
	c.clients = append(c.clients, k)
	c.send(c.spec(k, packet.SYN))
	if k.Proto == packet.ProtoTCP && c.rnd.IntN(8) > 0 {
		c.send(c.spec(k, packet.ACK))
	}
}

// spec is a packet of a client.
func (c *couple) spec(k packet.Tuple, flags uint8) packet.Spec {
	return packet.Spec{SrcMAC: clientMAC, DstMAC: directorMAC, Tuple: k, TCPFlags: flags, DF: c.rnd.IntN(2) == 0, ID: uint16(c.rnd.Uint32()),
		TOS: uint8(c.rnd.Uint32()) >> c.rnd.IntN(8), Payload: make([]byte, c.rnd.IntN(100))}
}

func (c *couple) send(all ...packet.Spec) {
	c.t.Helper()
	var frames [][]byte
	for _, s := range all {
		frames = append(frames, packet.Build(nil, s))
	}
	c.frames(fmt.Sprintf("%v flags %#x", all[0].Tuple, all[0].TCPFlags), 0, frames...)
}

func (c *couple) frames(what string, port int, frames ...[]byte) {
	c.t.Helper()
	worker := c.rnd.IntN(len(c.plain.w))
	both(c, fmt.Sprintf("%s at worker %d", what, worker), func(s *site) string { return strings.Join(s.send(worker, port, frames...), "\n") })
}

// talk sends plain packets.
func (c *couple) talk(k packet.Tuple, n int) {
	c.t.Helper()
	for range n {
		c.send(c.spec(k, packet.ACK|packet.PSH&uint8(c.rnd.Uint32())))
	}
}

// odd sends something of a connection that is not plain.
func (c *couple) odd(k packet.Tuple) {
	c.t.Helper()
	s := c.spec(k, packet.ACK)
	switch c.rnd.IntN(16) {
	case 0:
		s.TCPFlags |= packet.FIN
	case 1:
		s.TCPFlags |= packet.RST
	case 2:
		s.TCPFlags = packet.SYN
	case 3:
		s.TCPFlags = 0
	case 4:
		s.TTL = uint8(1 + c.rnd.IntN(2))
	case 5:
		s.VLAN = 7
	case 6, 7:
		s.Payload = make([]byte, 500+c.rnd.IntN(1000))
	case 8:
		s.MoreFragments, s.Payload = true, make([]byte, 64)
	case 9:
		s.FragmentOffset, s.Payload = 64+packet.TCPMinLen/8*8, make([]byte, 64)
	case 10:
		if k.Family == packet.IPv4Family {
			s.Options = []byte{1, 1, 1, 0}
		}
	case 11:
		f := packet.Build(nil, s)
		f[14+c.rnd.IntN(min(40, len(f)-14))] ^= 1 << c.rnd.IntN(8)
		c.frames("a damaged packet", 0, f)
		return
	case 12:
		c.frames("a padded packet", 0, append(packet.Build(nil, s), make([]byte, c.rnd.IntN(30))...))
		return
	case 13:
		c.frames("an unfinished packet", 0, unfinishedSum(packet.Build(nil, s)))
		return
	case 14:
		c.icmpError(k)
		return
	case 15:
		c.send(s, c.spec(k, packet.ACK), c.spec(k, packet.FIN|packet.ACK), c.spec(k, packet.ACK))
		return
	}
	c.send(s)
}

// unfinishedSum leaves the checksum to whoever is next.
func unfinishedSum(f []byte) []byte {
	var m packet.Meta
	if packet.Parse(f, &m) != packet.NoDrop || m.Flags != 0 {
		return f
	}
	sum := packet.PseudoHeaderIPv6(m.Src, m.Dst, m.Proto, int(m.End)-int(m.L4))
	if m.Family == packet.IPv4Family {
		sum = packet.PseudoHeaderIPv4(m.Src, m.Dst, m.Proto, int(m.End)-int(m.L4))
	}
	at := int(m.L4) + 16
	if m.Proto == packet.ProtoUDP {
		at = int(m.L4) + 6
	}
	binary.BigEndian.PutUint16(f[at:], packet.Fold(sum))
	return f
}

// icmpError is what a router between client and director says of a reply.
func (c *couple) icmpError(k packet.Tuple) {
	c.t.Helper()
	quoted := packet.Build(nil, packet.Spec{Tuple: k.Reverse(), TCPFlags: packet.ACK, Payload: make([]byte, 20)})[14:]
	s := packet.Spec{SrcMAC: clientMAC, DstMAC: directorMAC, Payload: quoted}
	s.Src, s.Dst, s.Proto, s.ICMPType, s.ICMPCode, s.ICMPRest = k.Src, k.Dst, packet.ProtoICMP, 3, 4, 1300
	if k.Family == packet.IPv6Family {
		s.Proto, s.ICMPType, s.ICMPCode = packet.ProtoICMPv6, 2, 0
	}
	c.frames("an ICMP error", 0, packet.Build(nil, s))
}

// tunnelError is what a router says of the packets to a server in a tunnel.
func (c *couple) tunnelError() {
	c.t.Helper()
	k := c.clients[c.rnd.IntN(len(c.clients))]
	inner := packet.Build(nil, c.spec(k, packet.ACK))
	server := siteServers[c.rnd.IntN(3)]
	own := packet.AddrFrom(netip.MustParseAddr("172.16.0.1"))
	to := packet.AddrFrom(netip.MustParseAddr(server))
	buf := make([]byte, 2048)
	f := packet.MakeFrame(buf, 256, copy(buf[256:], inner), 0, 0)
	var m packet.Meta
	if packet.Parse(f.Bytes(), &m) != packet.NoDrop || !(packet.Tunnel{}).Wrap(&f, &m, &packet.Outer{Src: &own, Dst: &to}) {
		return
	}
	s := packet.Spec{SrcMAC: packet.MAC{2, 0, 0, 0, 2, 9}, DstMAC: directorMAC, ICMPType: 3, ICMPCode: 4, ICMPRest: uint32(1000 + c.rnd.IntN(450)),
		Payload: f.Bytes()[14:]}
	s.Src, s.Dst, s.Proto = to, own, packet.ProtoICMP
	c.frames("the MTU of a tunnel to "+server, 1, packet.Build(nil, s))
}

func (c *couple) list() {
	c.t.Helper()
	both(c, "list", (*site).list)
}

// play does n things.
func (c *couple) play(n int) {
	c.t.Helper()
	for _, s := range c.services() {
		c.open(s)
	}
	for range n {
		switch r := c.rnd.IntN(100); {
		case len(c.clients) == 0 || r < 12:
			c.newClient()
		case r < 50:
			c.talk(c.clients[c.rnd.IntN(len(c.clients))], 1+c.rnd.IntN(8))
		case r < 75:
			c.odd(c.clients[c.rnd.IntN(len(c.clients))])
		case r < 78:
			c.tunnelError()
		case r < 88:
			c.change()
		default:
			d := time.Duration([]int{5, 100, 1500, 10_000, 100_000, 1_000_000}[min(c.rnd.IntN(7), c.rnd.IntN(6))]) * time.Millisecond
			both(c, fmt.Sprint("wait ", d), func(s *site) int { s.wait(d); return 0 })
		}
		if len(c.clients) > 30 {
			c.clients = slices.Delete(c.clients, 0, 1)
		}
		if c.rnd.IntN(3) == 0 {
			c.list()
		}
	}
	c.list()
}

// TestAcceleratedIsAsWithout lives the lives of many connections twice, with an accelerator that takes whatever it can and without
// one: each frame, each listing and each counter must be the same.
func TestAcceleratedIsAsWithout(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			var sent uint64
			runs := 16
			if testing.Short() {
				runs = 4
			}
			for range runs {
				seed := rand.Uint64()
				c := &couple{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), plain: newSite(t, workers, false), quick: newSite(t, workers, true)}
				c.log = append(c.log, fmt.Sprint("seed ", seed))
				c.play(400)
				sent += c.quick.accelerated()
			}
			if t.Logf("%d packets were accelerated", sent); sent < uint64(runs)*100 {
				t.Errorf("%d packets in %d lives were accelerated: too few to tell", sent, runs)
			}
		})
	}
}
