package keepalived

import (
	"errors"
	"math"
	"strings"
	"time"

	"dirsw/config"
)

// file reads the outermost block.
func (p *parser) file(b *block) {
	p.each(b, func(s *statement) {
		switch s.name() {
		case "global_defs":
			p.bare(b, s)
			p.globals(s.block)
		case "vrrp_instance":
			p.instance(b, s)
		case "virtual_server":
			p.service(s)
		case "dataplane":
			p.bare(b, s)
			p.dataplane(s)
		}
	})
}

// globals reads global_defs. A second block adds to the first, as keepalived has it.
func (p *parser) globals(b *block) {
	g := &p.model.Globals
	p.each(b, func(s *statement) {
		switch s.name() {
		case "router_id":
			p.setText(b, s, &g.RouterID)
		case "lvs_id":
			p.note(s.pos(), "lvs_id is called router_id since long: read as that")
			p.setText(b, s, &g.RouterID)
		case "notification_email":
			p.noteIdle(mail, s.name(), s.pos())
			for _, line := range p.values(s) {
				for _, w := range line.words {
					g.NotificationEmail = append(g.NotificationEmail, w.text)
				}
			}
		case "notification_email_from":
			p.noteIdle(mail, s.name(), s.pos())
			p.setText(b, s, &g.NotificationEmailFrom)
		case "smtp_server":
			p.noteIdle(mail, s.name(), s.pos())
			if args, ok := p.args(b, s, 1, 2); ok {
				g.SMTPServer = joinWords(args)
			}
		case "smtp_connect_timeout":
			p.noteIdle(mail, s.name(), s.pos())
			p.setTime(b, s, 0, longest, &g.SMTPConnectTimeout)
		case "lvs_timeouts":
			p.timeouts(b, s, &g.Timeouts)
		}
	})
}

// values returns the lines of a block of values.
func (p *parser) values(s *statement) []*statement {
	if s.block == nil {
		return nil
	}
	for _, line := range s.block.statements {
		if line.block != nil {
			p.fail(line.block.brace, "remove the block", "a block where %q has its values", s.name())
		}
	}
	return s.block.statements
}

// timeouts reads lvs_timeouts [tcp S] [tcpfin S] [udp S].
func (p *parser) timeouts(b *block, s *statement, t *config.Timeouts) {
	args, ok := p.args(b, s, 2, math.MaxInt)
	if !ok {
		return
	}
	for i := 0; i < len(args); i += 2 {
		var to *time.Duration
		switch args[i].text {
		case "tcp":
			to = &t.TCP
		case "tcpfin":
			to = &t.TCPFin
		case "udp":
			to = &t.UDP
		default:
			p.fail(args[i].pos, "write tcp, tcpfin or udp", "unknown timeout %s", show(args[i].text))
			return
		}
		if i+1 == len(args) {
			p.fail(args[i].pos, "write seconds after it", "timeout %q is missing its value", args[i].text)
			return
		}
		if n, ok := p.integer(args[i+1], 0, int64(longestTimeout/time.Second)); ok {
			*to = time.Duration(n) * time.Second
		}
	}
}

// dataplane reads dirsw's own block.
func (p *parser) dataplane(s *statement) {
	d := &p.model.Dataplane
	if d.Pos != (config.Pos{}) {
		p.fail(s.pos(), "keep one of them", "a second dataplane block; the first is in line %d", d.Pos.Line)
		return
	}
	d.Pos = s.pos()
	b := s.block
	p.each(b, func(s *statement) {
		switch s.name() {
		case "interfaces":
			if args, ok := p.args(b, s, 1, math.MaxInt); ok {
				for _, a := range args {
					d.Interfaces = append(d.Interfaces, a.text)
				}
			}
		case "queues":
			if n, ok := p.numberOr(b, s, "all", 1, 1024); ok {
				d.Queues = int(n)
			}
		case "connections":
			p.setInt(b, s, 1, 1<<30, &d.Connections)
		case "cores":
			d.Cores, d.AutoCores = p.cores(b, s)
		case "workers":
			p.setInt(b, s, 1, 1024, &d.Workers)
		case "steer":
			p.choice(b, s, func(i int) { d.Steer = config.Steer(i) }, "client", "flow")
		case "mode":
			p.choice(b, s, func(i int) { d.Mode = config.Mode(i) }, "auto", "native", "generic")
		case "zero_copy":
			p.choice(b, s, func(i int) { d.ZeroCopy = config.ZeroCopy(i) }, "auto", "on", "off")
		case "wait":
			p.choice(b, s, func(i int) { d.Wait = config.Wait(i) }, "auto", "sleep", "busy-poll")
		case "replace_xdp":
			p.setBool(b, s, &d.Replace)
		case "sysctl":
			p.sysctl(b, s, d)
		case "iptables", "ip6tables":
			p.iptables(s)
		case "iptables_save", "ip6tables_save":
			p.iptablesSave(b, s)
		}
	})
}

// sysctl reads sysctl NAME VALUE, and the other ways in which sysctl.conf writes it.
func (p *parser) sysctl(b *block, s *statement, d *config.Dataplane) {
	args, ok := p.args(b, s, 1, math.MaxInt)
	if !ok {
		return
	}
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = a.text
	}
	set, err := config.ParseSysctl(words)
	if err != nil {
		var e config.Error
		if errors.As(err, &e) {
			p.fail(args[0].pos, e.Fix, "%s", e.Message)
		}
		return
	}
	set.Pos = args[0].pos
	d.Sysctls = append(d.Sysctls, set)
	switch k, _ := config.FindKnob(set.Name); k.Use {
	case config.SysctlIdle:
		p.note(set.Pos, "%s%s has no effect: %s", config.SysctlPrefix, k.Name, k.Text)
	case config.SysctlLater:
		p.note(set.Pos, "%s%s has no effect yet: connections are not synchronised yet", config.SysctlPrefix, k.Name)
	}
}

// numberOr returns 0 for the word, or the number.
func (p *parser) numberOr(b *block, s *statement, word string, low, high int64) (int64, bool) {
	if args := s.args(); len(args) == 1 && args[0].text == word {
		return 0, true
	}
	return p.number(b, s, low, high)
}

func (p *parser) cores(b *block, s *statement) (cores []int, auto bool) {
	args, ok := p.args(b, s, 1, math.MaxInt)
	if !ok {
		return nil, false
	}
	if len(args) == 1 && args[0].text == "auto" {
		return nil, true
	}
	for _, a := range args {
		if n, ok := p.integer(a, 0, 4095); ok {
			cores = append(cores, int(n))
		}
	}
	return cores, false
}

// choice calls set with the index of the word that follows the keyword.
func (p *parser) choice(b *block, s *statement, set func(int), words ...string) {
	args, ok := p.args(b, s, 1, 1)
	if !ok {
		return
	}
	for i, w := range words {
		if args[0].text == w {
			set(i)
			return
		}
	}
	last := len(words) - 1
	p.fail(args[0].pos, "write "+strings.Join(words[:last], ", ")+" or "+words[last], "unknown %s %s", s.name(), show(args[0].text))
}
