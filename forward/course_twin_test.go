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

	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
)

// sailor is a director with courses or without, and what was seen of it.
type sailor struct {
	*site
	said   []said
	sailed int
}

// said is a verdict.
type said struct {
	why     forward.Why
	drop    packet.DropReason
	service forward.ServiceID
	dest    conntrack.DestID
	dir     conntrack.Dir
	state   conntrack.State
	left    time.Duration
}

// harbour is what both directors have.
type harbour struct {
	workers, room int
	unfinished    int // set of ports
	observed      bool
}

func (h *harbour) ports(n int) []forward.PortInfo {
	ports := append(forwardtest.DefaultPorts(), forward.PortInfo{Name: "eth2", MAC: packet.MAC{2, 0, 0x5e, 0x10, 0, 2}, MTU: 900})[:n]
	for i := range ports {
		ports[i].Unfinished = h.unfinished>>i&1 != 0
	}
	return ports
}

func (h *harbour) sailor(t *testing.T, plod bool) *sailor {
	s := &sailor{site: newSite(t, 0, false)}
	s.plod = plod
	for i := range h.workers {
		o := forward.Options{Table: conntrack.Options{MaxConns: h.room, Seed: uint64(i + 1)}}
		if h.observed {
			o.Observer = func(_ *packet.Frame, _ *packet.Meta, v forward.Verdict) {
				if v.Sailed() {
					s.sailed++
				}
				s.said = append(s.said, said{v.Why, v.Drop, v.Service, v.Dest, v.Dir, v.State, v.Left})
			}
		}
		lane := forwardtest.New(t, forwardtest.Options{Ports: h.ports(3)})
		w, err := forward.NewWorker(i, lane, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.Close() })
		s.w, s.lanes = append(s.w, w), append(s.lanes, lane)
	}
	if h.workers > 1 {
		forward.Join(s.w)
	}
	return s
}

// take lets a batch in at a worker, and returns what leaves, in order.
func (s *sailor) take(worker int, all []parcel) (out []parcel) {
	s.t.Helper()
	s.now = s.now.Add(time.Millisecond)
	for _, p := range all {
		s.lanes[worker].Inject(p.port, p.frame)
	}
	s.step(3) // to the owner, and to the one before it
	for _, l := range s.lanes {
		for p := range l.Ports() {
			for _, f := range l.Sent(p) {
				out = append(out, parcel{p, f})
			}
			l.Dropped(p)
		}
	}
	return out
}

// told returns what other directors are to be told.
func (s *sailor) told() (all []conntrack.Record) {
	buf := make([]conntrack.Record, 64)
	for _, w := range s.w {
		for n := w.TakeRecords(buf); n > 0; n = w.TakeRecords(buf) {
			all = append(all, buf[:n]...)
		}
		var lost [8]packet.Addr
		w.TakeLost(lost[:])
	}
	return all
}

// parcel is a frame at a port.
type parcel struct {
	port  int
	frame []byte
}

// convoy is a director with courses, and one that takes the long way with all packets, to which the same happens.
type convoy struct {
	couple     // whose quick one has courses
	h          harbour
	fast, slow *sailor
	ports      int
	records    []conntrack.Record
}

func newConvoy(t *testing.T, seed uint64) *convoy {
	c := &convoy{couple: couple{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), log: []string{fmt.Sprint("seed ", seed)}}, ports: 3}
	c.h = harbour{workers: 1 + c.rnd.IntN(2), room: []int{80, 250, 1 << 12}[c.rnd.IntN(3)], unfinished: c.rnd.IntN(8), observed: c.rnd.IntN(4) > 0}
	c.slow, c.fast = c.h.sailor(t, true), c.h.sailor(t, false)
	c.plain, c.quick = c.slow.site, c.fast.site
	return c
}

// batch sends frames together to a worker, and compares all that there is to compare.
func (c *convoy) batch(what string, worker int, all []parcel) {
	c.t.Helper()
	c.log = append(c.log, what)
	want, got := c.slow.take(worker, all), c.fast.take(worker, all)
	if !slices.EqualFunc(want, got, func(a, b parcel) bool { return a.port == b.port && bytes.Equal(a.frame, b.frame) }) {
		for i := range max(len(want), len(got)) {
			if i >= len(want) || i >= len(got) || want[i].port != got[i].port || !bytes.Equal(want[i].frame, got[i].frame) {
				c.fail(fmt.Sprintf("%s: %d frames, with courses %d; from number %d on:\n   want %x\n    got %x\n of %x", what, len(want), len(got), i,
					want[i:min(i+1, len(want))], got[i:min(i+1, len(got))], all))
			}
		}
	}
	c.compare(what)
}

// compare compares verdicts, records and all memory of connections.
func (c *convoy) compare(what string) {
	c.t.Helper()
	if !slices.Equal(c.slow.said, c.fast.said) {
		c.fail(fmt.Sprintf("%s: verdicts\n   want %v\n    got %v", what, c.slow.said, c.fast.said))
	}
	c.slow.said, c.fast.said = c.slow.said[:0], c.fast.said[:0]
	records, same := c.slow.told(), c.fast.told()
	if !slices.Equal(records, same) {
		c.fail(fmt.Sprintf("%s: told\n   want %v\n    got %v", what, records, same))
	}
	if c.records = append(c.records, records...); len(c.records) > 100 {
		c.records = c.records[len(c.records)-100:]
	}
	for i, w := range c.slow.w {
		a, b := w.Table(), c.fast.w[i].Table()
		end, _ := a.Scan(0, 1<<20, func(x *conntrack.Conn) bool {
			y := b.At(x.Slot())
			if y == nil || *x != *y {
				c.fail(fmt.Sprintf("%s: connection\n   want %+v\n    got %+v", what, x, y))
			}
			return true
		})
		if there, _ := b.Scan(0, 1<<20, func(*conntrack.Conn) bool { return true }); there != end || a.Len() != b.Len() || a.Templates() != b.Templates() {
			c.fail(fmt.Sprintf("%s: %d connections and %d templates, want %d and %d", what, b.Len(), b.Templates(), a.Len(), a.Templates()))
		}
		if want, got := w.Memory(), c.fast.w[i].Memory(); want != got {
			c.fail(fmt.Sprintf("%s: memory\n   want %s\n    got %s", what, diffLines(want, got), diffLines(got, want)))
		}
		var x, y forward.Counters
		w.ReadCounters(&x)
		c.fast.w[i].ReadCounters(&y)
		if x != y {
			c.fail(fmt.Sprintf("%s: counters\n   want %+v\n    got %+v", what, x, y))
		}
	}
}

// voyage lets n things happen.
func (c *convoy) voyage(n int) {
	c.t.Helper()
	for _, s := range c.ships() {
		c.launch(s)
	}
	for range n {
		switch r := c.rnd.IntN(100); {
		case r < 72:
			c.traffic()
		case r < 82:
			c.alter()
		case r < 86:
			c.passage()
		case r < 90:
			c.rule()
		case r < 92:
			c.learn()
		case r < 93:
			c.relane()
		case r < 97:
			d := time.Duration([]int{1, 17, 300, 3000, 30_000, 700_000}[min(c.rnd.IntN(8), c.rnd.IntN(6))]) * time.Millisecond
			c.twice(fmt.Sprint("wait ", d), func(s *sailor) string { s.wait(d); return "" })
		default:
			c.twice("list", func(s *sailor) string { return s.list() })
		}
	}
	c.twice("list", func(s *sailor) string { return s.list() })
}

// twice does the same to both and compares what comes of it.
func (c *convoy) twice(what string, do func(*sailor) string) {
	c.t.Helper()
	c.log = append(c.log, what)
	if want, got := do(c.slow), do(c.fast); want != got {
		c.fail(fmt.Sprintf("%s: with courses\n%s\nwithout\n%s", what, diffLines(got, want), diffLines(want, got)))
	}
	for _, l := range slices.Concat(c.slow.lanes, c.fast.lanes) { // what leaves meanwhile
		for p := range l.Ports() {
			l.Sent(p)
			l.Dropped(p)
		}
	}
	c.compare(what)
}

func (c *convoy) order(line string) {
	c.t.Helper()
	c.twice(line, func(s *sailor) string { return s.command(line) })
}

// ships are the services.
func (c *convoy) ships() []string {
	return append(c.services(), "-t 192.0.2.100:21", "-u 192.0.2.102:0", "-f 7", "-f 7 -6")
}

// berth is a real server that a service can have, and how it is reached.
func (c *convoy) berth(service string) string {
	method := c.pick("-g", "-i", "-m", "-m")
	if method == "-i" {
		method = c.pick("-i", "-i", "-i", "-i --tun-type gre", "-i --tun-type gue --tun-port 6080")
	}
	if !strings.HasPrefix(service, "-f") {
		return c.serverFor(service, method[:2]) + " " + method
	}
	if n := 11 + c.rnd.IntN(3); strings.HasSuffix(service, "-6") {
		return fmt.Sprintf("2001:db8:2::%d %s", n, method)
	} else {
		return fmt.Sprintf("172.16.0.%d %s", n, method)
	}
}

func (c *convoy) launch(service string) {
	c.t.Helper()
	how := c.pick(" -s rr", " -s wlc", " -s rr -p 30", " -s sh")
	if strings.Contains(service, ":21") || strings.HasSuffix(service, ":0") {
		how = " -s rr -p 30"
	}
	c.order("-A " + service + how)
	for range 3 {
		c.order(fmt.Sprintf("-a %s -r %s -w %s", service, c.berth(service), c.pick("1", "1", "2")))
	}
}

// alter changes services, servers and settings.
func (c *convoy) alter() {
	c.t.Helper()
	service := c.pick(c.ships()...)
	switch c.rnd.IntN(13) {
	case 0, 1, 2:
		c.order(fmt.Sprintf("%s %s -r %s -w %s%s", c.pick("-a", "-e"), service, c.berth(service), c.pick("1", "2", "0"), c.pick("", "", " -x 5 -y 2")))
	case 3, 4:
		c.order(fmt.Sprintf("-d %s -r %s", service, strings.Fields(c.berth(service))[0]))
	case 5:
		c.order("-E " + service + c.pick(" -s rr", " -s wlc", " -s sh", " -s rr -p 20", " -s rr -o"))
	case 6:
		if c.rnd.IntN(3) == 0 {
			c.order("-D " + service)
			c.launch(service)
		}
	case 7:
		c.order("--set " + c.pick("900 120 300", "60 10 30", "5 2 3", "0 0 7"))
	default:
		c.order("sysctl net.ipv4.vs." + c.pick("expire_nodest_conn", "expire_quiescent_template", "conn_reuse_mode", "pmtu_disc", "secure_tcp", "secure_tcp",
			"drop_entry", "drop_packet", "nat_icmp_send", "sloppy_tcp", "schedule_icmp", "cache_bypass", "conntrack") + " " + c.pick("0", "1"))
	}
}

// passage changes the way to a server.
func (c *convoy) passage() {
	c.t.Helper()
	server := siteServers[c.rnd.IntN(len(siteServers))]
	what, n := c.rnd.IntN(8), c.rnd.IntN(4)
	c.twice(fmt.Sprintf("hop to %s changes: %d %d", server, what, n), func(s *sailor) string {
		s.hop(server, func(h *forward.Hop) {
			switch what {
			case 0:
				h.Dst[4], h.Src[5] = byte(n), byte(n)
			case 1:
				h.OK, h.Fail = n > 0, []forward.HopFail{forward.HopSilent, forward.HopUnreachable}[n%2]
			case 2:
				h.MTU = []uint16{1500, 1400, 1280, 600}[n]
			case 3:
				h.Port = uint8(n % 2)
			case 4:
				h.Local = n == 0
			case 5:
				h.Own[15] = byte(n)
				if n == 0 {
					h.Own = packet.Addr{}
				}
			default:
				h.OK, h.Local = true, false
			}
		})
		return ""
	})
}

// rule changes what no command says: synchronisation, times to live, marks, own addresses.
func (c *convoy) rule() {
	c.t.Helper()
	sync := forward.Sync{Master: c.rnd.IntN(3) > 0, Backup: c.rnd.IntN(3) == 0, BackupOnly: c.rnd.IntN(8) == 0, Threshold: uint32(c.rnd.IntN(3)),
		Period: uint32([]int{0, 3, 50}[c.rnd.IntN(3)]), Refresh: time.Duration(c.rnd.IntN(2)*10) * time.Second, Retries: uint8(c.rnd.IntN(2)),
		PersistMode: c.rnd.IntN(4) == 0, Version0: c.rnd.IntN(4) == 0}
	life, kernel, own := c.rnd.Uint32N(5)/3*5, c.rnd.IntN(2) == 0, c.rnd.IntN(2) == 0
	c.twice(fmt.Sprintf("rules: %+v, %d s, kernel %v, own %v", sync, life, kernel, own), func(s *sailor) string {
		s.amend = func(x *forward.Snapshot) {
			x.Sync = sync
			for i := range x.Dests {
				if x.Dests[i].Established = 0; i%3 == 0 {
					x.Dests[i].Established = life
				}
			}
			all := []forward.MarkRule{{Ports: ^uint64(0), Proto: packet.ProtoTCP, Target: forward.MarkSet, Value: 7, Mask: ^uint32(0)}}
			program := forward.MarkProgram{Rules: all, Prerouting: forward.MarkSpan{To: 1}}
			x.Marks = &forward.Marks{IPv4: program, IPv6: program, Everywhere: true}
			if kernel {
				x.Kernel = forward.Hop{OK: true, Local: true, Port: 1, MTU: 1500, Src: clientMAC, Dst: directorMAC}
			}
			if own {
				four, six := packet.AddrFrom(netip.MustParseAddr("192.0.2.1")), packet.AddrFrom(netip.MustParseAddr("2001:db8::1"))
				x.Own = [][2]packet.Addr{{four, six}, {four, six}, {four, six}}
			}
		}
		if err := s.publish(&s.model); err != nil {
			return err.Error()
		}
		return ""
	})
}

// learn lets both hear from another director what they have told themselves, perhaps of what is gone, or that it is otherwise.
func (c *convoy) learn() {
	c.t.Helper()
	if len(c.records) == 0 {
		return
	}
	var all []conntrack.Record
	for range 1 + c.rnd.IntN(8) {
		r := c.records[c.rnd.IntN(len(c.records))]
		if c.rnd.IntN(2) == 0 {
			r.SrcPort++
		}
		if c.rnd.IntN(4) == 0 {
			r.Flags = r.Flags&^conntrack.RecordMethod | conntrack.RecordFlags(c.rnd.IntN(5))
		}
		all = append(all, r)
	}
	worker := c.rnd.IntN(c.h.workers)
	c.twice(fmt.Sprint("learn ", len(all)), func(s *sailor) string {
		for i := range all {
			s.w[worker].Learn(&all[i])
		}
		s.step(2)
		return ""
	})
}

// relane gives the workers lanes with a port less, or again with all.
func (c *convoy) relane() {
	c.ports = 5 - c.ports
	c.twice("wait for fragments", func(s *sailor) string { s.wait(2 * time.Minute); return "" })
	c.twice(fmt.Sprintf("%d ports", c.ports), func(s *sailor) string {
		for i, w := range s.w {
			s.lanes[i] = forwardtest.New(c.t, forwardtest.Options{Ports: c.h.ports(c.ports)})
			w.SetLane(s.lanes[i])
		}
		return ""
	})
}

// TestCoursesAreAsWithout lives the lives of many connections twice, with courses and without: each frame, each verdict, each
// record for other directors, each counter and all memory of connections are the same.
func TestCoursesAreAsWithout(t *testing.T) {
	lives, things := 12, 300
	if testing.Short() {
		lives = 4
	}
	sailed, astray, observed := 0, 0, 0
	for range lives {
		c := newConvoy(t, rand.Uint64())
		c.voyage(things)
		if c.h.observed {
			sailed, observed = sailed+c.fast.sailed, observed+1
		}
		astray += c.slow.sailed
	}
	if astray > sailed/20 { // a path that is forgotten gives the rest of a batch a course
		t.Errorf("%d packets took a course where there should be none", astray)
	}
	if t.Logf("%d packets in %d lives took a course", sailed, observed); sailed < observed*100 {
		t.Error("too few to tell")
	}
}
