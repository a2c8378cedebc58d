package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"dirsw/clock"
	"dirsw/config"
	"dirsw/config/ipvsadm"
	"dirsw/conntrack"
	"dirsw/director"
	"dirsw/forward"
	"dirsw/forward/forwardtest"
	"dirsw/packet"
	"dirsw/sched"
)

// The time a packet takes in a transcript is not written down. It is counted as little, and late is how much more it may
// have been: the far ends waited up to 20 ms for an answer, and a sleep was up to 0.35 s too long.
const (
	perPacket     = time.Millisecond
	latePerPacket = 25 * time.Millisecond
	latePackets   = time.Second // of all packets: a timer that counts in them begins anew with each of its connection
	latePerSleep  = 350 * time.Millisecond
	lateAtFirst   = 500 * time.Millisecond  // tables were read for many connections at once
	neighbourWait = 4500 * time.Millisecond // while the director asks for a link layer address
)

// machine is the director of a transcript: a table that ipvsadm changes, and a worker that follows it.
type machine struct {
	top    *topology
	names  ipvsadm.Resolver
	model  config.Model
	snap   *forward.Snapshot
	worker *forward.Worker
	lane   *forwardtest.Lane
	faults faults
	now    clock.Mono
	late   time.Duration   // how much later it may have been
	behind time.Duration   // the part of late that packets are to blame for
	last   forward.Verdict // of the last frame

	quick   *forwardtest.Accelerator // nil without
	repeats int                      // see repeat
	traffic *traffic
}

// newMachine makes the director in the network t.
func (p *player) newMachine(t *topology) (*machine, error) {
	m := &machine{top: t, now: clock.Mono(time.Hour), late: lateAtFirst, snap: &forward.Snapshot{}, repeats: repeats, traffic: p.traffic,
		names: ipvsadm.Resolver{Host: func(string) (netip.Addr, bool) { return netip.Addr{}, false }}} // there is no DNS
	o := forwardtest.Options{Ports: t.ports[:]}
	if p.accelerated {
		o.Accelerate = func() clock.Mono { return m.now }
	}
	m.lane = forwardtest.New(&m.faults, o)
	m.quick, _ = m.lane.Accelerator().(*forwardtest.Accelerator)
	var err error
	m.worker, err = forward.NewWorker(0, m.lane, forward.Options{Table: conntrack.Options{MaxConns: 1 << 16},
		Accelerate: forward.Accelerate{Every: 1, Within: 1},
		Observer:   func(_ *packet.Frame, _ *packet.Meta, v forward.Verdict) { m.last = v }})
	return m, err
}

// close ends the worker and returns what the lane has to complain of: frames lost or given back twice.
func (m *machine) close() error {
	m.faults.end()
	if m.quick != nil {
		m.traffic.accelerated += m.quick.Sent()
	}
	return errors.Join(m.worker.Close(), m.faults.err())
}

// withMachine plays a case on a machine of its own.
func (p *player) withMachine(build func() (*topology, error), play func(*machine) error) error {
	t, err := build()
	if err != nil {
		return err
	}
	m, err := p.newMachine(t)
	if err != nil {
		return err
	}
	err = play(m)
	if lane := m.close(); err == nil {
		err = lane
	}
	return err
}

// faults is the testing.TB of the lane.
type faults struct {
	list []string
	last []func()
}

func (f *faults) Helper()                      {}
func (f *faults) Errorf(s string, args ...any) { f.list = append(f.list, fmt.Sprintf(s, args...)) }
func (f *faults) Cleanup(do func())            { f.last = append(f.last, do) }

func (f *faults) end() {
	for _, do := range f.last {
		do()
	}
}

func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return errors.New(strings.Join(f.list, "; "))
}

// parse reads a command line as ipvsadm does.
func (m *machine) parse(words []string) (ipvsadm.Command, error) {
	c, err := m.names.ParseArgs(words)
	c.Schedulers = sched.Names()
	return c, err
}

// apply carries out a command. Where the director refuses the table that comes of it, the table stays as it was.
func (m *machine) apply(c ipvsadm.Command) error {
	next := m.model.Clone()
	if err := c.Apply(next); err != nil {
		return err
	}
	if err := m.publish(next); err != nil {
		return err
	}
	m.model = *next
	return nil
}

// publish has the worker follow a table.
func (m *machine) publish(model *config.Model) error {
	hops := map[netip.Addr]forward.Hop{}
	for i := range model.Services {
		for k := range model.Services[i].Reals {
			a := model.Services[i].Reals[k].Addr
			hops[a] = m.top.hop(a)
		}
	}
	snap, err := director.Compile(&director.Inputs{Model: model, Before: &m.model, Hops: hops, Kernel: m.top.kernel(),
		Own: m.top.own(), Local: m.top.addresses(), Nets: m.top.nets(), Names: m.top.names(), Workers: 1}, m.snap)
	if err != nil {
		return refusal(err)
	}
	m.snap = snap
	m.worker.Publish(snap)
	return m.step()
}

// refusal tells the complaints of the director, each once.
func refusal(err error) error {
	var list config.Errors
	if !errors.As(err, &list) {
		return err
	}
	u := &unserved{complaints: len(list)}
	for _, e := range list {
		if !strings.Contains(u.why, e.Message) {
			u.why += "; " + e.Message
		}
	}
	u.why = strings.TrimPrefix(u.why, "; ")
	return u
}

// command carries out a line of ipvsadm, with or without that word.
func (m *machine) command(line string) error {
	w := strings.Fields(line)
	if len(w) > 0 && w[0] == "ipvsadm" {
		w = w[1:]
	}
	c, err := m.parse(w)
	if err != nil {
		return err
	}
	return m.apply(c)
}

// rules sets up the table of a case. Complaints of the kernel are returned as ipvsadm -R prints them.
func (m *machine) rules(lines []string) (stderr string, err error) {
	for _, l := range lines {
		err := m.command(l)
		var kernels *ipvsadm.Error
		switch {
		case errors.As(err, &kernels):
			stderr += kernels.Message + "\n"
		case err != nil:
			return stderr, err
		}
	}
	return stderr, nil
}

// step is one breath.
func (m *machine) step() error {
	if _, err := m.worker.Step(m.now); err != nil {
		return err
	}
	if n := m.lane.Outstanding(); n != 0 {
		return fmt.Errorf("%d frames in hand after a breath", n)
	}
	return nil
}

// breath is how much time passes between two steps of an idle worker.
const breath = 20 * time.Millisecond

// wait lets time pass.
func (m *machine) wait(d time.Duration) error {
	for end := m.now.Add(d); m.now < end; {
		m.now = min(m.now.Add(breath), end)
		if err := m.step(); err != nil {
			return err
		}
	}
	return nil
}

// sleep is a wait of the transcript.
func (m *machine) sleep(seconds float64) error {
	m.late += latePerSleep
	return m.wait(time.Duration(seconds * float64(time.Second)))
}

// out is a frame that left.
type out struct {
	port  int
	frame []byte
}

// send lets a frame in by a port and returns what left. Taken is false for a frame that the packet filter leaves to the
// kernel.
func (m *machine) send(port int, frame []byte) (sent []out, taken bool, err error) {
	m.now = m.now.Add(perPacket)
	if m.behind < latePackets {
		m.behind += latePerPacket
		m.late += latePerPacket
	}
	var meta packet.Meta
	why := packet.Parse(frame, &meta)
	m.last = forward.Verdict{Service: forward.NoService, Drop: why}
	if why == packet.NoDrop && !m.snap.Takes(frame, &meta) {
		return nil, false, m.step()
	}
	sent, err = m.inject(port, frame)
	if err == nil {
		err = m.repeat(port, frame, &meta, sent)
	}
	if err != nil {
		return nil, true, err
	}
	if m.last.Why == forward.WhyKernel {
		return nil, false, nil
	}
	last := m.last
	sent, err = m.deliver(sent)
	m.last = last
	return sent, true, err
}

// inject lets a frame in and returns what left at once.
func (m *machine) inject(port int, frame []byte) ([]out, error) {
	m.traffic.packets++
	var before uint64
	if m.quick != nil {
		before = m.quick.Sent()
	}
	m.lane.Inject(port, frame)
	if err := m.step(); err != nil {
		return nil, err
	}
	sent := m.left()
	if m.quick != nil && m.quick.Sent() != before {
		return sent, m.explain(port, frame)
	}
	return sent, nil
}

// explain asks the worker for its verdict on a frame that it has not seen.
func (m *machine) explain(port int, frame []byte) error {
	buf := make([]byte, forwardtest.BufferLen)
	done := make(chan struct{}, 1)
	q := &forward.Question{Frame: packet.MakeFrame(buf, forwardtest.Headroom, copy(buf[forwardtest.Headroom:], frame), uint8(port), 0)}
	if !m.worker.Post(forward.Command{Explain: q, Done: done}) {
		return errors.New("mailbox full")
	}
	if err := m.step(); err != nil {
		return err
	}
	<-done
	m.last = q.Verdict
	return nil
}

// left returns what left since it was asked last.
func (m *machine) left() (sent []out) {
	for port := range m.top.ports {
		for _, f := range m.lane.Sent(port) {
			sent = append(sent, out{port, f})
		}
		m.lane.Dropped(port)
	}
	return sent
}

// conns lists the connection table.
func (m *machine) conns() ([]forward.ConnInfo, error) {
	done := make(chan struct{}, 1)
	l := forward.Listing{Conns: make([]forward.ConnInfo, 0, 1024)}
	var all []forward.ConnInfo
	for !l.End {
		if !m.worker.Post(forward.Command{List: &l, Done: done}) {
			return nil, errors.New("mailbox full")
		}
		if err := m.step(); err != nil {
			return nil, err
		}
		<-done
		all = append(all, l.Conns...)
		l.From = l.Next
	}
	return all, nil
}
