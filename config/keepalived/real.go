package keepalived

import (
	"math"
	"time"

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
			p.noteIdle(scripts, s.name(), s.pos())
			p.setCommand(b, s, &rs.NotifyUp)
		case "notify_down":
			p.noteIdle(scripts, s.name(), s.pos())
			p.setCommand(b, s, &rs.NotifyDown)
		case "virtualhost":
			p.setText(b, s, &rs.VirtualHost)
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
	if good {
		p.port(&rs, sv)
	}
	for _, c := range found {
		p.noteIdle(checks, c.name(), c.pos())
		rs.Checks = append(rs.Checks, p.check(c, own, sr))
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
		p.note(rs.Pos, "port %d of a real server means nothing to a fwmark service: packets keep theirs", rs.Port)
		rs.Port = 0
	case sv.Mark != 0 || rs.Port == sv.Port:
	case rs.Port == 0:
		rs.Port = sv.Port
	case rs.Method != config.NAT:
		p.note(rs.Pos, "port %d of a real server becomes %d, the service's: %s leaves ports alone", rs.Port, sv.Port, rs.Method)
		rs.Port = sv.Port
	}
}

// check reads a health check. own is what the real server says for its checks, sr what the service says.
func (p *parser) check(s *statement, own defaults, sr *serviceReader) config.Check {
	p.bare(sr.b, s)
	c := config.Check{Pos: s.pos(), Kind: config.CheckKind(s.name())}
	mine := defaults{}
	b := s.block
	p.each(b, func(s *statement) { p.checkKeyword(b, s, &c, &mine) })
	retry, pause := 1, time.Second
	c.DelayLoop = given(sr.sv.DelayLoop, mine.delayLoop, own.delayLoop)
	switch c.Kind {
	case config.HTTPGet, config.SSLGet:
		pause = 3 * time.Second
	case config.DNSCheck:
		retry, pause = 3, c.DelayLoop
	case config.MiscCheck:
		retry = 0
	}
	c.Retry = given(retry, mine.retry, own.retry, sr.retry)
	c.DelayBeforeRetry = given(pause, mine.delayBeforeRetry, own.delayBeforeRetry, sr.delayBeforeRetry)
	c.ConnectTimeout = given(5*time.Second, mine.connectTimeout, own.connectTimeout, sr.connectTimeout)
	c.Warmup = given(c.DelayLoop, mine.warmup, own.warmup, sr.warmup)
	c.Alpha = given(sr.sv.Alpha, mine.alpha, own.alpha)
	switch c.Kind {
	case config.MiscCheck, config.FileCheck: // they connect to nothing
		c.ConnectTimeout = 0
	case config.BFDCheck: // nor do they ask: the session tells them
		return config.Check{Pos: c.Pos, Kind: c.Kind, Alpha: c.Alpha, Settings: c.Settings}
	}
	c.LogAllFailures = given(false, mine.logAll)
	return c
}

func (p *parser) checkKeyword(b *block, s *statement, c *config.Check, d *defaults) {
	switch s.name() {
	case "connect_ip":
		p.setAddr(b, s, &c.ConnectIP)
	case "connect_port":
		p.setPort(b, s, &c.ConnectPort)
	case "bindto":
		p.setAddr(b, s, &c.BindTo)
	case "bind_port":
		p.setPort(b, s, &c.BindPort)
	case "bind_if":
		p.setText(b, s, &c.BindIf)
	case "fwmark":
		if n, ok := p.number(b, s, 0, math.MaxUint32); ok {
			c.Mark = uint32(n)
		}
	case "weight": // of FILE_CHECK: a factor, not a default
		c.Settings = append(c.Settings, s.raw())
	case "retry", "nb_get_retry", "delay_before_retry", "warmup", "delay_loop", "alpha", "log_all_failures", "connect_timeout":
		p.inherited(b, s, d)
	default:
		p.setting(s)
		c.Settings = append(c.Settings, s.raw())
	}
}

// setting looks through the block of a setting for keywords that do not belong there.
func (p *parser) setting(s *statement) {
	p.each(s.block, p.setting)
}

func (p *parser) setPort(b *block, s *statement, to *uint16) {
	if n, ok := p.number(b, s, 1, math.MaxUint16); ok {
		*to = uint16(n)
	}
}
