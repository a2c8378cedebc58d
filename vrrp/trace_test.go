package vrrp

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"dirsw/clock"
)

var update = flag.Bool("update", false, "rewrite the outputs of testdata/traces")

// TestTraces runs the files of testdata/traces: instances, then what happens to them, then after ---- the effects, each
// with its time. Commands:
//
//	instance NAME KEY=VALUE…     group NAME MEMBER…      garp EVERY        delay D
//	link NAME up|down ADDR…      apply                   farewell, leaving, stop
//	advert NAME PRIORITY FROM KEY=VALUE…                 track KIND NAME up|down|unknown|NUMBER
//	at TIME (timers run until then)                      states
func TestTraces(t *testing.T) {
	files, _ := filepath.Glob("testdata/traces/*.txt")
	if len(files) < 10 {
		t.Fatalf("%d traces, want at least 10", len(files))
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(raw), "----\n")
			got := runTrace(t, input)
			if *update {
				if err := os.WriteFile(f, []byte(input+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// tracer runs one trace. Time 0 of the trace is 1 s on the machine's clock.
type tracer struct {
	t    *testing.T
	m    *Machine
	plan Plan
	now  clock.Mono
	out  strings.Builder
	rx   sender
}

const traceStart = clock.Mono(time.Second)

func runTrace(t *testing.T, input string) string {
	tr := &tracer{t: t, m: NewMachine(), now: traceStart}
	for n, line := range strings.Split(input, "\n") {
		if i := strings.IndexByte(line, '#'); i >= 0 {
			line = line[:i]
		}
		if f := strings.Fields(line); len(f) > 0 {
			if err := tr.command(f); err != nil {
				t.Fatalf("line %d: %v", n+1, err)
			}
		}
	}
	return tr.out.String()
}

func (tr *tracer) command(f []string) error {
	switch f[0] {
	case "instance":
		return tr.instance(f[1], f[2:])
	case "group":
		tr.plan.Groups = append(tr.plan.Groups, GroupConfig{Name: f[1], Members: f[2:]})
	case "groupweights":
		tr.plan.Groups[len(tr.plan.Groups)-1].TrackingWeight = true
	case "grouptrack":
		var c Config
		if err := setTrack(&c, f[1]); err != nil {
			return err
		}
		g := &tr.plan.Groups[len(tr.plan.Groups)-1]
		g.Track = append(g.Track, c.Track...)
	case "garp":
		tr.plan.Pacing = append(tr.plan.Pacing, Pacing{ARP: duration(f[1])})
	case "delay":
		tr.plan.StartupDelay = duration(f[1])
	case "clear":
		tr.plan.Instances, tr.plan.Groups = nil, nil
	case "link":
		l := LinkState{Name: f[1], Up: f[2] == "up"}
		for _, a := range f[3:] {
			l.Addrs = append(l.Addrs, addr(a))
		}
		tr.print(tr.m.Link(tr.now, l))
	case "apply":
		p := tr.plan
		p.Instances, p.Groups = append([]Config(nil), p.Instances...), append([]GroupConfig(nil), p.Groups...)
		if err := p.Validate(); err != nil {
			return err
		}
		tr.print(tr.m.Apply(tr.now, p))
	case "advert":
		return tr.advert(f[1], f[2], f[3], f[4:])
	case "track":
		return tr.track(f[1], f[2], f[3])
	case "at":
		tr.until(traceStart.Add(duration(f[1])))
	case "sleep": // time passes, and no timer is run
		tr.now = tr.now.Add(duration(f[1]))
	case "stop":
		tr.print(tr.m.Stop(tr.now))
	case "farewell":
		effects, patience := tr.m.Farewell(tr.now)
		tr.print(effects)
		fmt.Fprintf(&tr.out, "%.3f patience %v\n", tr.now.Sub(traceStart).Seconds(), patience)
	case "leaving":
		fmt.Fprintf(&tr.out, "%.3f leaving %v\n", tr.now.Sub(traceStart).Seconds(), tr.m.Leaving())
	case "states":
		tr.states()
	default:
		return fmt.Errorf("no command %q", f[0])
	}
	return nil
}

func duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		panic(err)
	}
	return d
}

// instance adds one, or changes the one of that name.
func (tr *tracer) instance(name string, settings []string) error {
	c := Defaults()
	c.Name, c.VRID, c.Interface = name, uint8(50+len(tr.plan.Instances)), "eth0"
	c.GARP = GARP{Repeat: 1, RefreshRepeat: 1}
	at := len(tr.plan.Instances)
	for i := range tr.plan.Instances {
		if tr.plan.Instances[i].Name == name {
			at, c = i, tr.plan.Instances[i]
			c.Addresses = append([]Address(nil), c.Addresses...)
		}
	}
	for _, s := range settings {
		k, v, _ := strings.Cut(s, "=")
		if err := set(&c, k, v); err != nil {
			return err
		}
	}
	if at == len(tr.plan.Instances) {
		tr.plan.Instances = append(tr.plan.Instances, c)
	} else {
		tr.plan.Instances[at] = c
	}
	return nil
}

// set makes one setting, by a short form of keepalived's word.
func set(c *Config, k, v string) error {
	n, _ := strconv.Atoi(v)
	switch k {
	case "priority":
		c.Priority = uint8(n)
	case "vrid":
		c.VRID = uint8(n)
	case "version":
		c.Version = uint8(n)
	case "link":
		c.Interface = v
	case "vip":
		c.Addresses = append(c.Addresses, Address{Prefix: netip.MustParsePrefix(v)})
	case "vip_on": // link,prefix, and no_track
		f := strings.Split(v, ",")
		c.Addresses = append(c.Addresses, Address{Prefix: netip.MustParsePrefix(f[1]), Link: f[0], NoTrack: len(f) > 2})
	case "novips":
		c.Addresses = nil
	case "evip":
		c.Excluded = append(c.Excluded, Address{Prefix: netip.MustParsePrefix(v)})
	case "route":
		c.Routes = append(c.Routes, Extra{Text: v})
	case "rule":
		c.Rules = append(c.Rules, Extra{Rule: true, Text: v})
	case "advert":
		c.Interval = duration(v)
	case "down":
		c.DownTimerAdverts = n
	case "nopreempt":
		c.NoPreempt = true
	case "preempt_delay":
		c.PreemptDelay = duration(v)
	case "lower_prio_no_advert":
		c.LowerPrioNoAdvert = true
	case "higher_prio_send_advert":
		c.HigherPrioAdvert = true
	case "skip_check_adv_addr":
		c.SkipCheckAdvAddr = true
	case "owner_ignore":
		c.OwnerIgnore = true
	case "dont_track_primary":
		c.DontTrackPrimary = true
	case "track_src_ip":
		c.TrackSource = true
	case "src":
		c.Source = addr(v)
	case "peer":
		c.Group, c.Peers, c.CheckPeer = netip.Addr{}, append(c.Peers, Peer{Addr: addr(v)}), true
	case "second":
		c.Second = append(c.Second, Path{Link: v, Group: Group4()})
	case "timer_expired_backup":
		c.TimerExpired = true
	case "debounce":
		c.Debounce = duration(v)
	case "debounce_up":
		c.DebounceUp = duration(v)
	case "extra_if": // every, and all
		f := strings.Split(v, ",")
		c.GARP.ExtraIf, c.GARP.ExtraAll = duration(f[0]), len(f) > 1
	case "ipv6":
		c.IPv6, c.Version, c.Group = true, 3, Group6()
	case "pass":
		c.Auth = AuthPass
		copy(c.Password[:], v)
	case "notify_priority_changes":
		c.PriorityNotices = true
	case "garp":
		return setGARP(&c.GARP, v)
	case "track":
		return setTrack(c, v)
	default:
		return fmt.Errorf("no setting %q", k)
	}
	return nil
}

// setGARP reads repeat,delay,refresh,refresh repeat,lower repeat,lower delay.
func setGARP(g *GARP, v string) error {
	f := strings.Split(v, ",")
	if len(f) != 6 {
		return fmt.Errorf("garp %q", v)
	}
	num := func(s string) int { n, _ := strconv.Atoi(s); return n }
	*g = GARP{Repeat: num(f[0]), Delay: duration(f[1]), Refresh: duration(f[2]), RefreshRepeat: num(f[3]), LowerRepeat: num(f[4]), LowerDelay: duration(f[5])}
	return nil
}

func setTrack(c *Config, v string) error {
	f := strings.Split(v, ",") // kind,name,weight,reverse; or kind,name,takeover
	t := Track{Kind: kindOf(f[0]), Name: f[1]}
	if len(f) > 2 {
		t.Weight, _ = strconv.Atoi(f[2])
		t.Takeover = f[2] == "takeover"
	}
	t.Reverse = len(f) > 3
	c.Track = append(c.Track, t)
	return nil
}

func kindOf(s string) TrackKind {
	for k := TrackInterface; k < numTrackKinds; k++ {
		if k.String() == s {
			return k
		}
	}
	panic("no kind " + s)
}

func (tr *tracer) track(kind, name, what string) error {
	s := TrackState{Known: what != "unknown", Up: what == "up"}
	s.Value, _ = strconv.Atoi(what)
	tr.print(tr.m.Track(tr.now, kindOf(kind), name, s))
	return nil
}

// advert gives an instance one, made from its own configuration with changes.
func (tr *tracer) advert(name, priority, from string, changes []string) error {
	i := tr.m.instance(name)
	if i == nil {
		return fmt.Errorf("no instance %s", name)
	}
	c, path, ttl := *i.cfg, 0, 255
	c.Addresses = append([]Address(nil), c.Addresses...)
	for _, s := range changes {
		k, v, _ := strings.Cut(s, "=")
		switch k {
		case "path":
			path, _ = strconv.Atoi(v)
		case "ttl":
			ttl, _ = strconv.Atoi(v)
		case "plain":
			c.Auth, c.Password = AuthNone, [8]byte{}
		default:
			if err := set(&c, k, v); err != nil {
				return err
			}
		}
	}
	n, _ := strconv.Atoi(priority)
	a := Advert{Version: c.Version, VRID: c.VRID, Priority: uint8(n), AuthType: c.Auth, Interval: c.Interval}
	if c.Auth == AuthPass {
		a.Auth = c.Password
	}
	for _, v := range c.Addresses {
		a.Addrs = append(a.Addrs, v.Prefix.Addr())
	}
	dst := i.paths[path].Group
	if !dst.IsValid() {
		dst = i.sources[path].Addr
	}
	raw := tr.rx.packet(&c, &a, addr(from), dst, ttl, false)
	if c.IPv6 {
		raw = header6(addr(from), dst, raw)
	}
	p := packetOf(raw)
	tr.print(i.Handle(tr.now, Event{Kind: PacketReceived, Packet: &p, Path: path}))
	return nil
}

// until runs timers up to and including a time.
func (tr *tracer) until(end clock.Mono) {
	for guard := 0; ; guard++ {
		next := tr.m.Next()
		if next > end || guard > 10000 {
			break
		}
		tr.now = max(tr.now, next)
		tr.print(tr.m.Timers(tr.now))
	}
	tr.now = max(tr.now, end)
}

func (tr *tracer) print(effects []Effect) {
	for _, e := range effects {
		fmt.Fprintf(&tr.out, "%.3f %v\n", time.Duration(tr.now.Sub(traceStart)).Seconds(), e)
	}
}

func (tr *tracer) states() {
	instances, groups := tr.m.State()
	for _, i := range instances {
		fmt.Fprintf(&tr.out, "%.3f state %s %v want %v priority %d", tr.now.Sub(traceStart).Seconds(), i.Config.Name, i.State, i.Want, i.Priority)
		for r, n := range i.Stats.Rejects {
			if n > 0 {
				fmt.Fprintf(&tr.out, " %v=%d", Reject(r), n)
			}
		}
		if i.SplitBrain {
			tr.out.WriteString(" split-brain")
		}
		if len(i.Faults) > 0 {
			fmt.Fprintf(&tr.out, " %q", i.Faults)
		}
		tr.out.WriteString("\n")
	}
	for _, g := range groups {
		fmt.Fprintf(&tr.out, "%.3f group %s %v\n", tr.now.Sub(traceStart).Seconds(), g.Config.Name, g.State)
	}
}
