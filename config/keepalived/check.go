package keepalived

import (
	"math"
	"time"

	"dirsw/config"
)

// checkReader is a health check being read.
type checkReader struct {
	p    *parser
	b    *block
	c    *config.Check
	mine defaults // what the check says itself
	rs   *config.Real
	sv   *config.Service

	compliant bool // tls_compliant: of all its urls
}

// check reads a health check of rs. own is what the real server says for its checks, sr what the service says.
func (p *parser) check(s *statement, rs *config.Real, own defaults, sr *serviceReader) (config.Check, bool) {
	p.bare(sr.b, s)
	c := config.Check{Pos: s.pos(), Kind: config.CheckKind(s.name())}
	r := checkReader{p: p, b: s.block, c: &c, rs: rs, sv: sr.sv}
	r.begin()
	p.each(s.block, r.keyword)
	mine := &r.mine
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
	c.LogAllFailures = given(p.model.Globals.LogAllFailures, mine.logAll)
	c.ViaVIP = given(false, mine.viaVIP, own.viaVIP)
	switch c.Kind {
	case config.MiscCheck: // it connects to nothing
		c.ConnectTimeout, c.ViaVIP = 0, false
	case config.FileCheck, config.BFDCheck: // nor do these ask: they are told
		c = config.Check{Pos: c.Pos, Kind: c.Kind, Alpha: c.Alpha, File: c.File, BFD: c.BFD}
	case config.AgentCheck, config.PingCheck:
		c.ViaVIP = false
	}
	return c, r.finish()
}

// begin gives the check the settings of its kind, as they are when the file says nothing.
func (r *checkReader) begin() {
	switch c := r.c; c.Kind {
	case config.HTTPGet, config.SSLGet:
		c.HTTP = &config.HTTPSettings{VirtualHost: r.rs.VirtualHost}
		if c.HTTP.VirtualHost == "" {
			c.HTTP.VirtualHost = r.sv.VirtualHost
		}
	case config.SMTPCheck:
		c.SMTP = &config.SMTPSettings{HeloName: "smtpchecker.keepalived.org"}
	case config.DNSCheck:
		c.DNS = &config.DNSSettings{Type: "SOA", Name: "."}
	case config.UDPCheck:
		c.UDP = &config.UDPSettings{MaxReply: 255}
	case config.MiscCheck:
		c.Misc = &config.MiscSettings{}
	case config.FileCheck:
		c.File = &config.FileSettings{}
	case config.BFDCheck:
		c.BFD = &config.BFDSettings{}
	case config.AgentCheck:
		c.Agent = &config.AgentSettings{}
	}
}

func (r *checkReader) keyword(s *statement) {
	p, b, c := r.p, r.b, r.c
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
		p.setMark(b, s, &c.Mark)
	case "retry", "nb_get_retry", "delay_before_retry", "warmup", "delay_loop", "alpha", "log_all_failures", "connect_timeout",
		"check_path":
		p.inherited(b, s, &r.mine)
	default:
		r.setting(s)
	}
}

// setting reads what only checks of this kind have.
func (r *checkReader) setting(s *statement) {
	switch r.c.Kind {
	case config.HTTPGet, config.SSLGet:
		if s.name() == "tls_compliant" {
			r.p.setFlag(r.b, s, &r.compliant)
			return
		}
		r.p.http(r.b, s, r.c.HTTP)
	case config.SMTPCheck:
		r.p.smtp(r.b, s, r.c.SMTP)
	case config.DNSCheck:
		r.p.dns(r.b, s, r.c.DNS)
	case config.UDPCheck:
		r.p.udp(r.b, s, r.c.UDP)
	case config.MiscCheck:
		r.p.misc(r.b, s, r.c.Misc)
	case config.FileCheck:
		r.p.fileCheck(r.b, s, r.c.File)
	case config.BFDCheck:
		r.p.setText(r.b, s, &r.c.BFD.Name)
	case config.AgentCheck:
		r.p.agent(r.b, s, r.c.Agent)
	}
}

// finish fills in what depends on other settings, and reports whether the check can be run.
func (r *checkReader) finish() bool {
	p, c := r.p, r.c
	switch c.Kind {
	case config.HTTPGet, config.SSLGet:
		return r.finishHTTP()
	case config.MiscCheck:
		if len(c.Misc.Command.Args) == 0 {
			p.fail(c.Pos, "write misc_path with a program", "MISC_CHECK runs nothing")
			return false
		}
		if c.Misc.Timeout == 0 {
			c.Misc.Timeout = c.DelayLoop
		}
	case config.FileCheck:
		if c.File.TrackFile == "" {
			p.fail(c.Pos, "write track_file with the name of a track_file block", "FILE_CHECK watches nothing")
			return false
		}
	case config.BFDCheck:
		if c.BFD.Name == "" {
			p.fail(c.Pos, "write name with that of a bfd_instance", "BFD_CHECK follows no session")
			return false
		}
	case config.UDPCheck:
		if u := c.UDP; u.MinReply > u.MaxReply {
			p.fail(c.Pos, "write a min_reply_length that is not above it", "max_reply_length %d of UDP_CHECK is less than min_reply_length %d",
				u.MaxReply, u.MinReply)
		}
	case config.AgentCheck:
		if c.ConnectPort == 0 {
			p.fail(c.Pos, "write connect_port with that of the agent", "AGENT_CHECK asks the port of the service")
			return false
		}
	}
	return true
}

func (p *parser) setPort(b *block, s *statement, to *uint16) {
	if n, ok := p.number(b, s, 1, math.MaxUint16); ok {
		*to = uint16(n)
	}
}

func (p *parser) setMark(b *block, s *statement, to *uint32) {
	if n, ok := p.number(b, s, 0, math.MaxUint32); ok {
		*to = uint32(n)
	}
}
