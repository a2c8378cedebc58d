package vrrp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// chaos is a course of faults that numbers decide, and after it a healthy network.
type chaos struct {
	s     *sim
	r     *rand.Rand
	plans []Plan
	cuts  map[string]bool // "from>to link"
	names []string        // instances
	end   time.Duration
	say   []string
}

// newChaos makes nodes whose configurations fit together, with 1 or 2 instances each, which may be a group.
func newChaos(t testing.TB, r *rand.Rand) *chaos {
	c := &chaos{s: newSim(t, r.Uint64()), r: r, cuts: map[string]bool{}}
	c.s.cut = func(from, to *node, link string) bool { return c.cuts[from.name+">"+to.name+" "+link] }
	c.s.jitter = time.Duration(r.IntN(3000)) * time.Microsecond
	base := simple(100).Instances[0]
	switch r.IntN(6) {
	case 0:
		base.Version, base.Interval = 3, 10*time.Millisecond*time.Duration(1+r.IntN(100))
	case 1:
		base.Auth = AuthPass
		copy(base.Password[:], "word")
	case 2:
		base.Auth = AuthAH
		copy(base.Password[:], "word")
	case 3:
		base.Version, base.IPv6, base.Group, base.Addresses = 3, true, Group6(), []Address{{Prefix: mustPrefix("fe80::100/64")}}
	}
	if base.Interval < 50*time.Millisecond {
		c.s.jitter = min(c.s.jitter, time.Millisecond)
	}
	if r.IntN(4) == 0 {
		base.Second = []Path{{Link: "eth1", IPv6: base.IPv6, AH: base.Auth == AuthAH, Group: base.Group}}
	}
	grouped := r.IntN(3) == 0
	for n := range 2 + r.IntN(3) {
		one := base
		one.Priority = uint8(1 + r.IntN(254))
		if r.IntN(3) == 0 {
			one.Priority = 100
		}
		one.NoPreempt = r.IntN(3) == 0
		if r.IntN(4) == 0 && !one.NoPreempt {
			one.PreemptDelay = time.Duration(r.IntN(5)) * base.Interval
		}
		if n == 0 && r.IntN(6) == 0 {
			one.Priority, one.NoPreempt, one.PreemptDelay = PriorityOwner, false, 0
		}
		one.Track = []Track{{Kind: TrackScript, Name: "s", Weight: []int{0, 30, -30}[r.IntN(3)]}}
		p := Plan{Instances: []Config{one}}
		if grouped {
			two := one
			two.Name, two.VRID, two.Interface, two.Second = "W", 52, "eth1", nil
			two.Addresses = []Address{{Prefix: mustPrefix("10.0.1.100/24")}}
			if two.IPv6 {
				two.Addresses = []Address{{Prefix: mustPrefix("fe80::101/64")}}
			}
			p.Instances[0].Second = nil
			p.Instances = append(p.Instances, two)
			p.Groups = []GroupConfig{{Name: "G", Members: []string{"V", "W"}}}
		}
		c.plans = append(c.plans, p)
		c.s.add(fmt.Sprintf("n%d", n), byte(1+n), "eth0", "eth1")
	}
	for _, i := range c.plans[0].Instances {
		c.names = append(c.names, i.Name)
	}
	return c
}

// faults schedules what goes wrong, until all is well again at c.end.
func (c *chaos) faults() {
	interval := c.plans[0].Instances[0].Interval
	at := time.Second
	for i, n := range c.s.nodes {
		c.s.at(at+time.Duration(c.r.Int64N(int64(3*interval))), func() { c.boot(i, n) })
	}
	for range 5 + c.r.IntN(25) {
		at += time.Duration(c.r.Int64N(int64(4 * interval)))
		c.s.at(at, c.fault())
	}
	c.end = at + interval
	c.s.at(c.end, c.heal)
}

func (c *chaos) boot(i int, n *node) {
	n.boot(c.plans[i])
	n.track(TrackScript, "s", TrackState{Known: true, Up: true})
}

// fault is one thing that goes wrong, or right.
func (c *chaos) fault() func() {
	i, j := c.r.IntN(len(c.s.nodes)), c.r.IntN(len(c.s.nodes))
	n, m := c.s.nodes[i], c.s.nodes[j]
	link, flip, loss := fmt.Sprintf("eth%d", c.r.IntN(2)), c.r.IntN(2) == 0, c.r.Float64()*0.4
	note := func(f string, a ...any) {
		c.say = append(c.say, fmt.Sprintf("%.3f ", time.Duration(c.s.clock.Now()).Seconds())+fmt.Sprintf(f, a...))
	}
	switch c.r.IntN(8) {
	case 0, 1:
		return func() { note("cut %s>%s %s %v", n.name, m.name, link, flip); c.cuts[n.name+">"+m.name+" "+link] = flip }
	case 2:
		return func() { note("link %s %s %v", n.name, link, flip); n.setLink(link, flip) }
	case 3:
		return func() {
			note("script %s %v", n.name, flip)
			if n.alive && n.ends == 0 {
				n.track(TrackScript, "s", TrackState{Known: true, Up: flip})
			}
		}
	case 4:
		return func() { note("freeze %s %v", n.name, flip); n.frozen = flip }
	case 5:
		return func() {
			note("end %s %v", n.name, flip)
			switch {
			case !n.alive:
				c.boot(i, n)
			case flip:
				n.kill()
			case n.ends == 0:
				n.stop()
			}
		}
	case 6:
		return func() { note("loss %.2f", loss); c.s.loss = loss }
	default:
		return func() {
			note("reload %s", n.name)
			if n.alive && n.ends == 0 {
				p := c.plans[i]
				p.Instances = slices.Clone(p.Instances)
				priority := uint8(1 + c.r.IntN(254)) // of all: a group whose members disagree on who is first has no end
				for k := range p.Instances {
					p.Instances[k].Priority = priority
				}
				c.plans[i] = p
				if err := n.r.Apply(p); err != nil {
					c.s.t.Error(err)
				}
				n.r.turn()
			}
		}
	}
}

// heal makes everything work.
func (c *chaos) heal() {
	c.say = append(c.say, fmt.Sprintf("%.3f healed", time.Duration(c.s.clock.Now()).Seconds()))
	clear(c.cuts)
	c.s.loss = 0
	for i, n := range c.s.nodes {
		n.frozen = false
		if n.ends != 0 {
			n.r.finish(states{})
			n.alive = false
		}
		if !n.alive {
			c.boot(i, n)
		}
		n.track(TrackScript, "s", TrackState{Known: true, Up: true})
		n.setLink("eth0", true)
		n.setLink("eth1", true)
	}
}

// check looks for exactly one master of each virtual router, who alone has the address, and for groups that are whole.
func (c *chaos) check() error {
	for k, name := range c.names {
		masters := c.s.masters(name)
		if len(masters) != 1 {
			return fmt.Errorf("masters of %s: %v, want one", name, masters)
		}
		if k > 0 && masters[0] != c.s.masters(c.names[0])[0] {
			return fmt.Errorf("master of %s is %v, of %s %v: they are a group", name, masters, c.names[0], c.s.masters(c.names[0]))
		}
		if err := c.best(name, masters[0]); err != nil {
			return err
		}
		vip := c.plans[0].Instances[k].Addresses[0].Prefix.String()
		for _, n := range c.s.nodes {
			if has := slices.Contains(n.has(), vip); has != (n.name == masters[0]) {
				return fmt.Errorf("%s has %s: %v, and master is %v", n.name, vip, has, masters)
			}
		}
	}
	return nil
}

// best checks that the master is one of the highest priority, unless somebody does not preempt.
func (c *chaos) best(name, master string) error {
	var top, its uint8
	for i, n := range c.s.nodes {
		if c.plans[i].Instances[0].NoPreempt {
			return nil
		}
		p := n.r.m.instance(name).priority
		if top = max(top, p); n.name == master {
			its = p
		}
	}
	if its != top {
		return fmt.Errorf("the master of %s, %s, has priority %d, another one %d", name, master, its, top)
	}
	return nil
}

// run plays it and checks, first as soon as it must be well, and then that it stays so.
func (c *chaos) run(t testing.TB) {
	c.faults()
	first := c.plans[0].Instances[0]
	// Old masters that were killed leave their addresses behind for their lifetime; the rest are timers.
	settle := 12*first.Interval + 4*time.Second
	for i := range c.plans {
		settle = max(settle, 12*first.Interval+c.plans[i].Instances[0].PreemptDelay+4*time.Second)
	}
	for k := range 5 {
		c.s.runTo(c.end + settle + time.Duration(k)*first.Interval*7/4)
		if err := c.check(); err != nil {
			var b strings.Builder
			for i, n := range c.s.nodes {
				fmt.Fprintf(&b, "%s priority %d nopreempt %v delay %v:\n  %s\n", n.name, c.plans[i].Instances[0].Priority,
					c.plans[i].Instances[0].NoPreempt, c.plans[i].Instances[0].PreemptDelay, strings.Join(n.lines[max(0, len(n.lines)-30):], "\n  "))
			}
			t.Fatalf("%v after %v, %v each\n%s\n%s", err, c.s.clock.Now(), first.Interval, strings.Join(c.say, "\n"), b.String())
		}
	}
}

// TestConvergence: whatever happened, healthy nodes on a healthy network converge to one master.
func TestConvergence(t *testing.T) {
	for seed := range 300 {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			newChaos(t, rand.New(rand.NewPCG(uint64(seed), 7))).run(t)
		})
	}
}

// FuzzConvergence lets the fuzzer choose the course.
func FuzzConvergence(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) { newChaos(t, rand.New(rand.NewPCG(a, b))).run(t) })
}
