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
	"dirsw/director"
	"dirsw/forward"
	"dirsw/packet"
)

// cmdReplay plays a capture through the pipeline of a configuration.
func cmdReplay(args []string, stdout, stderr io.Writer) int {
	fs, parse := flags("replay", "-f FILE in.pcap [-w out.pcap] [-mac MAC] [-q]", stderr)
	file := fs.String("f", defaultConfig, "configuration `file`")
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
	m, _, err := load(*file)
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
	lane    *replay.Lane
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
	way := newWays(m)
	for a, h := range way.hops { // a capture has one port
		h.Port = 0
		way.hops[a] = h
	}
	// A host that is not the director has another address than the capture's frames go to: the port takes that of the
	// capture as soon as it is known, but the frames that leave carry this host's.
	p.lane, err = replay.Open(bufio.NewReader(r), w, replay.Options{MAC: way.ports[0].MAC, MTU: way.ports[0].MTU,
		Unfinished: true, Wanted: p.wanted})
	if err != nil {
		return err
	}
	worker, snap, err := offlineWorker(m, way, p.lane, p.observe)
	if err != nil {
		return err
	}
	defer worker.Close()
	p.snap = snap
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

// wanted is the packet filter: what belongs to a service and goes to the director's own address.
func (p *player) wanted(frame []byte, m *packet.Meta) bool {
	if !p.snap.Takes(frame, m) {
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
	switch v.Why {
	case forward.WhyScheduler:
		what += " " + p.snap.Services[v.Service].Kind.Name
	case forward.WhyTemplate, forward.WhyConnection:
		what += fmt.Sprintf(", %v left", v.Left.Round(time.Second))
	}
	to := ""
	if v.Why != forward.WhyNone {
		d := &p.snap.Dests[v.Dest]
		to = " -> " + netip.AddrPortFrom(d.Addr.Netip(), d.Port).String()
	}
	if v.Drop == packet.NoDrop {
		if p.servers[to] == 0 {
			p.order = append(p.order, to)
		}
		p.servers[to]++
	} else {
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

func (p *player) summary(c *forward.Counters, way *ways) {
	fmt.Fprintf(p.out, "%d packets: %d to the director, %d forwarded, %d dropped, %d answered; %d left to the kernel",
		p.lane.Number(), c.Received, c.Forwarded, c.Received-c.Forwarded, c.Answered, p.lane.LeftToKernel()-p.others)
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
