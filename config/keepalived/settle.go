package keepalived

import (
	"fmt"
	"net/netip"
	"time"

	"dirsw/config"
)

// settle fills in what the vrrp_instances do not say, once all of the file is read, and corrects what keepalived 2.2.7
// corrects when it starts: with a note, since keepalived says so in its log only.
func (p *parser) settle() {
	in := p.inherit()
	groups, weights := p.members(), p.weights()
	names := map[string]bool{}
	for _, d := range p.vrrp {
		if d.VMAC.Name != "" {
			names[d.VMAC.Name] = true
		}
	}
	for _, d := range p.vrrp {
		p.settleElection(d, &in)
		p.settleTimes(d, &in)
		p.settleStrict(d, &in)
		p.settlePath(d, &in)
		p.settleVMAC(d, &in, names)
		p.settleAddresses(d, &in)
		p.settleMacvlans(d, names)
		p.settleTracks(d.Tracks, weights)
		p.settleWeights(d, groups[d.Name])
		p.model.Instances = append(p.model.Instances, d.Instance)
	}
	p.settleGroups(weights)
	p.settleDelays()
}

// correct notes that a setting is not as the file has it.
func (d *draft) correct(p *parser, keyword, format string, args ...any) {
	p.note(d.at(keyword), "%s in %s: %s", keyword, d.Name, fmt.Sprintf(format, args...))
}

// settleElection settles version, state, priority and preemption.
func (p *parser) settleElection(d *draft, in *inheritance) {
	if !d.has("strict_mode") {
		d.Strict = in.Strict
	}
	six := d.Is6()
	switch {
	case six && (d.Version == 0 || d.Version == 2 && d.Strict):
		if d.Version == 2 {
			d.correct(p, "version", "strict_mode has IPv6 in version 3 only: it is 3")
		}
		d.Version = 3
	case d.Version == 0:
		d.Version = in.Version
	}
	if d.State == "" {
		d.State = "BACKUP"
	}
	if d.Priority == 0 && !d.has("priority") {
		d.Priority = 100
		if d.State == "MASTER" {
			d.Priority = 255
			d.correct(p, "state", "MASTER without a priority makes it the owner of the addresses, with priority 255; write `priority`")
		}
	}
	if owner := d.Priority == 255; d.Strict && owner != (d.State == "MASTER") {
		d.State = map[bool]string{true: "MASTER", false: "BACKUP"}[owner]
		d.correct(p, "state", "strict_mode makes an owner of the addresses begin as MASTER, and nobody else: it is %s", d.State)
	}
	p.settleAuthentication(d)
	p.settlePreemption(d)
}

// settlePreemption drops what cannot work beside state MASTER or priority 255.
func (p *parser) settlePreemption(d *draft) {
	if d.Priority == 255 && d.has("priority") {
		p.noteOnce("owner", d.at("priority"), "priority 255 is that of a host that has the addresses as its own, always: it becomes "+
			"master at once, whatever others say; write 254 or less if they come and go")
	}
	switch {
	case !d.NoPreempt:
	case d.Priority == 255:
		d.NoPreempt = false
		d.correct(p, "nopreempt", "has no effect with priority 255, in keepalived as well")
	case d.State == "MASTER":
		d.NoPreempt = false
		d.correct(p, "nopreempt", "has no effect with `state MASTER`, in keepalived as well; write `state BACKUP` on both directors")
	}
	reason := ""
	switch {
	case d.PreemptDelay == 0:
	case d.State == "MASTER":
		reason = "`state MASTER`"
	case d.Strict:
		reason = "strict_mode"
	case d.NoPreempt:
		reason = "nopreempt"
	}
	if reason != "" {
		d.PreemptDelay = 0
		d.correct(p, "preempt_delay", "has no effect with %s, in keepalived as well", reason)
	}
	for _, keyword := range []string{"timer_expired_backup", "thread_timer_expired"} {
		if d.has(keyword) && !d.NoPreempt {
			d.StallPriority = 0
			d.correct(p, keyword, "has no effect without nopreempt, in keepalived as well")
		}
	}
}

// settleAuthentication drops a password that is not sent.
func (p *parser) settleAuthentication(d *draft) {
	if d.AuthType == "" && d.AuthPass == "" {
		return
	}
	reason := ""
	switch {
	case d.AuthType == "":
		reason = "without auth_type it"
	case d.AuthPass == "":
		reason = "without auth_pass it"
	case d.Strict:
		reason = "strict_mode has none: it"
	case d.Version == 3:
		reason = "version 3 has none (RFC 9568, 9): it"
	case d.AuthType == "AH" && d.Is6():
		reason = "AH beside IPv6"
	case d.AuthType == "AH" && d.State == "MASTER":
		d.State = "BACKUP"
		d.correct(p, "state", "with auth_type AH it begins as BACKUP, in keepalived as well")
		return
	default:
		return
	}
	d.AuthType, d.AuthPass = "", ""
	d.correct(p, "authentication", "%s has no effect, in keepalived as well; remove it", reason)
}

// settleTimes settles the interval, and what follows from it.
func (p *parser) settleTimes(d *draft, in *inheritance) {
	if d.AdvertInt == 0 {
		d.AdvertInt = time.Second
	}
	unit, most, said := time.Second, 255*time.Second, "whole seconds"
	if d.Version == 3 {
		unit, most, said = 10*time.Millisecond, 40950*time.Millisecond, "hundredths of a second, 40.95 s at most"
	}
	if near := min(max(d.AdvertInt.Round(unit), unit), most); near != d.AdvertInt {
		d.AdvertInt = near
		d.correct(p, "advert_int", "version %d says it in %s: it is %s s, in keepalived as well", d.Version, said, inSeconds(near))
	}
	for _, e := range []struct {
		keyword string
		set     func()
	}{
		{"down_timer_adverts", func() { d.DownAdverts = in.DownTimerAdverts }},
		{"garp_master_delay", func() { d.Garp.Delay = in.Garp.Delay }},
		{"garp_master_repeat", func() { d.Garp.Repeat = in.Garp.Repeat }},
		{"garp_master_refresh", func() { d.Garp.Refresh = in.Garp.Refresh }},
		{"garp_master_refresh_repeat", func() { d.Garp.RefreshRepeat = in.Garp.RefreshRepeat }},
		{"garp_lower_prio_delay", func() { d.Garp.LowerPrioDelay = in.Garp.LowerPrioDelay }},
		{"garp_lower_prio_repeat", func() { d.Garp.LowerPrioRepeat = in.Garp.LowerPrioRepeat }},
		{"owner_ignore_adverts", func() { d.OwnerIgnores = in.OwnerIgnoreAdverts }},
		{"higher_prio_send_advert", func() { d.HigherAnswer = in.HigherPrioSendAdvert }},
		{"lower_prio_no_advert", func() { d.LowerSilent = in.LowerPrioNoAdvert.Or(d.Strict) }},
		{"skip_check_adv_addr", func() { d.SkipAddressCheck = in.SkipCheckAdvAddr }},
		{"check_unicast_src", func() { d.CheckPeers = in.CheckUnicastSrc }},
		{"v3_checksum_as_v2", func() { d.ChecksumAsV2 = in.ChecksumAsV2 }},
		{"notify_priority_changes", func() { d.Notify.PriorityChanges = in.NotifyPriorityChanges }},
		{"smtp_alert", func() { d.SMTPAlert = in.smtpAlert }},
	} {
		if !d.has(e.keyword) {
			e.set()
		}
	}
	if !d.has("garp_extra_if") && !d.has("vmac_garp_intvl") {
		d.Garp.Extra, d.Garp.ExtraAll = in.Garp.Extra, in.Garp.ExtraAll
	}
	for _, peer := range d.UnicastPeers {
		d.CheckPeers = d.CheckPeers || peer.MinTTL > 0 || peer.MaxTTL < 255
	}
}

// settleStrict applies strict_mode, and what is default because of it.
func (p *parser) settleStrict(d *draft, in *inheritance) {
	if !d.has("accept") && !d.has("no_accept") {
		d.Accept = !d.Strict || d.Priority == 255
	}
	if !d.Accept && d.Priority != 255 && !d.has("no_accept") {
		p.noteOnce("accept", d.at("strict_mode"), "strict_mode, or vrrp_strict, implies no_accept: the master answers neither ping nor anything "+
			"else on its virtual addresses but what virtual_server names; write accept where it should")
	}
	if !d.Strict {
		return
	}
	for _, e := range []struct {
		keyword string
		wrong   bool
		mend    func()
	}{
		{"accept", d.Accept && d.Version == 2 && d.Priority != 255, func() { d.Accept = false }},
		{"down_timer_adverts", d.DownAdverts != 3, func() { d.DownAdverts = 3 }},
		{"garp_lower_prio_repeat", d.Garp.LowerPrioRepeat != 0, func() { d.Garp.LowerPrioRepeat = 0 }},
		{"garp_lower_prio_delay", d.Garp.LowerPrioDelay != 0, func() { d.Garp.LowerPrioDelay = 0 }},
		{"lower_prio_no_advert", !d.LowerSilent, func() { d.LowerSilent = true }},
		{"higher_prio_send_advert", d.HigherAnswer, func() { d.HigherAnswer = false }},
		{"vmac_xmit_base", d.VMAC.XmitBase, func() { d.VMAC.XmitBase = false }},
		{"use_vmac", d.VMAC.MAC != config.MAC{}, func() { d.VMAC.MAC = config.MAC{}; d.shortMAC = false }},
	} {
		if !e.wrong {
			continue
		}
		e.mend()
		if d.has(e.keyword) {
			d.correct(p, e.keyword, "strict_mode does not have it: it has no effect, in keepalived as well")
		}
	}
}

// settlePath settles where adverts go to and come from.
func (p *parser) settlePath(d *draft, in *inheritance) {
	group := in.Group4
	if d.Is6() {
		group = in.Group6
	}
	unicast := len(d.UnicastPeers) > 0
	switch {
	case !d.McastGroup.IsValid():
		d.McastGroup = group
	case unicast:
		d.McastGroup = group
		d.correct(p, "mcast_dst_ip", "has no effect beside unicast_peer, in keepalived as well")
	}
	if d.Interface != "" && d.VRF != "" || d.VRF != "" && !unicast {
		d.VRF = ""
		d.correct(p, "vrf", "is for unicast without an interface: it has no effect, in keepalived as well")
	}
	if unicast {
		if !d.UnicastSrcIP.IsValid() && d.Interface != "" {
			p.noteOnce("unicast_src_ip", d.at("unicast_peer"), "%s names no unicast_src_ip: its adverts come from the first address of %s, which may "+
				"become another one; write it, so that the others' unicast_peer can name it", d.Name, d.Interface)
		}
		return
	}
	if keyword := d.unicastKeyword(); keyword != "" && keyword != "unicast_peer" && !d.FaultNoPeer {
		d.correct(p, keyword, "without unicast_peer the adverts are multicast, in keepalived as well")
	}
	d.UnicastTTL = 255
	if d.has("unicast_src_ip") && !d.McastSrcIP.IsValid() {
		d.McastSrcIP = d.UnicastSrcIP
	}
}

// unicastKeyword returns the first keyword of the instance that is about unicast adverts, "" if there is none.
func (d *draft) unicastKeyword() string {
	for _, keyword := range []string{"unicast_peer", "unicast_src_ip", "unicast_ttl", "unicast_fault_no_peer", "check_unicast_src", "old_unicast_checksum"} {
		if d.has(keyword) {
			return keyword
		}
	}
	return ""
}

// settleVMAC settles the macvlans of the addresses.
func (p *parser) settleVMAC(d *draft, in *inheritance, names map[string]bool) {
	v := &d.VMAC
	switch {
	case v.Use && d.Interface == "":
		*v = config.VMAC{}
		d.correct(p, "use_vmac", "has no effect without an interface, in keepalived as well")
	case v.Use && d.unicastKeyword() != "" && !v.XmitBase && !d.Strict:
		v.XmitBase = true
		d.correct(p, "use_vmac", "unicast adverts leave by the interface itself: vmac_xmit_base is set, in keepalived as well")
	case !v.Use && v.XmitBase:
		v.XmitBase = false
		d.correct(p, "vmac_xmit_base", "has no effect without use_vmac, in keepalived as well")
	}
	if !v.Use {
		return
	}
	if d.PromoteSecondaries {
		d.PromoteSecondaries = false
		d.correct(p, "promote_secondaries", "is so on a macvlan in any case")
	}
	if d.shortMAC {
		v.MAC[5] = d.RouterID
	}
	if v.IPVLAN {
		v.Mode = or(v.Mode, "bridge")
		if !v.Addr.IsValid() && !d.Is6() {
			p.fail(d.at("use_ipvlan"), "write an address of its own behind the name", "the ipvlan of %s has no address for its adverts", d.Name)
		}
	}
	if v.Name == "" && d.RouterID != 0 {
		v.Name = macvlan(p.vmacPrefix(), d.RouterID, d.Is6(), names)
	}
	names[v.Name] = true
}

// settleMacvlans names the macvlans of addresses that are not on the instance's own: one for each interface and family, in the
// order of the addresses, as keepalived makes them.
func (p *parser) settleMacvlans(d *draft, names map[string]bool) {
	prefix := or(p.model.Globals.VRRP.VMACAddrPrefix, p.vmacPrefix())
	type base struct {
		link string
		six  bool
	}
	made := map[base]string{}
	if d.VMAC.Use && !d.VMAC.IPVLAN {
		made[base{d.Interface, d.Is6()}] = ""
	}
	for i := range d.Addresses {
		a := &d.Addresses[i]
		six := a.Prefix.Addr().Is6()
		if d.VMAC.OtherLinks && (a.Dev != "" && a.Dev != d.Interface || a.Excluded && six != d.Is6()) {
			a.UseVMAC = true
		}
		if !a.UseVMAC || d.RouterID == 0 {
			continue
		}
		at := base{or(a.Dev, d.Interface), six}
		if at.link == "" {
			a.UseVMAC = false
			p.note(a.Pos, "use_vmac of %s has no effect without an interface, in keepalived as well", a.Prefix.Addr())
			continue
		}
		name, known := made[at]
		if !known {
			name = macvlan(prefix, d.RouterID, six, names)
			made[at], names[name] = name, true
		}
		a.VMAC = name
	}
}

// vmacPrefix is what the names of macvlans begin with.
func (p *parser) vmacPrefix() string {
	if s := p.model.Globals.VRRP.VMACPrefix; s != "" {
		return s
	}
	return "vrrp"
}

// macvlan returns a name that no other macvlan has, as keepalived finds it: vrrp.51, vrrp6.51 of IPv6, vrrp1.51 and so on.
func macvlan(prefix string, id uint8, six bool, taken map[string]bool) string {
	name := fmt.Sprintf("%s.%d", prefix, id)
	if taken[name] && six {
		name = fmt.Sprintf("%s6.%d", prefix, id)
	}
	for n := 1; taken[name]; n++ {
		name = fmt.Sprintf("%s%d.%d", prefix, n, id)
	}
	return name
}

// mtu is what a packet may be at least, everywhere: the addresses of an advert must fit in.
const mtu = 1500

// settleAddresses settles what a master holds.
func (p *parser) settleAddresses(d *draft, in *inheritance) {
	room := mtu - 20 - 8 - 8
	if d.Is6() {
		room = mtu - 40 - 8
	}
	count, first := 0, netip.Addr{}
	for i := range d.Addresses {
		a := &d.Addresses[i]
		addr := a.Prefix.Addr()
		if a.Dev == "" && d.Interface == "" && len(d.UnicastPeers) > 0 {
			a.Dev = in.link
			p.note(a.Pos, "neither %s nor %s names an interface: it is held by %s, the default_interface", addr, d.Name, in.link)
		}
		if !a.Prefix.IsSingleIP() && !a.Peer.IsValid() {
			p.noteOnce("mask", a.Pos, "%s brings a route to its network, which comes and goes with the master, where the host has none "+
				"yet; write %s/%d unless that is meant", a.Prefix, addr, addr.BitLen())
		}
		if a.Excluded {
			continue
		}
		if !first.IsValid() {
			first = addr
		}
		if count++; count > min(room*8/addr.BitLen(), 255) {
			a.Excluded = true
			p.noteOnce("full "+d.Name, a.Pos, "no advert of %s has room for more than %d addresses: the others are held, and not sent, in keepalived as well",
				d.Name, count-1)
		}
	}
	switch {
	case count == 0 && !d.NoAddresses && (d.Version == 3 || d.Strict):
		p.fail(d.Pos, "write virtual_ipaddress", "%s has no virtual address: version 3 and strict_mode must have one (RFC 9568, 5.2.5)", d.Name)
	case count == 0 && !d.NoAddresses:
		p.note(d.Pos, "%s has no virtual address; write no_virtual_ipaddress if that is meant", d.Name)
	case first.Is6() && !first.IsLinkLocalUnicast():
		p.note(d.Addresses[0].Pos, "the first address of %s should be a link-local one (RFC 9568, 5.2.9)", d.Name)
	}
}
