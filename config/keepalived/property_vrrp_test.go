package keepalived

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dirsw/config"
)

// vrrp fills in random instances and what stands around them, as settled as Parse leaves them.
func (g generator) vrrp(m *config.Model) {
	v := &m.VRRP
	for i := range g.IntN(3) {
		v.Scripts = append(v.Scripts, config.Script{Name: fmt.Sprintf("s%d", i), Command: g.command(), Interval: g.fraction() + time.Millisecond, Timeout: g.fraction() + time.Millisecond,
			Weight: g.IntN(507) - 253, Reverse: g.flip(), Rise: 1 + g.IntN(9), Fall: 1 + g.IntN(9), InitFail: g.flip()})
		f := config.TrackFile{Name: fmt.Sprintf("f%d", i), Path: g.maybeText(), Weight: g.IntN(509) - 254, Reverse: g.flip(), Init: config.FileInit(g.IntN(3))}
		if f.Init != config.FileInitNo {
			f.Value = g.IntN(99) - 50
		}
		v.Files = append(v.Files, f)
		v.Processes = append(v.Processes, g.process(i))
		v.BFDs = append(v.BFDs, g.bfd(i))
		v.Arbiters = append(v.Arbiters, config.Arbiter{Name: fmt.Sprintf("a%d", i), Addresses: []netip.Addr{g.addr(false), g.addr(true)},
			Quorum: 1 + g.IntN(2), Interval: g.seconds(9), Timeout: g.seconds(9), Rise: 1 + g.IntN(9), Fall: 1 + g.IntN(9),
			Weight: g.IntN(507) - 253, Reverse: g.flip()})
		v.Delays = append(v.Delays, config.InterfaceDelay{Interface: fmt.Sprintf("br%d", i), Down: g.fraction(), Up: g.fraction()})
		v.Pacing = append(v.Pacing, config.GARPGroup{ARP: g.fraction(), NA: g.fraction(), Interfaces: []string{fmt.Sprintf("sw%d", i), g.name()}})
		v.Static.Routes = append(v.Static.Routes, g.route())
		v.Static.Rules = append(v.Static.Rules, g.rule())
		a := g.virtualAddress(g.flip())
		a.Dev = "eth3"
		v.Static.Addresses = append(v.Static.Addresses, a)
	}
	for i := range g.IntN(3) {
		group := config.SyncGroup{Name: fmt.Sprintf("g%d", i), Weights: true, Notify: g.notify(), SMTPAlert: g.flip(), Tracks: g.tracks(false)}
		group.Notify.LowerPriority, group.Notify.Deleted, group.Notify.TellDeleted = config.Command{}, config.Command{}, false
		for k := range g.IntN(3) {
			group.Instances = append(group.Instances, config.Ref{Name: fmt.Sprintf("z%d", k)})
		}
		v.Groups = append(v.Groups, group)
	}
	for i := range g.IntN(3) {
		m.Instances = append(m.Instances, g.instance(i))
	}
	g.macvlans(m.Instances)
}

func (g generator) command() config.Command {
	c := config.Command{Args: []string{g.text()}}
	for range g.IntN(3) {
		c.Args = append(c.Args, g.text())
	}
	if g.flip() {
		c.User, c.Group = "nobody", []string{"", "adm"}[g.IntN(2)]
	}
	return c
}

func (g generator) maybeCommand() config.Command {
	if g.flip() {
		return config.Command{}
	}
	return g.command()
}

func (g generator) notify() config.Notify {
	n := config.Notify{Master: g.maybeCommand(), Backup: g.maybeCommand(), Fault: g.maybeCommand(), Stop: g.maybeCommand(), Any: g.maybeCommand(),
		LowerPriority: g.maybeCommand(), Deleted: g.maybeCommand(), PriorityChanges: g.flip()}
	n.TellDeleted = !n.Deleted.IsZero() || g.flip()
	return n
}

func (g generator) process(i int) config.TrackProcess {
	t := config.TrackProcess{Name: fmt.Sprintf("p%d", i), Command: g.text(), Weight: g.IntN(509) - 254, Reverse: g.flip(), Quorum: 1 + g.IntN(9),
		QuorumMax: g.IntN(9) - 1, UpDelay: g.fraction(), DownDelay: g.fraction(), FullCommand: g.flip()}
	if g.flip() {
		t.Params, t.Match, t.FullCommand = []string{g.text()}, config.ParamExact+config.ParamMatch(g.IntN(3)), true
	}
	return t
}

func (g generator) bfd(i int) config.BFD {
	f := config.BFD{Name: fmt.Sprintf("b%d", i), Neighbor: g.addr(g.flip()), MinRx: g.fraction() + time.Millisecond, MinTx: g.fraction() + time.Millisecond,
		IdleTx: g.seconds(9), Multiplier: 1 + g.IntN(255), Passive: g.flip(), TTL: 1 + g.IntN(255), MaxHops: g.IntN(256), Multihop: g.flip(),
		Weight: g.IntN(507) - 253, Reverse: g.flip()}
	if g.flip() {
		f.Source = g.addr(f.Neighbor.Is6())
	} else if f.Neighbor.Is6() {
		f.Neighbor = netip.MustParseAddr("fe80::2%eth1")
	}
	switch g.IntN(3) {
	case 0:
		f.NoVRRP = true
	case 1:
		f.NoChecker = true
	}
	return f
}

// tracks returns random lines, at most one of each kind.
func (g generator) tracks(weightless bool) []config.Track {
	var out []config.Track
	for _, k := range g.Perm(int(config.TrackArbiter) + 1) {
		if g.flip() {
			continue
		}
		t := config.Track{Kind: config.TrackKind(k), Name: "x" + g.name(), Weight: g.IntN(507) - 253, Reverse: g.flip()}
		if weightless && t.Kind != config.TrackOfProcess {
			t.Weight = 0
		}
		out = append(out, t)
	}
	return out
}

func (g generator) name() string { return fmt.Sprintf("eth%d", g.IntN(9)) }

func (g generator) maybeName() string {
	if g.flip() {
		return ""
	}
	return g.name()
}

func (g generator) instance(i int) config.Instance {
	six := g.flip()
	in := config.Instance{Name: fmt.Sprintf("i%d", i), State: "BACKUP", RouterID: uint8(1 + g.IntN(255)), Priority: uint8(1 + g.IntN(254)),
		Version: 3, Accept: g.flip(), Interface: g.maybeName(), AdvertInt: time.Duration(1+g.IntN(4095)) * 10 * time.Millisecond, DownAdverts: 1 + g.IntN(100),
		SkipAddressCheck: g.flip(), LowerSilent: g.flip(), HigherAnswer: g.flip(), OwnerIgnores: g.flip(), ChecksumAsV2: g.flip(), UnicastTTL: 255,
		UnicastOldSum: config.OldSum(g.IntN(3)), CheckPeers: g.flip(), FaultNoPeer: g.flip(), TrackSrcIP: g.flip(), ReceiveBuffer: g.IntN(9999),
		Garp: config.GarpTiming{Delay: g.fraction(), Repeat: 1 + g.IntN(9), Refresh: g.fraction(), RefreshRepeat: 1 + g.IntN(9),
			LowerPrioDelay: g.fraction(), LowerPrioRepeat: g.IntN(9)},
		NoAddresses: g.flip(), PromoteSecondaries: g.flip(), DontTrackPrimary: g.flip(), Notify: g.notify(), SMTPAlert: g.flip(),
		SplitBrainScript: g.maybeCommand(), ProbeAddresses: g.flip()}
	g.who(&in)
	g.way(&in, six)
	in.Addresses = append(in.Addresses, g.virtualAddress(six))
	for range g.IntN(4) {
		a := g.virtualAddress(six)
		a.Excluded = g.flip()
		if a.Excluded {
			a = g.virtualAddress(g.flip())
			a.Excluded = true
		}
		if !slices.ContainsFunc(in.Addresses, func(o config.VirtualAddress) bool { return o.Prefix.Addr() == a.Prefix.Addr() }) {
			in.Addresses = append(in.Addresses, a)
		}
	}
	for k := range in.Addresses {
		a := &in.Addresses[k]
		if in.Interface == "" && a.Dev == "" {
			a.Dev = "eth9"
		}
	}
	for range g.IntN(3) {
		in.Routes, in.Rules = append(in.Routes, g.route()), append(in.Rules, g.rule())
	}
	if g.flip() {
		in.Garp.Extra, in.Garp.ExtraAll = g.seconds(86400), g.flip()
	}
	in.Tracks = g.tracks(in.Priority == 255)
	return in
}

// who fills in how the master is elected.
func (g generator) who(in *config.Instance) {
	if g.flip() {
		in.Version, in.AdvertInt = 2, g.seconds(255)
		if g.flip() {
			in.AuthType, in.AuthPass = "PASS", []string{"a", "p w#!\"x", "12345678"}[g.IntN(3)]
		}
	}
	switch g.IntN(5) {
	case 0:
		in.State = "MASTER"
	case 1:
		in.NoPreempt, in.StallPriority = true, uint8(g.IntN(255))
	case 2:
		in.PreemptDelay = g.fraction()
	case 3:
		in.Priority, in.State = 255, "MASTER"
	case 4:
		in.Strict, in.Version, in.AdvertInt, in.AuthType, in.AuthPass = true, 3, time.Second, "", ""
		in.DownAdverts, in.LowerSilent, in.HigherAnswer, in.Garp.LowerPrioDelay, in.Garp.LowerPrioRepeat = 3, true, false, 0, 0
	}
}

// way fills in what way the adverts take.
func (g generator) way(in *config.Instance, six bool) {
	in.McastGroup = netip.MustParseAddr(map[bool]string{true: "ff02::12", false: "224.0.0.18"}[six])
	if g.flip() {
		in.VMAC = config.VMAC{Use: true, Name: fmt.Sprintf("vm%s", in.Name), Group: g.Uint32N(3), XmitBase: !in.Strict, OtherLinks: g.flip()}
		if !in.Strict && g.flip() {
			in.VMAC.MAC = config.MAC{2, 0, 0x5e, 0, 1, byte(g.IntN(256))}
		}
		in.Interface, in.PromoteSecondaries = g.name(), false
	}
	if in.VMAC.Use && g.flip() {
		in.VMAC.IPVLAN, in.VMAC.MAC, in.VMAC.Mode = true, config.MAC{}, []string{"bridge", "vepa", "private"}[g.IntN(3)]
		in.VMAC.Addr = netip.PrefixFrom(g.addr(six), 1+g.IntN(30))
	}
	if g.flip() {
		in.UnicastTTL = g.IntN(256)
		in.UnicastPeers = []config.Peer{{Addr: g.addr(six), MaxTTL: 255}, {Addr: g.addr(six), MinTTL: 9, MaxTTL: 99}}
		in.CheckPeers, in.UnicastSrcIP = true, g.addr(six)
		if in.Interface == "" {
			in.VRF = g.maybeName()
		}
	} else {
		in.McastSrcIP = g.addr(six)
		in.McastGroup = netip.MustParseAddr(map[bool]string{true: "ff02::77", false: "224.0.0.77"}[six])
	}
	for range g.IntN(3) {
		in.Heartbeats = append(in.Heartbeats, config.Heartbeat{Interface: g.maybeName(), SrcIP: g.addr(six), Peers: []config.Peer{{Addr: g.addr(six), MaxTTL: 255}}})
	}
}

func (g generator) virtualAddress(six bool) config.VirtualAddress {
	addr := g.addr(six)
	a := config.VirtualAddress{Prefix: netip.PrefixFrom(addr, 1+g.IntN(addr.BitLen())), Dev: g.maybeName(), NoPrefixRoute: g.flip(), AutoJoin: g.flip(),
		NoTrack: g.flip()}
	a.UseVMAC = a.Dev != "" && g.flip()
	if six {
		a.Home, a.NoDAD, a.ManageTemp = g.flip(), g.flip(), g.flip()
		if a.Deprecated = g.flip(); !a.Deprecated && g.flip() {
			a.PreferredLft = g.seconds(99)
		}
	} else {
		a.Label, a.Scope = g.maybeText(), []string{"", "site", "link", "host", "nowhere", "77"}[g.IntN(6)]
		if g.flip() {
			a.Broadcast = g.addr(false)
		}
	}
	if g.IntN(4) == 0 {
		a.Broadcast, a.Prefix = netip.Addr{}, netip.PrefixFrom(addr, addr.BitLen())
		peer := g.addr(six)
		a.Peer = netip.PrefixFrom(peer, 1+g.IntN(peer.BitLen()))
	}
	return a
}

// macvlans names what instances with use_vmac of their addresses are to have, in another way than the parser: for each address
// it counts what came before.
func (g generator) macvlans(list []config.Instance) {
	id := func(in *config.Instance, a *config.VirtualAddress) string {
		return fmt.Sprintf("%s %s %v", in.Name, or(a.Dev, in.Interface), a.Prefix.Addr().Is6())
	}
	named, used := map[string]string{}, map[string]bool{}
	for i := range list {
		in := &list[i]
		for k := range in.Addresses {
			a := &in.Addresses[k]
			other := a.Dev != "" && a.Dev != in.Interface || a.Excluded && a.Prefix.Addr().Is6() != in.Is6()
			if a.UseVMAC = a.UseVMAC || in.VMAC.OtherLinks && other; !a.UseVMAC {
				continue
			}
			if in.VMAC.Use && !in.VMAC.IPVLAN && or(a.Dev, in.Interface) == in.Interface && a.Prefix.Addr().Is6() == in.Is6() {
				continue
			}
			if named[id(in, a)] == "" {
				for _, n := range []string{"", map[bool]string{true: "6"}[a.Prefix.Addr().Is6()], "1", "2", "3", "4", "5", "6", "7", "8", "9"} {
					if name := fmt.Sprintf("vrrp%s.%d", n, in.RouterID); !used[name] {
						named[id(in, a)], used[name] = name, true
						break
					}
				}
			}
			a.VMAC = named[id(in, a)]
		}
	}
}

func (g generator) route() config.Route {
	six := g.flip()
	dst := g.addr(six)
	r := config.Route{Type: []string{"", "blackhole", "local", "throw"}[g.IntN(4)], Dst: netip.PrefixFrom(dst, g.IntN(dst.BitLen()+1)).Masked(), Dev: g.name(),
		Table: []string{"", "default", "100", "red"}[g.IntN(4)], Priority: g.Uint32N(99), Scope: []string{"", "global", "link", "9"}[g.IntN(4)],
		Protocol: []string{"", "bird", "77"}[g.IntN(3)], TOS: uint8(g.IntN(256)), Realm: []string{"", "3/4"}[g.IntN(2)], VRF: g.maybeName(), OnLink: g.flip(),
		Pref: []string{"", "high"}[g.IntN(2)], ECN: g.flip(), TTLProp: []string{"", "enabled"}[g.IntN(2)], Expires: g.Uint32N(9), Append: g.flip(),
		NoTrack: g.flip()}
	if g.flip() {
		r.Metrics = []config.RouteMetric{{Name: "mtu", Value: g.Uint32(), Lock: g.flip()}, {Name: "rtt", Value: g.Uint32N(9999)}}
		r.Congestion, r.CongLock = "reno", g.flip()
	}
	if g.flip() {
		r.Src = g.addr(six)
	}
	switch g.IntN(3) {
	case 0:
		r.Via = g.addr(g.flip())
	case 1:
		r.Nexthops = []config.Nexthop{{Via: g.addr(six), Dev: g.maybeName(), Weight: 1 + g.IntN(256), OnLink: g.flip()}, {Dev: g.name(), Weight: 1, Realm: "7"}}
	}
	return r
}

func (g generator) rule() config.Rule {
	six := g.flip()
	from := g.addr(six)
	r := config.Rule{IPv6: six, Not: g.flip(), From: netip.PrefixFrom(from, g.IntN(from.BitLen()+1)).Masked(), IIF: g.maybeName(), OIF: g.maybeName(),
		TOS: uint8(g.IntN(256)), IPProto: []string{"", "udp"}[g.IntN(2)], TunnelID: g.Uint64(), Protocol: []string{"", "9"}[g.IntN(2)],
		Priority: g.Uint32(), Action: []string{"lookup", "goto", "nop", "blackhole", "unreachable", "prohibit"}[g.IntN(6)], SuppressPrefixLen: -1,
		SuppressGroup: -1, NoTrack: g.flip()}
	switch r.Action {
	case "lookup":
		r.Table, r.L3MDev, r.SuppressPrefixLen, r.SuppressGroup = []string{"", "7", "red"}[g.IntN(3)], g.flip(), g.IntN(9)-1, g.IntN(9)-1
		r.Realm = []string{"", "3/4"}[g.IntN(2)]
	case "goto":
		r.Goto = g.Uint32()
	}
	if g.flip() {
		r.Mark, r.Mask = g.Uint32(), 1+g.Uint32N(1<<31)
		r.UIDs, r.SrcPorts, r.DstPorts = config.Span{Last: 7, Set: true}, config.Span{First: 3, Last: 3, Set: true}, config.Span{First: 3, Last: 9, Set: true}
	}
	return r
}

// TestPrintVRRPRandom is TestPrintRandom for Models of nothing but VRRP.
func TestPrintVRRPRandom(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	for range 300 {
		m := &config.Model{}
		g.vrrp(m)
		sameModel(t, m, reparse(t, m))
	}
}

// TestPrintVRRPRows prints the Models of testdata/vrrp.txt and testdata/dump and reads them again: what was filled in or
// corrected once stays as it is.
func TestPrintVRRPRows(t *testing.T) {
	texts := map[string]string{}
	rows, err := os.ReadFile("testdata/vrrp.txt")
	if err != nil {
		t.Fatal(err)
	}
	for row := range strings.SplitSeq(string(rows), "\n====\n") {
		name, rest, _ := strings.Cut(row, "\n")
		texts[name], _, _ = strings.Cut(rest, "\n----")
	}
	files, _ := filepath.Glob("testdata/dump/*.conf")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts[f] = string(b)
	}
	good := 0
	for name, text := range texts {
		m, _, err := Parse("f", strings.NewReader(text), nil)
		if err != nil {
			continue
		}
		good++
		t.Run(name, func(t *testing.T) { sameModel(t, m, reparse(t, m)) })
	}
	if good < 15 {
		t.Errorf("only %d of %d rows are without mistakes", good, len(texts))
	}
}
