package keepalived

import (
	"fmt"
	"strconv"
	"strings"

	"dirsw/config"
)

// check writes a health check with all that it took from the real server, the service and the defaults.
func (p *printer) check(c *config.Check) {
	p.block(func() {
		p.addr("connect_ip", c.ConnectIP)
		p.number("connect_port", int64(c.ConnectPort))
		p.addr("bindto", c.BindTo)
		p.number("bind_port", int64(c.BindPort))
		p.text("bind_if", c.BindIf)
		p.number("fwmark", int64(c.Mark))
		p.time("connect_timeout", c.ConnectTimeout)
		if c.Kind != config.BFDCheck && c.Kind != config.FileCheck {
			p.line("retry", strconv.Itoa(c.Retry))
			p.line("delay_before_retry", inSeconds(c.DelayBeforeRetry))
			p.time("delay_loop", c.DelayLoop)
			p.line("warmup", inSeconds(c.Warmup))
			p.bool("log_all_failures", c.LogAllFailures)
		}
		p.bool("alpha", c.Alpha)
		if c.ViaVIP {
			p.line("check_path", "vip")
		}
		p.settings(c)
	}, string(c.Kind))
}

// settings writes what only checks of this kind have.
func (p *printer) settings(c *config.Check) {
	switch {
	case c.HTTP != nil:
		p.http(c.HTTP)
	case c.SMTP != nil:
		p.text("helo_name", c.SMTP.HeloName)
		for i := range c.SMTP.Hosts {
			p.endpoint(&c.SMTP.Hosts[i])
		}
	case c.DNS != nil:
		p.line("type", c.DNS.Type)
		p.line("name", c.DNS.Name)
	case c.UDP != nil:
		p.udp(c.UDP)
	case c.Misc != nil:
		p.program("misc_path", c.Misc.Command)
		p.time("misc_timeout", c.Misc.Timeout)
		p.flag("misc_dynamic", c.Misc.Dynamic)
	case c.File != nil:
		p.fileCheck(c.File)
	case c.BFD != nil:
		p.line("name", c.BFD.Name)
	case c.Agent != nil:
		p.escaped("send", c.Agent.Send)
		p.number("max_step", int64(c.Agent.MaxStep))
		p.time("min_interval", c.Agent.MinInterval)
	}
}

func (p *printer) http(h *config.HTTPSettings) {
	p.line("http_protocol", h.Version.String())
	p.text("virtualhost", h.VirtualHost)
	p.flag("fast_recovery", h.FastRecovery)
	p.flag("enable_sni", h.SNI)
	p.text("sni_name", h.ServerName)
	for i := range h.URLs {
		u := &h.URLs[i]
		p.block(func() {
			p.line("path", u.Path)
			p.text("digest", u.Digest)
			words := []string{"status_code"}
			for _, r := range u.Status {
				words = append(words, r.String())
			}
			p.line(words...)
			p.text("virtualhost", u.VirtualHost)
			p.flag("tls_compliant", u.Compliant)
			p.regex(&u.Regex)
		}, "url")
	}
}

func (p *printer) regex(r *config.Regex) {
	if r.Pattern == "" {
		return
	}
	p.escaped("regex", r.Pattern)
	p.flag("regex_no_match", r.NoMatch)
	if r.Options != nil {
		p.line(append([]string{"regex_options"}, r.Options...)...)
	}
	p.number("regex_min_offset", int64(r.MinOffset))
	p.number("regex_max_offset", int64(r.MaxOffset))
}

func (p *printer) endpoint(e *config.Endpoint) {
	p.block(func() {
		p.addr("connect_ip", e.ConnectIP)
		p.number("connect_port", int64(e.ConnectPort))
		p.addr("bindto", e.BindTo)
		p.number("bind_port", int64(e.BindPort))
		p.text("bind_if", e.BindIf)
		p.number("fwmark", int64(e.Mark))
		p.time("connect_timeout", e.ConnectTimeout)
	}, "host")
}

func (p *printer) udp(u *config.UDPSettings) {
	if u.Payload != nil {
		p.line("payload", fmt.Sprintf("%x", u.Payload))
	}
	if u.RequireReply {
		p.line(trailing("require_reply", masked(u.Reply, u.ReplyMask))...)
	}
	p.line("min_reply_length", strconv.Itoa(u.MinReply))
	p.line("max_reply_length", strconv.Itoa(u.MaxReply))
}

// masked writes bytes in hexadecimal, with x for digits that do not count.
func masked(data, mask []byte) string {
	var b strings.Builder
	for i, v := range data {
		for shift := 4; shift >= 0; shift -= 4 {
			if mask[i]>>shift&0x0F == 0 {
				b.WriteByte('x')
			} else {
				b.WriteByte("0123456789abcdef"[v>>shift&0x0F])
			}
		}
	}
	return b.String()
}

func (p *printer) fileCheck(f *config.FileSettings) {
	p.line("track_file", f.TrackFile)
	if f.HasWeight {
		words := []string{"weight", strconv.Itoa(f.Weight)}
		if f.Reverse {
			words = append(words, "reverse")
		}
		p.line(words...)
	}
	p.flag("dynamic", f.Dynamic)
}
