package keepalived

import (
	"math"
	"net/netip"
	"slices"
	"time"

	"dirsw/config"
)

// vrrpGlobal reads a keyword of global_defs that is about VRRP; it reports false for the others. What it is not given stays
// zero: the instances get the default then, see inherit.
func (p *parser) vrrpGlobal(b *block, s *statement) bool {
	g := &p.model.Globals.VRRP
	p.vrrpGiven(s)
	switch s.name() {
	case "vrrp_mcast_group4", "vrrp_mcast_group6":
		p.mcastGroup(b, s, g)
	case "vrrp_version":
		p.setInt(b, s, 2, 3, &g.Version)
	case "vrrp_lower_prio_no_advert":
		if on, ok := p.boolean(b, s); ok {
			g.LowerPrioNoAdvert = map[bool]config.Switch{true: config.On, false: config.Off}[on]
		}
	case "vrrp_higher_prio_send_advert":
		p.setBool(b, s, &g.HigherPrioSendAdvert)
	case "vrrp_check_unicast_src":
		p.setFlag(b, s, &g.CheckUnicastSrc)
	case "vrrp_skip_check_adv_addr":
		p.setBool(b, s, &g.SkipCheckAdvAddr)
	case "vrrp_strict":
		p.setFlag(b, s, &g.Strict)
	case "v3_checksum_as_v2":
		p.setBool(b, s, &g.ChecksumAsV2)
	case "vrrp_owner_ignore_adverts":
		p.setBool(b, s, &g.OwnerIgnoreAdverts)
	case "vrrp_notify_priority_changes":
		p.setBool(b, s, &g.NotifyPriorityChanges)
	case "vrrp_down_timer_adverts":
		p.setInt(b, s, 1, 100, &g.DownTimerAdverts)
	case "vrrp_min_garp":
		p.setBool(b, s, &g.MinGarp)
	default:
		return p.vrrpTimes(b, s, g) || p.vrrpProcess(b, s, g)
	}
	return true
}

// vrrpTimes reads delays and repetitions.
func (p *parser) vrrpTimes(b *block, s *statement, g *config.VRRPGlobals) bool {
	switch s.name() {
	case "vrrp_garp_master_delay":
		p.setTime(b, s, 0, longest, &g.Garp.Delay)
	case "vrrp_garp_master_repeat":
		p.setInt(b, s, 1, math.MaxInt32, &g.Garp.Repeat)
	case "vrrp_garp_master_refresh":
		p.setTime(b, s, 0, longest, &g.Garp.Refresh)
	case "vrrp_garp_master_refresh_repeat":
		p.setInt(b, s, 1, math.MaxInt32, &g.Garp.RefreshRepeat)
	case "vrrp_garp_lower_prio_delay":
		p.setTime(b, s, 0, longest, &g.Garp.LowerPrioDelay)
	case "vrrp_garp_lower_prio_repeat":
		p.setInt(b, s, 0, math.MaxInt32, &g.Garp.LowerPrioRepeat)
	case "vrrp_garp_extra_if", "vrrp_vmac_garp_intvl":
		p.garpExtra(s, 1, &g.Garp)
	case "vrrp_garp_interval":
		p.setTime(b, s, 0, longest, &g.GarpInterval)
	case "vrrp_gna_interval":
		p.setTime(b, s, 0, longest, &g.GNAInterval)
	case "vrrp_startup_delay":
		p.setTime(b, s, 0, longest, &g.StartupDelay)
	case "vrrp_delay_after_boot":
		p.setTime(b, s, 0, longest, &g.DelayAfterBoot)
	default:
		return false
	}
	return true
}

// vrrpProcess reads what concerns the thread of VRRP.
func (p *parser) vrrpProcess(b *block, s *statement, g *config.VRRPGlobals) bool {
	switch s.name() {
	case "vmac_prefix":
		p.setText(b, s, &g.VMACPrefix)
	case "vmac_addr_prefix":
		p.setText(b, s, &g.VMACAddrPrefix)
	case "vrrp_rt_priority":
		p.setInt(b, s, 1, 99, &g.RealTime)
	case "vrrp_no_swap":
		p.setFlag(b, s, &g.NoSwap)
	case "vrrp_cpu_affinity":
		if args, ok := p.args(b, s, 1, math.MaxInt); ok {
			for _, a := range args {
				if n, ok := p.integer(a, 0, 4095); ok && !slices.Contains(g.CPUs, int(n)) {
					g.CPUs = append(g.CPUs, int(n))
				}
			}
		}
	case "log_unknown_vrids":
		p.setFlag(b, s, &g.LogUnknownVRIDs)
	case "default_interface":
		p.setText(b, s, &p.model.Globals.Interfaces.Default)
	case "dynamic_interfaces":
		p.dynamicInterfaces(b, s, &p.model.Globals.Interfaces)
	default:
		return false
	}
	return true
}

// dynamicInterfaces reads dynamic_interfaces [allow_if_changes].
func (p *parser) dynamicInterfaces(b *block, s *statement, i *config.InterfaceGlobals) {
	args, ok := p.args(b, s, 0, 1)
	if !ok {
		return
	}
	i.Dynamic = true
	if len(args) == 0 {
		return
	}
	if args[0].text != "allow_if_changes" {
		p.fail(args[0].pos, "write allow_if_changes, or nothing", "%s after %q", show(args[0].text), s.name())
		return
	}
	i.AllowChanges = true
}

// mcastGroup reads where the adverts of IPv4 or IPv6 go to.
func (p *parser) mcastGroup(b *block, s *statement, g *config.VRRPGlobals) {
	to, six := &g.Group4, false
	if s.name() == "vrrp_mcast_group6" {
		to, six = &g.Group6, true
	}
	var a netip.Addr
	p.setAddr(b, s, &a)
	switch {
	case !a.IsValid():
	case a.Is6() != six:
		p.fail(s.args()[0].pos, "write an address of IPv"+map[bool]string{true: "6", false: "4"}[six], "%s is of the other address family than %s", a, s.name())
	case !a.IsMulticast():
		p.fail(s.args()[0].pos, "write a multicast address", "%s is no multicast address", a)
	default:
		*to = a
	}
}

// setFlag reads a keyword that takes no value and is on when it is there.
func (p *parser) setFlag(b *block, s *statement, to *bool) {
	p.bare(b, s)
	*to = true
}

// vrrpGiven remembers that a keyword of global_defs is there: zero may be said, too.
func (p *parser) vrrpGiven(s *statement) {
	if p.given == nil {
		p.given = map[string]bool{}
	}
	p.given[s.name()] = true
}

// inheritance is what instances take where they say nothing.
type inheritance struct {
	config.VRRPGlobals
	smtpAlert bool
	link      string // of static addresses
}

// inherit returns the defaults of this file, those of keepalived 2.2.7 where global_defs says nothing.
func (p *parser) inherit() inheritance {
	g := p.model.Globals
	in := inheritance{VRRPGlobals: g.VRRP, smtpAlert: g.SMTPAlertVRRP.Or(g.SMTPAlert.Or(false)), link: g.Interfaces.Default}
	for _, e := range []struct {
		keyword string
		set     func()
	}{
		{"vrrp_garp_master_delay", func() { in.Garp.Delay = 5 * time.Second }},
		{"vrrp_garp_master_repeat", func() { in.Garp.Repeat = 5 }},
		{"vrrp_garp_master_refresh_repeat", func() { in.Garp.RefreshRepeat = 1 }},
		{"vrrp_down_timer_adverts", func() { in.DownTimerAdverts = 3 }},
		{"vrrp_version", func() { in.Version = 2 }},
		{"vrrp_mcast_group4", func() { in.Group4 = netip.AddrFrom4([4]byte{224, 0, 0, 18}) }},
		{"vrrp_mcast_group6", func() { in.Group6 = netip.MustParseAddr("ff02::12") }},
		{"default_interface", func() { in.link = "eth0" }},
	} {
		if !p.given[e.keyword] {
			e.set()
		}
	}
	if in.MinGarp { // where nothing else is said
		if !p.given["vrrp_garp_master_delay"] {
			in.Garp.Delay = 0
		}
		if !p.given["vrrp_garp_master_repeat"] {
			in.Garp.Repeat = 1
		}
	}
	if !p.given["vrrp_garp_lower_prio_delay"] {
		in.Garp.LowerPrioDelay = in.Garp.Delay
	}
	if !p.given["vrrp_garp_lower_prio_repeat"] {
		in.Garp.LowerPrioRepeat = in.Garp.Repeat
	}
	return in
}
