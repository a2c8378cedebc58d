package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"dirsw/bench/replay"
	"dirsw/clock"
	"dirsw/config"
	"dirsw/conntrack"
	"dirsw/director"
	"dirsw/forward"
	"dirsw/packet"
)

// cmdReplay plays a capture through the pipeline of a configuration.
func cmdReplay(args []string, stdout, stderr io.Writer) int {
	fs, parse := flags("replay", "-f FILE in.pcap [-w out.pcap] [-mac MAC] [-q]", stderr)
	file := fs.String("f", defaultConfig, "configuration `file`")
	var id string
	defineID(fs, &id)
	out := fs.String("w", "", "write what would leave to this `file`")
	mac := fs.String("mac", "", "the director's own Ethernet `address` (default: where the first packet for a service goes)")
	quiet := fs.Bool("q", false, "totals only, not a line for each packet")
	if code := parse(args); code >= 0 {
		return code
	}
	in := fs.Arg(0)
	if fs.NArg() > 1 { // flags may stand behind the name as well
		if code := parse(fs.Args()[1:]); code >= 0 {
			return code
		}
	}
	if in == "" || fs.NArg() > 0 && fs.Arg(0) != in {
		fmt.Fprintln(stderr, "dirsw replay: name one capture: dirsw replay -f FILE in.pcap")
		return exitUsage
	}
	m, _, err := loadAs(*file, id)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitConfig
	}
	p := &player{out: stdout, quiet: *quiet, servers: map[string]int{}}
	if *mac != "" {
		if p.mac, err = parseMAC(*mac); err != nil {
			fail(stderr, "replay", err)
			return exitUsage
		}
	}
	if err := p.play(m, in, *out); err != nil {
		return fail(stderr, "replay", fmt.Errorf("%s: %w", in, err))
	}
	return exitOK
}

func parseMAC(s string) (m packet.MAC, err error) {
	n, err := fmt.Sscanf(s, "%02x:%02x:%02x:%02x:%02x:%02x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5])
	if err != nil || n != 6 {
		return m, fmt.Errorf("%q is not an Ethernet address; write 02:00:00:00:00:01", s)
	}
	return m, nil
}

// player plays one capture and says what happened.
type player struct {
	out     io.Writer
	quiet   bool
	mac     packet.MAC // the director's; zero until known
	snap    *forward.Snapshot
	filter  forward.Filter // of snap
	lane    *captureLane
	start   time.Time
	others  int            // frames for a service that went to another station
	servers map[string]int // frames by real server
	order   []string
}

func (p *player) play(m *config.Model, in, out string) error {
	r, err := os.Open(in)
	if err != nil {
		return err
	}
	defer r.Close()
	var w io.Writer
	if out != "" {
		f, err := os.Create(out)
		if err != nil {
			return err
		}
		defer f.Close()
		buffered := bufio.NewWriter(f)
		defer buffered.Flush()
		w = buffered
	}
	way := captureWays(m)
	// A host that is not the director has another address than the capture's frames go to: the port takes that of the
	// capture as soon as it is known, but the frames that leave carry this host's.
	capture, err := replay.Open(bufio.NewReader(r), w, replay.Options{Name: way.ports[0].Name, MAC: way.ports[0].MAC,
		MTU: way.ports[0].MTU, Unfinished: true, Wanted: p.wanted})
	if err != nil {
		return err
	}
	p.lane = &captureLane{Lane: capture, stack: way.ports[1]}
	worker, snap, err := offlineWorker(m, way, p.lane, p.observe)
	if err != nil {
		return err
	}
	defer worker.Close()
	p.snap, p.filter = snap, snap.Filter()
	var last clock.Mono
	for now, ok := p.lane.Next(); ok; now, ok = p.lane.Next() {
		last = now
		if p.start.IsZero() {
			p.start = p.lane.Time()
		}
		if _, err := worker.Step(now); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	if _, err := worker.Step(last); err != nil && !errors.Is(err, io.EOF) { // the counters are published with the end
		return err
	}
	var c forward.Counters
	worker.ReadCounters(&c)
	p.summary(&c, way)
	return p.lane.Err()
}

// captureWays are ways of a director whose capture has one port for all of its interfaces; the second is its own stack.
func captureWays(m *config.Model) *ways {
	way := newWays(m)
	way.ports = []forward.PortInfo{way.ports[0], way.ports[len(way.ports)-1]}
	if len(m.Instances) > 0 {
		way.ports[0].Name = m.Instances[0].Interface
	}
	way.kernel.Port = 1
	for a, h := range way.hops {
		if h.Port = 0; h.Local {
			h.Port = way.kernel.Port
		}
		way.hops[a] = h
	}
	return way
}

// captureLane is a capture and, as its second port, the director's own network stack, of which nothing is seen.
type captureLane struct {
	*replay.Lane
	stack forward.PortInfo
	aside packet.Batch
}

// Ports are the capture's and the stack's.
func (l *captureLane) Ports() []forward.PortInfo {
	return append(l.Lane.Ports()[:1:1], l.stack)
}

// Send writes what goes to the network, and forgets what goes to the stack.
func (l *captureLane) Send(b *packet.Batch) (int, error) {
	l.aside.N = 0
	kept := 0
	for i := range b.N {
		if b.Frames[i].Port != 0 {
			l.aside.Add(b.Frames[i])
			continue
		}
		b.Frames[kept] = b.Frames[i]
		kept++
	}
	b.N = kept
	n := l.aside.N
	l.Drop(&l.aside)
	sent, err := l.Lane.Send(b)
	return n + sent, err
}

// wanted is the packet filter: what belongs to a service and goes to the director's own address.
func (p *player) wanted(frame []byte, m *packet.Meta) bool {
	if !p.filter.Takes(frame, m) {
		return false
	}
	dst := packet.Ethernet(frame).Dst()
	if p.mac == (packet.MAC{}) {
		p.mac = dst
	}
	if dst != p.mac {
		p.others++
		return false
	}
	return true
}

func (p *player) observe(_ *packet.Frame, m *packet.Meta, v forward.Verdict) {
	what := v.Why.String()
	to := ""
	switch v.Why {
	case forward.WhyScheduler:
		what += " " + p.snap.Services[v.Service].Kind.Name
	case forward.WhyTemplate, forward.WhyConnection:
		what += fmt.Sprintf(", %v left", v.Left.Round(time.Second))
	case forward.WhyKernel:
		to = " -> own stack"
	}
	switch {
	case v.Why == forward.WhyNone || v.Why == forward.WhyFragment || v.Why == forward.WhyKernel:
	case v.Dir == conntrack.FromServer:
		to = " -> client"
	default:
		d := &p.snap.Dests[v.Dest]
		to = " -> " + netip.AddrPortFrom(d.Addr.Netip(), d.Port).String()
	}
	if v.Drop == packet.NoDrop && v.Why != forward.WhyFragment {
		if p.servers[to] == 0 {
			p.order = append(p.order, to)
		}
		p.servers[to]++
	} else if v.Drop != packet.NoDrop {
		dropped := fmt.Sprintf("dropped, %v: %s", v.Drop, director.DropText(v.Drop))
		if what += "; " + dropped; v.Why == forward.WhyNone {
			what = dropped
		}
	}
	if !p.quiet {
		fmt.Fprintf(p.out, "%d %.6f %s%s: %s\n", p.lane.Number(), p.lane.Time().Sub(p.start).Seconds(), director.FlowText(m),
			to, what)
	}
}

// dropped counts the frames that went nowhere; fragments that became part of a datagram are none of them.
func dropped(c *forward.Counters) (n uint64) {
	for _, d := range c.Drops {
		n += d
	}
	return n
}

func (p *player) summary(c *forward.Counters, way *ways) {
	fmt.Fprintf(p.out, "%d packets: %d to the director, %d forwarded, %d dropped, %d answered; %d left to the kernel",
		p.lane.Number(), c.Received, c.Forwarded-c.GivenBack, dropped(c), c.Answered, uint64(p.lane.LeftToKernel()-p.others)+c.GivenBack)
	if p.others > 0 {
		fmt.Fprintf(p.out, "; %d for a service but addressed to another station than %s", p.others, director.MACText(p.mac))
	}
	fmt.Fprintln(p.out)
	for _, s := range p.order {
		fmt.Fprintf(p.out, "  %d%s\n", p.servers[s], s)
	}
	for r, n := range c.Drops {
		if n > 0 {
			fmt.Fprintf(p.out, "  %d dropped, %v: %s\n", n, packet.DropReason(r), director.DropText(packet.DropReason(r)))
		}
	}
	fmt.Fprintf(p.out, "%d connections and %d templates remain\n", c.Connections, c.Templates)
	fmt.Fprint(p.out, way.remark)
}
