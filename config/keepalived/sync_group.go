package keepalived

import (
	"slices"

	"dirsw/config"
)

// vrrpBlock reads a block that stands by itself and is about VRRP.
func (p *parser) vrrpBlock(b *block, s *statement) {
	switch s.name() {
	case "vrrp_instance":
		p.instance(b, s)
	case "vrrp_sync_group":
		p.syncGroup(b, s)
	case "vrrp_script":
		p.script(b, s)
	case "track_file", "vrrp_track_file":
		p.trackFile(b, s)
	case "vrrp_track_process":
		p.trackProcess(b, s)
	case "bfd_instance":
		p.bfd(b, s)
	case "vrrp_arbiter":
		p.arbiter(b, s)
	case "interface_up_down_delays":
		p.linkDelays(s)
	case "garp_group":
		p.bare(b, s)
		p.garpGroup(s)
	case "static_ipaddress":
		p.staticAddresses(s)
	case "static_routes":
		p.model.VRRP.Static.Routes = append(p.model.VRRP.Static.Routes, p.routes(s)...)
	case "static_rules":
		p.model.VRRP.Static.Rules = append(p.model.VRRP.Static.Rules, p.rules(s)...)
	}
}

// syncGroup reads a vrrp_sync_group.
func (p *parser) syncGroup(outer *block, s *statement) {
	g := config.SyncGroup{Pos: s.pos()}
	p.setText(outer, s, &g.Name)
	b := s.block
	given := map[string]config.Pos{}
	p.bareMembers(b, &g)
	p.each(b, func(s *statement) {
		name := s.name()
		if first, again := given[name]; again && s.block == nil {
			p.note(s.pos(), "%q is there already, in line %d: that one counts", name, first.Line)
			return
		}
		given[name] = s.pos()
		if k, ok := trackKind(name); ok {
			p.tracks(s, k, &g.Tracks)
			return
		}
		if p.notifyKeyword(b, s, &g.Notify, &g.SMTPAlert) {
			return
		}
		switch name {
		case "group":
			for _, line := range p.values(s) {
				for _, w := range line.words {
					g.Instances = append(g.Instances, config.Ref{Pos: w.pos, Name: w.text})
				}
			}
		case "sync_group_tracking_weight":
			p.setFlag(b, s, &g.Weights)
		case "global_tracking":
			p.setFlag(b, s, &g.Weights)
			p.note(s.pos(), "global_tracking is an old keyword: read as sync_group_tracking_weight; write the track_ blocks in the group")
		}
	})
	in := p.inherit()
	if _, ok := given["smtp_alert"]; !ok {
		g.SMTPAlert = in.smtpAlert
	}
	if _, ok := given["notify_priority_changes"]; !ok {
		g.Notify.PriorityChanges = in.NotifyPriorityChanges
	}
	p.model.VRRP.Groups = append(p.model.VRRP.Groups, g)
}

// bareMembers takes the lines of a group that are nothing but the name of an instance out of its block: keepalived before
// version 1 had them without `group { … }`.
func (p *parser) bareMembers(b *block, g *config.SyncGroup) {
	if b == nil {
		return
	}
	b.statements = slices.DeleteFunc(b.statements, func(s *statement) bool {
		_, keyword := p.words[b.kind][s.name()]
		if keyword || len(s.words) > 1 || s.block != nil || !p.instances[s.name()] {
			return false
		}
		p.noteOnce("bare members", s.pos(), "%s: the members of a vrrp_sync_group stand in `group { … }`; read as one, while keepalived 2 ignores it", s.name())
		g.Instances = append(g.Instances, config.Ref{Pos: s.pos(), Name: s.name()})
		return true
	})
}
