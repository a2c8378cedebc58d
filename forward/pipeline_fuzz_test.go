package forward_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dirsw/conntrack"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
	"dirsw/reassembly"
	"dirsw/sched"
)

// An input of FuzzPipeline is a world, and then records: what is done, two bytes of length, and a frame.
const (
	fromServers = 1 << iota // the frame comes by the port of the servers, otherwise by that of the clients
	mend                    // an IPv4 header gets a right checksum first
	hold                    // no breath before the next frame
	stack                   // the frame comes by the port of the director's own stack
	later                   // and the next two bits: how much time passes first
)

// waits are the times that may pass before a frame.
var waits = [...]time.Duration{time.Millisecond, time.Second, 31 * time.Second, 10 * time.Minute}

const anotherWorld = 0x80 // in what is done: the next of the worlds comes into force first

// services are what every world serves; the addresses are those of the transcripts.
var services = []string{
	"-A -t 192.0.2.100:80 -s rr", "-A -u 192.0.2.100:80 -s wlc", "-A --sctp-service 192.0.2.100:80 -s rr",
	"-A -t 192.0.2.100:0 -s wrr -p 300", "-A -u 192.0.2.100:53 -s rr -o", "-A -t 192.0.2.100:21 -s rr",
	"-A -u 192.0.2.100:5060 -s rr -p 50", "-A -u 192.0.2.100:500 -s lc", "-A -t 192.0.2.100:443 -s rr",
	"-A -t [2001:db8:100::100]:80 -s rr", "-A -u [2001:db8:100::100]:80 -s sed", "-A --sctp-service [2001:db8:100::100]:80 -s rr",
	"-A -u [2001:db8:100::100]:53 -s rr -o", "-A -u [2001:db8:100::100]:5060 -s rr -p 50", "-A -t [2001:db8:100::100]:0 -s rr -p 60",
}

// worlds are the ways to the servers that have the family of their service.
var worlds = []func(s *forward.Snapshot, d *forward.Dest){
	methodsOf(forward.DR, packet.Tunnel{}),
	methodsOf(forward.NAT, packet.Tunnel{}),
	methodsOf(forward.TUN, packet.Tunnel{}),
	methodsOf(forward.TUN, packet.Tunnel{Type: packet.GRE, Sum: true}),
	func(s *forward.Snapshot, d *forward.Dest) { // NAT to another port, everything that can be on
		d.Method, d.Port = forward.NAT, d.Port+8000
		s.Settings = forward.Settings{SloppyTCP: true, SloppySCTP: true, ReuseMode: conntrack.ReuseClosing, ExpireNodest: true,
			ExpireQuiescent: true, NATICMPSend: true, ScheduleICMP: true, CacheBypass: true, SecureTCP: forward.Automatic,
			DropEntry: forward.Always, DropPacket: forward.Automatic, AMemThresh: 8, AMDropRate: 3}
	},
	func(s *forward.Snapshot, d *forward.Dest) { // the director itself
		d.Method, d.Hop.Local, d.Hop.Port = forward.NAT, true, 2
		d.Hop.MTU = 0xffff
	},
	func(s *forward.Snapshot, d *forward.Dest) { // no way, and no way back to the kernel
		d.Hop.OK, d.Hop.Fail = false, forward.HopFail(d.Addr[15]%3)
		s.Kernel = forward.Hop{}
	},
	func(s *forward.Snapshot, d *forward.Dest) { // short ways, and servers that are gone
		d.Hop.MTU, d.Gone = 576, d.Addr[15]&1 == 0
		s.Settings.PMTUDisc = false
	},
}

func methodsOf(method forward.Method, tun packet.Tunnel) func(*forward.Snapshot, *forward.Dest) {
	return func(_ *forward.Snapshot, d *forward.Dest) { d.Method, d.Tunnel, d.Hop.Own = method, tun, own(&d.Addr) }
}

// newWorld is a bench with all services and three ports: clients, servers, the director's own stack.
func newWorld(t *testing.T) *bench {
	ports := append(forwardtest.DefaultPorts(), forward.PortInfo{Name: "dirsw0", MTU: 1500, Unfinished: true})
	b := &bench{t: t, lane: forwardtest.New(t, forwardtest.Options{Ports: ports}), snap: &forward.Snapshot{}, mtu: 1500}
	b.now = b.now.Add(time.Hour)
	var err error
	if b.w, err = forward.NewWorker(0, b.lane, forward.Options{Table: conntrack.Options{MaxConns: 64},
		Fragments: reassembly.Options{Datagrams: 8, Bytes: 1}, Observer: func(_ *packet.Frame, _ *packet.Meta, v forward.Verdict) { b.last = v }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.w.Close() })
	for _, l := range services {
		b.publish(l)
		at := strings.Fields(l)[1] + " " + strings.Fields(l)[2]
		port := at[strings.LastIndex(at, ":")+1:]
		servers := []string{"[2001:db8:2::12]:", "[2001:db8:2::11]:", "172.16.0.12:", "172.16.0.11:"}
		if strings.Contains(at, "[") {
			servers = []string{"172.16.0.12:", "172.16.0.11:", "[2001:db8:2::12]:", "[2001:db8:2::11]:"}
		}
		for _, server := range servers { // the last one gets the first connection, as in the transcripts
			b.publish("-a " + at + " -r " + server + port)
		}
	}
	b.finishWorld()
	return b
}

// finishWorld gives the snapshot what ipvsadm's lines do not: a service by firewall mark, an engine, the director's
// addresses.
func (b *bench) finishWorld() {
	s := b.snap
	key := forward.ServiceKey{Addr: tuple(0, "0.0.0.7:0", vip).Src}
	mark := forward.Service{Key: key, Kind: s.Services[0].Kind, SchedGen: s.Gen, PoolGen: s.Gen, Tally: forward.NewTally(1),
		Pool: &sched.Pool{Cursor: new(sched.Cursor)}, Persistence: time.Minute, Mask: s.Services[0].Mask}
	for i := range 2 {
		d := s.Dests[i]
		d.Service, d.Load, d.Tally = forward.ServiceID(len(s.Services)), sched.NewLoad(1), forward.NewTally(1)
		mark.Pool.Dests = append(mark.Pool.Dests, sched.Dest{ID: uint32(len(s.Dests)), Addr: d.Addr, Port: d.Port, Weight: 1, Load: d.Load})
		s.Dests = append(s.Dests, d)
	}
	s.Lookup[key] = forward.ServiceID(len(s.Services))
	s.Services = append(s.Services, mark)
	for i := range s.Services {
		if s.Services[i].Key.Port == 5060 {
			s.Services[i].Engine = forward.SIP
		}
	}
	rule := forward.MarkRule{Proto: packet.ProtoTCP, Ports: 1, Target: forward.MarkSet, Value: 7, Mask: 0xffffffff,
		Conds: []forward.MarkCond{{Kind: forward.MarkDest, Ranges: []forward.MarkRange{{Low: 443, High: 9000}}}}}
	program := forward.MarkProgram{Rules: []forward.MarkRule{rule}, Prerouting: forward.MarkSpan{To: 1}}
	s.Marks = &forward.Marks{IPv4: program, IPv6: program}
	a4, a6 := tuple(0, "192.168.1.1:0", vip).Src, tuple(0, "[2001:db8:1::1]:0", vip6).Src
	b4, b6 := tuple(0, "172.16.0.1:0", vip).Src, tuple(0, "[2001:db8:2::1]:0", vip6).Src
	s.Own = [][2]packet.Addr{{a4, a6}, {b4, b6}, {a4, a6}}
	s.Local = []packet.Addr{tuple(0, vip, vip).Src, a4, b4, tuple(0, vip6, vip6).Src, a6, b6}
	slices.SortFunc(s.Local, func(x, y packet.Addr) int { return bytes.Compare(x[:], y[:]) })
}

// enter publishes a world. Servers of the other family than their service are always reached by GUE.
func (b *bench) enter(world int) {
	base, s := b.snap, *b.snap
	base.Gen++
	s.Gen = base.Gen
	s.Settings, s.Dests = forward.DefaultSettings(), slices.Clone(base.Dests)
	s.Kernel = forward.Hop{OK: true, Local: true, Port: 2, MTU: 1500, Dst: packet.MAC{2, 0, 0, 0, 9, 9}}
	for i := range s.Dests {
		d := &s.Dests[i]
		if key := s.Services[d.Service].Key; !key.ByMark() && d.Addr.Is4() != key.Addr.Is4() {
			d.Method, d.Tunnel, d.Hop.Own = forward.TUN, packet.Tunnel{Type: packet.GUE, Port: 6080}, own(&d.Addr)
			continue
		}
		worlds[world%len(worlds)](&s, d)
	}
	b.w.Publish(&s)
	b.step()
}

// transcripts returns an input for each case in the kernel's captures.
func transcripts(f testing.TB) (inputs [][]byte) {
	files, err := filepath.Glob("../bench/oracle/testdata/golden/*.jsonl.gz")
	if err != nil || len(files) == 0 {
		f.Fatal("no transcripts")
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			f.Fatal(err)
		}
		z, err := gzip.NewReader(file)
		if err != nil {
			f.Fatal(err)
		}
		lines := bufio.NewScanner(z)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var c struct {
				Rules []string
				Steps []struct{ In *struct{ If, Hex string } }
			}
			if json.Unmarshal(lines.Bytes(), &c) != nil {
				continue // of another kind
			}
			in := []byte{byte(len(inputs) % len(worlds))}
			if rules := strings.Join(c.Rules, " "); strings.Contains(rules, " -m") {
				in[0] = 1
			} else if strings.Contains(rules, " -i") {
				in[0] = 2
			}
			for _, s := range c.Steps {
				if s.In == nil {
					continue
				}
				frame, _ := hex.DecodeString(s.In.Hex)
				what := byte(0)
				if s.In.If == "s0" {
					what = fromServers
				}
				in = append(binary.BigEndian.AppendUint16(append(in, what), uint16(len(frame))), frame...)
			}
			if len(in) > 1 && len(in) < 16000 {
				inputs = append(inputs, in)
			}
		}
		file.Close()
	}
	return inputs
}

// corpus returns what fuzzing has found worth keeping: inputs, each behind four bytes of length, compressed.
func corpus(f *testing.F) (inputs [][]byte) {
	file, err := os.Open("testdata/pipeline.corpus.gz")
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		f.Fatal(err)
	}
	var n [4]byte
	for {
		if _, err := io.ReadFull(z, n[:]); err == io.EOF {
			return inputs
		} else if err != nil {
			f.Fatal(err)
		}
		in := make([]byte, binary.BigEndian.Uint32(n[:]))
		if _, err := io.ReadFull(z, in); err != nil {
			f.Fatal(err)
		}
		inputs = append(inputs, in)
	}
}

// FuzzPipeline throws frames at a worker with every kind of service, in worlds that change: no panic, every frame comes
// back to the lane, and what leaves is well formed.
func FuzzPipeline(f *testing.F) {
	for _, in := range append(transcripts(f), corpus(f)...) {
		f.Add(in)
	}
	f.Fuzz(playInput)
}

// record is one of an input: what is done, and a frame.
type record struct {
	what  byte
	frame []byte
}

// records reads an input without its world.
func records(in []byte) (all []record) {
	for len(in) >= 3 {
		n := min(int(binary.BigEndian.Uint16(in[1:3])), len(in)-3, forwardtest.BufferLen-forwardtest.Headroom)
		all = append(all, record{in[0], in[3 : 3+n]})
		in = in[3+n:]
	}
	return all
}

func playInput(t *testing.T, in []byte) {
	if len(in) > 0 {
		playRecords(t, int(in[0]), records(in[1:]))
	}
}

func playRecords(t *testing.T, world int, all []record) {
	b := newWorld(t)
	b.enter(world)
	for _, r := range all {
		if r.what&anotherWorld != 0 {
			world++
			b.enter(world)
		}
		if r.what&mend != 0 {
			r.frame = mended(r.frame)
		}
		port := int(r.what & fromServers)
		if r.what&stack != 0 {
			port = 2
		}
		b.lane.Inject(port, r.frame)
		b.now = b.now.Add(waits[r.what/later&3])
		if r.what&hold == 0 {
			b.breathe()
		}
		b.explain(r.frame)
	}
	b.conns()
	for range 4 {
		b.breathe()
		b.now = b.now.Add(time.Minute)
	}
}

// FuzzEdits plays a case of the transcripts with edits, of five bytes each: what is edited, which frame, where in it or how
// much, and the new value. So a fuzzer that knows nothing of packets changes one thing about a conversation that works.
func FuzzEdits(f *testing.F) {
	inputs := transcripts(f)
	for i := range 64 {
		f.Add(uint16(i*len(inputs)/64), uint8(i), []byte{0, 0, 0, 22, 1, byte(i), byte(i), 0, 15, 7, 4, 1, 2, 48, 0})
	}
	f.Fuzz(func(t *testing.T, which uint16, world uint8, edits []byte) {
		in := inputs[int(which)%len(inputs)]
		all := records(in[1:])
		for i := range all {
			all[i].what |= mend
			all[i].frame = bytes.Clone(all[i].frame)
		}
		for ; len(edits) >= 5 && len(all) < 64; edits = edits[5:] {
			all = edited(all, edits[0], int(edits[1]), int(binary.BigEndian.Uint16(edits[2:4])), edits[4])
		}
		playRecords(t, int(in[0])+int(world&7), all)
	})
}

// edited changes one thing.
func edited(all []record, what byte, which, where int, value byte) []record {
	i := which % len(all)
	r := &all[i]
	at := where % max(len(r.frame), 1)
	switch what % 8 {
	case 0:
		r.what = value | mend
	case 1, 2:
		if len(r.frame) > 0 {
			r.frame[at] = value
		}
	case 3:
		r.frame = r.frame[:at]
	case 4: // again, later
		all = append(all, record{value | mend, bytes.Clone(r.frame)})
	case 5:
		k := int(value) % len(all)
		all[i], all[k] = all[k], all[i]
	case 6:
		return slices.Insert(all, i, fragmented(r.frame, where, value)...)
	case 7:
		r.frame = slices.Insert(r.frame, at, bytes.Repeat([]byte{value}, int(value)&^3)...)
	}
	return all
}

// fragmented cuts a frame into pieces, if it can be cut.
func fragmented(frame []byte, size int, what byte) (out []record) {
	var m packet.Meta
	if packet.Parse(frame, &m) != packet.NoDrop || m.Flags&packet.Fragment != 0 {
		return nil
	}
	var c packet.Cut
	if !c.Start(frame[:m.End], int(m.L3), &packet.Plan{MTU: size % 1500, ID: 5}) {
		return nil
	}
	for range 20 {
		f := packet.MakeFrame(make([]byte, 2048), 0, 0, 0, 0)
		if !c.Next(&f) {
			break
		}
		out = append(out, record{what | mend, f.Bytes()})
	}
	return out
}

// explain asks what would become of a frame.
func (b *bench) explain(frame []byte) {
	buf := make([]byte, forwardtest.BufferLen)
	q := &forward.Question{Frame: packet.MakeFrame(buf, forwardtest.Headroom, copy(buf[forwardtest.Headroom:], frame), 0, 0)}
	done := make(chan struct{}, 1)
	b.w.Post(forward.Command{Explain: q, Done: done})
	b.breathe()
	<-done
}

// breathe takes a breath and looks at what left.
func (b *bench) breathe() {
	b.step()
	var m packet.Meta
	for port := range 3 {
		for _, o := range b.lane.Sent(port) {
			if why := packet.Parse(o, &m); why != packet.NoDrop {
				b.t.Errorf("%v: left by port %d: % x", why, port, o)
			}
		}
		b.lane.Dropped(port)
	}
}
