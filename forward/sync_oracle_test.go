package forward_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/packet"
	"dirsw/sched"
)

// syncCase is a transcript of two kernels, a master and a backup that gets its messages.
type syncCase struct {
	Case         string
	Rules        []string
	BackupRules  []string `json:"backup_rules"`
	Setup        []string
	Sysctl       map[string]any
	BackupSysctl map[string]any `json:"backup_sysctl"`
	Master       string
	Backup       string
	Inject       []struct {
		T            float64 // seconds since the beginning; 0: not known
		If, What, IP string
	}
	Sync       []struct{ Hex string }
	BackupList syncListing `json:"backup_list"`
	Takeover   []syncTakeover
}

type syncListing struct {
	Conns    []string `json:"ip_vs_conn_sync"`
	Services []string `json:"ip_vs"`
}

type syncTakeover struct {
	What, In string
	Out      []struct{ If, Hex string }
	Conns    []string
}

// syncCases are those of both transcripts; the second tells when each packet came.
func syncCases(t *testing.T) (all []syncCase) {
	for _, name := range []string{"sync", "sync2"} {
		f, err := os.Open("testdata/oracle/" + name + ".jsonl.gz")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(z)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var c syncCase
			if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
		if lines.Err() != nil {
			t.Fatal(lines.Err())
		}
	}
	if len(all) < 89 {
		t.Fatalf("%d cases", len(all))
	}
	return all
}

// sync is what the case's settings make of a director.
func (c *syncCase) sync(t *testing.T) forward.Sync {
	s := forward.Sync{Threshold: 3, Period: 50}
	for k, v := range c.Sysctl {
		n := func() int {
			n, err := strconv.Atoi(fmt.Sprint(v))
			if err != nil {
				t.Fatalf("%s = %v", k, v)
			}
			return n
		}
		switch k {
		case "net.ipv4.vs.sync_threshold":
			if _, err := fmt.Sscan(v.(string), &s.Threshold, &s.Period); err != nil {
				t.Fatal(err)
			}
		case "net.ipv4.vs.sync_refresh_period":
			s.Refresh = time.Duration(n()) * time.Second
		case "net.ipv4.vs.sync_retries":
			s.Retries = uint8(n())
		case "net.ipv4.vs.sync_persist_mode":
			s.PersistMode = n() != 0
		case "net.ipv4.vs.sync_version":
			s.Version0 = n() == 0
		case "net.ipv4.vs.sync_ports": // no matter of the worker
		default:
			t.Fatalf("sysctl %s", k)
		}
	}
	return s
}

// director is one with the rules, in a lane of which clients are at port 0 and servers at port 1.
func (c *syncCase) director(t *testing.T, rules []string, edit func(*forward.Snapshot)) *masq {
	x := newMasq(t, forward.Options{Table: conntrack.Options{MaxConns: 1024}})
	s := compiled(t, 1, rules...)
	s.Settings = forward.DefaultSettings()
	for _, line := range c.Setup {
		if line != "iptables-legacy -t mangle -A PREROUTING -d 192.0.2.100 -p tcp --dport 80 -j MARK --set-mark 5" {
			t.Fatal(line)
		}
		s.Marks = markFive()
	}
	s.Gen = 2
	edit(s)
	x.w.Publish(s)
	x.snap = s
	x.step()
	return x
}

// markFive gives TCP packets to port 80 the mark 5.
func markFive() *forward.Marks {
	rule := forward.MarkRule{Ports: ^uint64(0), Proto: packet.ProtoTCP, Target: forward.MarkSet, Value: 5, Mask: ^uint32(0),
		Conds: []forward.MarkCond{{Kind: forward.MarkDest, Ranges: []forward.MarkRange{{Low: 80, High: 80}}}}}
	return &forward.Marks{Everywhere: true, IPv4: forward.MarkProgram{Rules: []forward.MarkRule{rule}, Prerouting: forward.MarkSpan{To: 1}}}
}

func (c *syncCase) frame(t *testing.T, ip string) []byte {
	b, err := hex.DecodeString(ip)
	if err != nil {
		t.Fatal(err)
	}
	kind := []byte{8, 0}
	if b[0]>>4 == 6 {
		kind = []byte{0x86, 0xdd}
	}
	return slices.Concat(directorMAC[:], clientMAC[:], kind, b)
}

// TestOracleSyncMaster lets the packets of each transcript in: what other directors are told must be what the kernel told.
func TestOracleSyncMaster(t *testing.T) {
	total := 0
	for _, c := range syncCases(t) {
		t.Run(c.Case, func(t *testing.T) {
			want := c.records(t)
			if c.Case == "fwmark/no-service" { // the kernel tells the packet's mark, dirsw that of the service: here it has none
				for i := range want {
					want[i].Mark = 0
				}
			}
			x := c.director(t, c.Rules, func(s *forward.Snapshot) {
				s.Sync = c.sync(t)
				s.Sync.Master = true
			})
			start := x.now
			for _, in := range c.Inject {
				if in.T == 0 {
					x.now = x.now.Add(10 * time.Millisecond)
				} else {
					x.until(start.Add(time.Duration(in.T * float64(time.Second))))
				}
				x.lane.Inject(int(in.If[0]&1), c.frame(t, in.IP)) // c0 or s0: 'c' is odd
				x.step()
			}
			got := x.told()
			for i := range got {
				if s := &x.snap.Sync; s.Version0 { // which has no room for it
					got[i].Timeout = 0
				}
			}
			for i := range max(len(got), len(want)) {
				switch {
				case i >= len(got):
					t.Errorf("record %d is lacking:\n%s", i, recordText(&want[i]))
				case i >= len(want):
					t.Errorf("record %d is too many:\n%s", i, recordText(&got[i]))
				case recordText(&got[i]) != recordText(&want[i]):
					t.Errorf("record %d:\n%s, want\n%s", i, recordText(&got[i]), recordText(&want[i]))
				}
			}
			total += len(got)
		})
	}
	if total < 180 {
		t.Errorf("%d records in all", total)
	}
}

// TestOracleSyncBackup lets a director learn what the messages of each transcript say: it must list what the kernel lists, and
// then do with packets what the kernel does.
func TestOracleSyncBackup(t *testing.T) {
	listed, taken := 0, 0
	for _, c := range syncCases(t) {
		t.Run(c.Case, func(t *testing.T) {
			x := c.director(t, c.BackupRules, func(s *forward.Snapshot) {
				s.Sync = forward.Sync{Backup: true, Threshold: 3, Period: 50, BackupOnly: len(c.BackupSysctl) > 0}
				addStranger(s, "172.16.0.11")
			})
			if c.accepts() {
				x.learn(t, c.records(t))
			}
			if len(x.proc(true)) > len(c.BackupList.Conns) { // what was closed had ended when the kernel's list was taken
				x.until(x.now.Add(11 * time.Second))
			}
			if got, want := x.proc(true), c.BackupList.Conns; !sameListing(got, want, 60, "") {
				t.Errorf("lists\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if got, want := x.loads(), c.BackupList.loads(t); !slices.Equal(got, want) {
				t.Errorf("servers have %v active and inactive connections, want %v", got, want)
			}
			listed += len(c.BackupList.Conns)
			if len(x.snap.Services) == 0 { // the packet filter lets packets pass to the kernel
				if f := x.snap.Filter(); len(f.Keys) != 0 {
					t.Errorf("without a service the filter takes %+v", f.Keys)
				}
				return
			}
			x.now = x.now.Add(30 * time.Second)
			for _, k := range c.Takeover {
				x.takeOver(t, &c, &k)
				taken++
			}
		})
	}
	if listed < 150 || taken < 8 {
		t.Errorf("%d entries listed, %d packets after a takeover", listed, taken)
	}
}

// accepts reports whether the backup takes messages of the master's ID.
func (c *syncCase) accepts() bool {
	master, backup := strings.Fields(c.Master)[1], strings.Fields(c.Backup)[1]
	return backup == "0" || backup == master
}

// until lets time pass, with a breath each quarter of a second.
func (x *masq) until(end clock.Mono) {
	for x.now < end {
		x.now = min(end, x.now.Add(250*time.Millisecond))
		x.step()
	}
}

func (x *masq) takeOver(t *testing.T, c *syncCase, k *syncTakeover) {
	x.now = x.now.Add(time.Millisecond)
	x.lane.Inject(0, c.frame(t, k.In))
	x.step()
	got := map[string][][]byte{"c0": x.lane.Sent(0), "s0": x.lane.Sent(1)}
	x.lane.Dropped(0)
	if x.last.Drop == packet.DropNoService { // where there is a way to the kernel its own stack answers
		if c.BackupSysctl == nil {
			t.Errorf("%s: %v", k.What, x.last.Drop)
		}
		return
	}
	if n := len(got["c0"]) + len(got["s0"]); n != len(k.Out) {
		t.Errorf("%s: %d frames left (%v, %v), want %d", k.What, n, x.last.Why, x.last.Drop, len(k.Out))
		return
	}
	for _, o := range k.Out {
		want, _ := hex.DecodeString(o.Hex)
		if len(got[o.If]) == 0 {
			t.Errorf("%s: nothing by %s", k.What, o.If)
			continue
		}
		g := got[o.If][0]
		if o.If == "s0" && g[5]&15%10 != want[5]&15 { // server 1 has the MAC address :11 there, and the last byte of its address here
			t.Errorf("%s: to %x, want server %x", k.What, g[:6], want[:6])
		}
		if want[12] == 8 && want[23] == packet.ProtoICMP { // identification, and the checksum over it
			copy(want[18:20], g[18:20])
			copy(want[24:26], g[24:26])
		}
		if !bytes.Equal(g[12:], want[12:]) {
			t.Errorf("%s:\n%x, want\n%x", k.What, g[12:], want[12:])
		}
	}
	if got := x.proc(false); !sameListing(got, k.Conns, 2, clientOf(t, k.In)) {
		t.Errorf("%s: lists\n%s\nwant\n%s", k.What, strings.Join(got, "\n"), strings.Join(k.Conns, "\n"))
	}
}

// addStranger adds a destination for connections of a server that no service has.
func addStranger(s *forward.Snapshot, addr string) {
	a := addrOf(addr)
	d := &forward.Dest{Addr: a, Method: forward.Bypass, Service: forward.NoService, Weight: 1}
	d.Hop = forward.Hop{OK: true, Port: 1, MTU: 1500, Src: directorMAC, Dst: packet.MAC{2, 0, 0, 0, 2, a[15]}}
	d.Load, d.Tally = sched.NewLoad(1), forward.NewTally(1)
	s.Sync.Strangers = map[packet.Addr]conntrack.DestID{a: conntrack.DestID(len(s.Dests))}
	s.Dests = append(s.Dests, *d)
}

// told takes all records.
func (x *masq) told() (all []conntrack.Record) {
	buf := make([]conntrack.Record, 7)
	for {
		n := x.w.TakeRecords(buf)
		all = append(all, buf[:n]...)
		if n == 0 {
			return all
		}
	}
}

func (x *masq) learn(t *testing.T, all []conntrack.Record) {
	t.Helper()
	for i := range all {
		if !x.w.Learn(&all[i]) {
			t.Fatalf("no room for record %d", i)
		}
		if i%50 == 49 {
			x.step()
		}
	}
	x.step()
}

// proc lists the table as /proc/net/ip_vs_conn_sync does, or as ip_vs_conn, which does not say where entries are from.
func (x *masq) proc(origin bool) (all []string) {
	done := make(chan struct{}, 1)
	l := forward.Listing{Conns: make([]forward.ConnInfo, 0, 2048)}
	if !x.w.Post(forward.Command{List: &l, Done: done}) {
		x.t.Fatal("mailbox full")
	}
	x.step()
	<-done
	if !l.End {
		x.t.Fatal("more connections than there is room for")
	}
	for i := range l.Conns {
		k := &l.Conns[i]
		proto := map[uint8]string{0: "IP", 6: "TCP", 17: "UDP", 132: "SCTP"}[k.Tuple.Proto]
		s := fmt.Sprintf("%s %s %04X %s %04X %s %04X %v", proto, procAddr(k.Tuple.Src), k.Tuple.SrcPort, procAddr(k.Tuple.Dst),
			k.Tuple.DstPort, procAddr(k.Dest), k.DestPort, k.State)
		if origin && k.Synced {
			s += " SYNC"
		} else if origin {
			s += " LOCAL"
		}
		all = append(all, s+" "+strconv.Itoa(int(k.Left/time.Second)))
	}
	return all
}

func procAddr(a packet.Addr) string {
	if a.Is4() {
		return fmt.Sprintf("%X", a[12:])
	}
	var parts []string
	for i := 0; i < 16; i += 2 {
		parts = append(parts, hex.EncodeToString(a[i:i+2]))
	}
	return strings.Join(parts, ":")
}

// clientOf are address and port of who sent a packet, as listings have them.
func clientOf(t *testing.T, in string) string {
	b, err := hex.DecodeString(in)
	if err != nil {
		t.Fatal(err)
	}
	var a packet.Addr
	at := 40
	if b[0]>>4 == 6 {
		copy(a[:], b[8:24])
	} else {
		a[10], a[11], at = 0xff, 0xff, 20
		copy(a[12:], b[12:16])
	}
	return fmt.Sprintf(" %s %04X ", procAddr(a), be.Uint16(b[at:]))
}

// sameListing compares listings whatever the order. The kernel's may have been taken so many seconds later; where only says
// something, that is about entries with it in their line, and the time of others does not matter.
func sameListing(got, want []string, later int, only string) bool {
	if len(got) != len(want) {
		return false
	}
	left := map[string]int{}
	for _, l := range want {
		w := strings.Fields(l)
		left[strings.Join(w[:len(w)-1], " ")], _ = strconv.Atoi(w[len(w)-1])
	}
	for _, l := range got {
		at := strings.LastIndexByte(l, ' ')
		n, _ := strconv.Atoi(l[at+1:])
		want, ok := left[l[:at]]
		if !ok || strings.Contains(l, only) && (n < want || n > want+later) {
			return false
		}
	}
	return len(left) == len(got)
}

// loads are the active and inactive connections of each server.
func (x *masq) loads() (all [][2]int) {
	for i := range x.snap.Dests {
		if d := &x.snap.Dests[i]; d.Service != forward.NoService {
			all = append(all, [2]int{int(d.Load.Active()), int(d.Load.Inactive())})
		}
	}
	slices.SortFunc(all, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	return all
}

func (l *syncListing) loads(t *testing.T) (all [][2]int) {
	for _, line := range l.Services {
		if w := strings.Fields(line); w[0] == "->" {
			var n [2]int
			if _, err := fmt.Sscan(w[4]+" "+w[5], &n[0], &n[1]); err != nil {
				t.Fatal(err)
			}
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b [2]int) int { return slices.Compare(a[:], b[:]) })
	return all
}

func recordText(r *conntrack.Record) string {
	s := fmt.Sprintf("%d %v:%d %v:%d %v:%d flags %04x %v mark %d for %v", r.Proto, r.Src, r.SrcPort, r.Dst, r.DstPort, r.Real,
		r.RealPort, uint16(r.Flags), r.State, r.Mark, r.Timeout)
	if r.EngineLen != 0 {
		s += fmt.Sprintf(" %s %q", r.Engine[:r.EngineLen], r.Data[:r.DataLen])
	}
	return s
}

// records reads the messages of a transcript: a reader of its own, which takes them for well-formed.
func (c *syncCase) records(t *testing.T) (all []conntrack.Record) {
	for _, m := range c.Sync {
		b, err := hex.DecodeString(m.Hex)
		if err != nil {
			t.Fatal(err)
		}
		udp := b[14+20+8:]
		if b[12] == 0x86 {
			udp = b[14+40+8:]
		}
		if udp[0] == 0 {
			all = append(all, records1(udp[8:])...)
		} else {
			all = append(all, records0(udp[4:])...)
		}
	}
	return all
}

var be = binary.BigEndian

// records1 reads the entries of version 1 (struct ip_vs_sync_v4, ip_vs_sync_v6).
func records1(b []byte) (all []conntrack.Record) {
	for len(b) > 0 {
		size := int(be.Uint16(b[2:]) & 0xfff)
		var r conntrack.Record
		r.Proto, r.Flags = b[1], conntrack.RecordFlags(be.Uint32(b[4:]))
		r.SrcPort, r.DstPort, r.RealPort = be.Uint16(b[10:]), be.Uint16(b[12:]), be.Uint16(b[14:])
		r.Mark, r.Timeout = be.Uint32(b[16:]), time.Duration(be.Uint32(b[20:]))*time.Second
		at := 24
		addr := func() (a packet.Addr) {
			if r.Family == packet.IPv6Family {
				at += copy(a[:], b[at:at+16])
				return a
			}
			a[10], a[11] = 0xff, 0xff
			at += copy(a[12:], b[at:at+4])
			return a
		}
		r.Family = packet.IPv4Family + b[0]&1*2
		r.Src, r.Dst, r.Real = addr(), addr(), addr()
		r.State = stateTold(r.Proto, r.IsTemplate(), be.Uint16(b[8:]))
		for at < size {
			kind, n := b[at]&0x3f, int(b[at+1])
			value := b[at+2 : at+2+n]
			at += 2 + n
			switch kind {
			case 2:
				r.DataLen = uint8(copy(r.Data[:], value))
			case 3:
				r.EngineLen = uint8(copy(r.Engine[:], value))
			}
		}
		all = append(all, r)
		b = b[min(len(b), (size+3)&^3):]
	}
	return all
}

// records0 reads the entries of version 0 (struct ip_vs_sync_conn_v0), which do not say how long they live.
func records0(b []byte) (all []conntrack.Record) {
	for ; len(b) >= 24; b = b[24:] {
		var r conntrack.Record
		r.Proto, r.Family = b[1], packet.IPv4Family
		r.SrcPort, r.DstPort, r.RealPort = be.Uint16(b[2:]), be.Uint16(b[4:]), be.Uint16(b[6:])
		for i, a := range []*packet.Addr{&r.Src, &r.Dst, &r.Real} {
			a[10], a[11] = 0xff, 0xff
			copy(a[12:], b[8+4*i:12+4*i])
		}
		r.Flags = conntrack.RecordFlags(be.Uint16(b[20:]))
		r.State = stateTold(r.Proto, r.IsTemplate(), be.Uint16(b[22:]))
		all = append(all, r)
	}
	return all
}

// stateTold are the kernel's numbers of states (include/net/ip_vs.h).
func stateTold(proto uint8, template bool, n uint16) conntrack.State {
	switch {
	case template:
		return conntrack.State(n)
	case proto == packet.ProtoUDP:
		return conntrack.UDPNormal
	case proto == packet.ProtoSCTP:
		return conntrack.SCTPInit1 + conntrack.State(n) - 1
	case n == 0:
		return conntrack.None
	}
	return conntrack.TCPEstablished + conntrack.State(n) - 1
}
