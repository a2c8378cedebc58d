package keepalived

import (
	"math"
	"strings"
	"time"

	"dirsw/config"
)

// draft is a vrrp_instance as the file has it: what it does not say is filled in by settle, when all of the file is read.
type draft struct {
	config.Instance
	shortMAC bool                  // of a MAC of use_vmac the last byte is missing: virtual_router_id stands for it
	given    map[string]config.Pos // its keywords, where each stands first
}

// has reports whether the file gives the keyword.
func (d *draft) has(keyword string) bool {
	_, ok := d.given[keyword]
	return ok
}

// at returns where a keyword stands, or the instance if it does not.
func (d *draft) at(keyword string) config.Pos {
	if p, ok := d.given[keyword]; ok {
		return p
	}
	return d.Pos
}

// instance reads a vrrp_instance.
func (p *parser) instance(outer *block, s *statement) {
	d := &draft{Instance: config.Instance{Pos: s.pos(), UnicastTTL: 255}, given: map[string]config.Pos{}}
	p.setText(outer, s, &d.Name)
	b := s.block
	p.each(b, func(s *statement) { p.instanceKeyword(b, s, d) })
	p.vrrp = append(p.vrrp, d)
}

// first reports whether of two lines with a keyword keepalived takes the first; of the others it takes the last. MASTER stays
// whatever `state` comes after it.
func (d *draft) first(keyword string) bool {
	switch keyword {
	case "state":
		return d.State == "MASTER"
	case "version", "use_vmac":
		return true
	}
	return strings.HasPrefix(keyword, "notify") && keyword != "notify_priority_changes"
}

// instanceKeyword reads one keyword.
func (p *parser) instanceKeyword(b *block, s *statement, d *draft) {
	name := s.name()
	if pos, again := d.given[name]; again && s.block == nil {
		if d.first(name) {
			p.note(s.pos(), "%q is there already, in line %d: that one counts, in keepalived as well", name, pos.Line)
			return
		}
		p.note(s.pos(), "%q is there already, in line %d: this one counts, as in keepalived", name, pos.Line)
		d.given[name] = s.pos()
	}
	if !d.has(name) {
		d.given[name] = s.pos()
	}
	if k, ok := trackKind(name); ok {
		p.tracks(s, k, &d.Tracks)
		return
	}
	if p.electionKeyword(b, s, d) || p.pathKeyword(b, s, d) || p.garpKeyword(b, s, &d.Garp) || p.vmacKeyword(b, s, d) ||
		p.holdKeyword(b, s, d) || p.notifyKeyword(b, s, &d.Notify, &d.SMTPAlert) {
		return
	}
	switch name {
	case "dont_track_primary":
		p.setFlag(b, s, &d.DontTrackPrimary)
	case "heartbeat":
		p.heartbeat(s, d)
	case "split_brain_script":
		p.setCommand(b, s, &d.SplitBrainScript)
	case "probe_addresses":
		p.setBool(b, s, &d.ProbeAddresses)
	case "lvs_sync_daemon_interface":
		p.syncInterface(b, s, d)
	}
}

// electionKeyword reads who becomes master, and when.
func (p *parser) electionKeyword(b *block, s *statement, d *draft) bool {
	switch s.name() {
	case "state":
		p.state(b, s, d)
	case "virtual_router_id":
		if n, ok := p.number(b, s, 1, 255); ok {
			d.RouterID = uint8(n)
		}
	case "priority":
		if n, ok := p.number(b, s, 1, 255); ok {
			d.Priority = uint8(n)
		}
	case "advert_int":
		p.setTime(b, s, 10*time.Millisecond, 255*time.Second, &d.AdvertInt)
	case "version":
		p.setInt(b, s, 2, 3, &d.Version)
	case "strict_mode":
		p.setBool(b, s, &d.Strict)
	case "authentication":
		p.authentication(s.block, d)
	case "nopreempt", "preempt":
		p.bare(b, s)
		d.NoPreempt = s.name() == "nopreempt"
	case "preempt_delay":
		p.setTime(b, s, 0, 1000*time.Second, &d.PreemptDelay)
	case "down_timer_adverts":
		p.setInt(b, s, 1, 100, &d.DownAdverts)
	case "timer_expired_backup", "thread_timer_expired":
		p.stall(b, s, d)
	case "skip_check_adv_addr":
		p.setBool(b, s, &d.SkipAddressCheck)
	case "lower_prio_no_advert":
		p.setBool(b, s, &d.LowerSilent)
	case "higher_prio_send_advert":
		p.setBool(b, s, &d.HigherAnswer)
	case "owner_ignore_adverts":
		p.setBool(b, s, &d.OwnerIgnores)
	default:
		return false
	}
	return true
}

// state reads MASTER or BACKUP. keepalived takes whatever else is written for BACKUP.
func (p *parser) state(b *block, s *statement, d *draft) {
	args, ok := p.args(b, s, 1, 1)
	if !ok {
		return
	}
	switch w := args[0].text; w {
	case "MASTER", "BACKUP":
		d.State = w
	default:
		fix := "write MASTER or BACKUP"
		if up := strings.ToUpper(w); up == "MASTER" || up == "BACKUP" {
			fix = "write " + up + ": keepalived would take this for BACKUP"
		}
		p.fail(args[0].pos, fix, "unknown state %s", show(w))
	}
}

// stall reads the priority of the best backup, which says how long a master may stall before one has taken over.
func (p *parser) stall(b *block, s *statement, d *draft) {
	args, _ := p.args(b, s, 0, 1)
	d.StallPriority = 254
	if len(args) > 0 {
		if n, ok := p.integer(args[0], 1, 254); ok {
			d.StallPriority = uint8(n)
		}
	}
	if s.name() == "thread_timer_expired" {
		p.note(s.pos(), "thread_timer_expired is called timer_expired_backup now: read as that")
	}
}

// authentication reads auth_type and auth_pass. Only the first eight bytes of a password are sent (RFC 2338, 5.3.6.1).
func (p *parser) authentication(b *block, d *draft) {
	p.each(b, func(s *statement) {
		switch s.name() {
		case "auth_type":
			p.choice(b, s, func(i int) { d.AuthType = [...]string{"PASS", "AH"}[i] }, "PASS", "AH")
		case "auth_pass":
			args, ok := p.args(b, s, 1, 1)
			if !ok {
				return
			}
			d.AuthPass = args[0].text
			if args[0].cut {
				p.note(args[0].pos, "the password ends before the ! or #, which begins a comment, in keepalived as well; "+
					"put it in quotation marks if it belongs to the password")
			}
			if len(d.AuthPass) > 8 {
				p.note(args[0].pos, "only the first eight bytes of a password are used")
				d.AuthPass = d.AuthPass[:8]
			}
		}
	})
}

// garpKeyword reads when the addresses are announced.
func (p *parser) garpKeyword(b *block, s *statement, g *config.GarpTiming) bool {
	switch s.name() {
	case "garp_master_delay":
		p.setTime(b, s, 0, longest, &g.Delay)
	case "garp_master_repeat":
		p.setInt(b, s, 1, math.MaxInt32, &g.Repeat)
	case "garp_master_refresh":
		p.setTime(b, s, 0, longest, &g.Refresh)
	case "garp_master_refresh_repeat":
		p.setInt(b, s, 1, math.MaxInt32, &g.RefreshRepeat)
	case "garp_lower_prio_delay":
		p.setTime(b, s, 0, longest, &g.LowerPrioDelay)
	case "garp_lower_prio_repeat":
		p.setInt(b, s, 0, math.MaxInt32, &g.LowerPrioRepeat)
	case "garp_extra_if", "vmac_garp_intvl":
		p.garpExtra(s, 0, g)
	default:
		return false
	}
	return true
}

// garpExtra reads [all] SECONDS.
func (p *parser) garpExtra(s *statement, least int64, g *config.GarpTiming) {
	r := reader{p: p, words: s.words, at: 1, what: s.name()}
	w, ok := r.value()
	all := ok && w.text == "all"
	if all {
		w, ok = r.value()
	}
	if !ok {
		return
	}
	if n, ok := p.integer(w, least, 86400); ok {
		g.Extra, g.ExtraAll = time.Duration(n)*time.Second, all && n > 0
	}
	if r.more() {
		p.stray(r.next(), "all before the seconds", s.name())
	}
}

// garpGroup reads a garp_group.
func (p *parser) garpGroup(s *statement) {
	g := config.GARPGroup{Pos: s.pos()}
	b := s.block
	p.each(b, func(s *statement) {
		switch s.name() {
		case "garp_interval":
			p.setTime(b, s, 0, longest, &g.ARP)
		case "gna_interval":
			p.setTime(b, s, 0, longest, &g.NA)
		case "interface":
			var link string
			if p.setLink(b, s, &link); link != "" {
				g.Interfaces = append(g.Interfaces, link)
			}
		case "interfaces":
			for _, line := range p.values(s) {
				for _, w := range line.words {
					if p.link(w) {
						g.Interfaces = append(g.Interfaces, w.text)
					}
				}
			}
		}
	})
	p.model.VRRP.Pacing = append(p.model.VRRP.Pacing, g)
}

// syncInterface reads what lvs_sync_daemon of global_defs is called since long.
func (p *parser) syncInterface(b *block, s *statement, d *draft) {
	link, ok := p.text(b, s)
	if !ok {
		return
	}
	p.note(s.pos(), "lvs_sync_daemon_interface is an old keyword: read as `lvs_sync_daemon %s %s` in global_defs", link, d.Name)
	if p.model.Globals.Sync != nil {
		p.note(s.pos(), "lvs_sync_daemon is there already: that one counts")
		return
	}
	p.model.Globals.Sync = &config.SyncGlobals{Pos: s.pos(), Interface: link, Instance: d.Name, ID: -1}
}
