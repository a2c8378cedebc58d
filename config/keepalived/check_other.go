package keepalived

import (
	"math"
	"strings"
	"time"

	"dirsw/config"
)

// smtp reads what SMTP_CHECK has.
func (p *parser) smtp(b *block, s *statement, to *config.SMTPSettings) {
	switch s.name() {
	case "helo_name":
		p.setText(b, s, &to.HeloName)
	case "host":
		p.bare(b, s)
		e, b := config.Endpoint{}, s.block
		p.each(b, func(s *statement) { p.endpointKeyword(b, s, &e) })
		to.Hosts = append(to.Hosts, e)
	}
}

func (p *parser) endpointKeyword(b *block, s *statement, e *config.Endpoint) {
	switch s.name() {
	case "connect_ip":
		p.setAddr(b, s, &e.ConnectIP)
	case "connect_port":
		p.setPort(b, s, &e.ConnectPort)
	case "bindto":
		p.setAddr(b, s, &e.BindTo)
	case "bind_port":
		p.setPort(b, s, &e.BindPort)
	case "bind_if":
		p.setText(b, s, &e.BindIf)
	case "fwmark":
		p.setMark(b, s, &e.Mark)
	case "connect_timeout":
		p.setTime(b, s, time.Microsecond, longest, &e.ConnectTimeout)
	}
}

// dns reads what DNS_CHECK has.
func (p *parser) dns(b *block, s *statement, to *config.DNSSettings) {
	switch s.name() {
	case "type":
		args, ok := p.args(b, s, 1, 1)
		if !ok {
			return
		}
		switch t := strings.ToUpper(args[0].text); t {
		case "A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA":
			to.Type = t
		default:
			p.fail(args[0].pos, "write A, NS, CNAME, SOA, MX, TXT or AAAA", "unknown type %s", show(args[0].text))
		}
	case "name":
		args, ok := p.args(b, s, 1, 1)
		if !ok {
			return
		}
		if !isDomain(args[0].text) {
			p.fail(args[0].pos, "write labels of 1 to 63 bytes, 253 bytes in all", "malformed domain name %s", show(args[0].text))
			return
		}
		to.Name = args[0].text
	}
}

// isDomain reports whether a text can be asked for (RFC 1035, 2.3.4).
func isDomain(s string) bool {
	if s == "." {
		return true
	}
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return true
}

// udp reads what UDP_CHECK has.
func (p *parser) udp(b *block, s *statement, to *config.UDPSettings) {
	switch s.name() {
	case "payload":
		if args, ok := p.args(b, s, 1, math.MaxInt); ok {
			to.Payload, _ = p.hex(args, false)
		}
	case "require_reply":
		to.RequireReply = true
		if args := s.args(); len(args) > 0 {
			to.Reply, to.ReplyMask = p.hex(args, true)
		}
	case "min_reply_length":
		p.setInt(b, s, 0, math.MaxUint16, &to.MinReply)
	case "max_reply_length":
		p.setInt(b, s, 0, math.MaxUint16, &to.MaxReply)
	}
}

// hex reads bytes in hexadecimal as keepalived does: pairs of digits, an odd one at the end of a word standing for itself.
// Where x may stand for any digit, mask says which bits do not.
func (p *parser) hex(args []token, any bool) (data, mask []byte) {
	for _, w := range args {
		for at := 0; at < len(w.text); {
			v, m, n := byte(0), byte(0), 0
			for ; n < 2 && at+n < len(w.text); n++ {
				c := w.text[at+n]
				switch d := digit(c); {
				case any && (c == 'x' || c == 'X'):
					v, m = v<<4, m<<4
				case d < 16:
					v, m = v<<4|byte(d), m<<4|0x0F
				default:
					w.pos.Col += at + n
					p.fail(w.pos, "write hexadecimal digits", "%s among the bytes", show(string(c)))
					return nil, nil
				}
			}
			if n == 1 {
				m |= 0xF0
			}
			at += n
			data, mask = append(data, v), append(mask, m)
		}
	}
	return data, mask
}

// misc reads what MISC_CHECK has.
func (p *parser) misc(b *block, s *statement, to *config.MiscSettings) {
	switch s.name() {
	case "misc_path":
		p.setProgram(b, s, &to.Command)
	case "misc_timeout":
		p.setTime(b, s, 0, longest, &to.Timeout)
	case "misc_dynamic":
		p.bare(b, s)
		to.Dynamic = true
	case "user":
		if args, ok := p.args(b, s, 1, 2); ok {
			to.Command.User, to.Command.Group = account(args)
		}
	}
}

// fileCheck reads what FILE_CHECK has.
func (p *parser) fileCheck(b *block, s *statement, to *config.FileSettings) {
	switch s.name() {
	case "track_file":
		p.setText(b, s, &to.TrackFile)
	case "dynamic":
		p.bare(b, s)
		to.Dynamic = true
	case "weight":
		args, ok := p.args(b, s, 1, 3)
		if !ok {
			return
		}
		n, ok := p.integer(args[0], -math.MaxInt32, math.MaxInt32)
		if !ok {
			return
		}
		to.HasWeight, to.Weight, to.Reverse = true, int(n), false
		for _, w := range args[1:] {
			switch w.text {
			case "reverse", "noreverse":
				to.Reverse = w.text == "reverse"
			case "dynamic":
				to.Dynamic = true
			default:
				p.fail(w.pos, "write reverse, noreverse or dynamic", "%s after the weight", show(w.text))
			}
		}
	}
}

// agent reads what AGENT_CHECK has.
func (p *parser) agent(b *block, s *statement, to *config.AgentSettings) {
	switch s.name() {
	case "send":
		if args, ok := p.args(b, s, 1, 1); ok {
			to.Send = args[0].escaped()
		}
	case "max_step":
		p.setInt(b, s, 0, 100, &to.MaxStep)
	case "min_interval":
		p.setTime(b, s, 0, longest, &to.MinInterval)
	}
}
