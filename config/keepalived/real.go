package keepalived

import (
	"math"

	"dirsw/config"
)

// real reads a real_server of the service.
func (p *parser) real(outer *block, s *statement, sr *serviceReader) (config.Real, bool) {
	sv := sr.sv
	rs := config.Real{Pos: s.pos(), Method: sv.Method, Tunnel: sv.Tunnel}
	args, good := p.args(outer, s, 1, 2)
	if good {
		rs.Addr, rs.Port, good = p.endpoint(args)
	}
	b := s.block
	own := defaults{}
	var found []*statement
	p.each(b, func(s *statement) {
		switch s.name() {
		case "lvs_method":
			if m, t, ok := p.method(b, s); ok {
				rs.Method, rs.Tunnel = m, t
			}
		case "uthreshold":
			p.threshold(b, s, &rs.Upper)
		case "lthreshold":
			p.threshold(b, s, &rs.Lower)
		case "notify_up":
			p.setCommand(b, s, &rs.NotifyUp)
		case "notify_down":
			p.setCommand(b, s, &rs.NotifyDown)
		case "virtualhost":
			p.setText(b, s, &rs.VirtualHost)
		case "snmp_name":
			p.setText(b, s, &rs.SNMPName)
		default:
			if s.block != nil {
				found = append(found, s)
				return
			}
			p.inherited(b, s, &own)
		}
	})
	rs.Weight = given(1, own.weight, sr.weight)
	rs.Inhibit = given(false, own.inhibit, sr.inhibit)
	g := &p.model.Globals
	mailed := g.SMTPServer != "" && len(g.NotificationEmail) > 0
	rs.SMTPAlert = given(g.SMTPAlertChecker.Or(g.SMTPAlert.Or(mailed)), own.smtpAlert, sr.smtpAlert)
	for _, c := range found {
		if c, ok := p.check(c, &rs, own, sr); ok {
			rs.Checks = append(rs.Checks, c)
		}
	}
	return rs, good
}

func (p *parser) threshold(b *block, s *statement, to *uint32) {
	if n, ok := p.number(b, s, 0, math.MaxInt32); ok {
		*to = uint32(n)
	}
}

// port gives a real server the service's port where it has to have it: DR and TUN leave ports alone.
func (p *parser) port(rs *config.Real, sv *config.Service) {
	switch {
	case sv.Mark == 0 && !sv.Addr.IsValid(): // told already
	case sv.Mark != 0 && rs.Port != 0:
		p.noteAt(rs.Pos, "port %d of a real server is for its checks only: packets of a fwmark service keep theirs", rs.Port)
		rs.CheckPort, rs.Port = rs.Port, 0
	case sv.Mark != 0 || rs.Port == sv.Port:
	case rs.Port == 0:
		rs.Port = sv.Port
	case rs.Method != config.NAT:
		p.noteAt(rs.Pos, "port %d of a real server is for its checks only, clients' packets keep %d: %s leaves ports alone", rs.Port, sv.Port, rs.Method)
		rs.CheckPort, rs.Port = rs.Port, sv.Port
	}
}
