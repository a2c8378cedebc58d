package keepalived

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"dirsw/config"
)

// file reads the outermost block. What other blocks are read by comes first, wherever it stands: global_defs and the
// groups.
func (p *parser) file(b *block) {
	p.instances = map[string]bool{}
	var rest []*statement
	p.each(b, func(s *statement) {
		switch s.name() {
		case "global_defs":
			p.bare(b, s)
			p.globals(s.block)
		case "virtual_server_group":
			p.group(b, s)
		default:
			if s.name() == "vrrp_instance" && len(s.words) > 1 {
				p.instances[s.args()[0].text] = true
			}
			rest = append(rest, s)
		}
	})
	p.settleGlobals()
	for _, s := range rest {
		p.outermost(b, s)
	}
	for _, name := range slices.Sorted(maps.Keys(p.groups)) {
		if g := p.groups[name]; !g.used {
			p.note(g.pos, "no virtual_server uses the virtual_server_group %s", name)
		}
	}
}

// outermost reads one block or keyword that stands by itself.
func (p *parser) outermost(b *block, s *statement) {
	switch s.name() {
	case "virtual_server":
		p.service(s)
	case "dataplane":
		p.bare(b, s)
		p.dataplane(s)
	case "SSL":
		p.bare(b, s)
		p.tls(s.block)
	case "instance":
		p.setText(b, s, &p.model.Name)
	default:
		p.vrrpBlock(b, s)
	}
}

// tls reads the block SSL.
func (p *parser) tls(b *block) {
	t := &p.model.TLS
	p.each(b, func(s *statement) {
		switch s.name() {
		case "password":
			p.setText(b, s, &t.Password)
		case "ca":
			p.setText(b, s, &t.CA)
		case "certificate":
			p.setText(b, s, &t.Certificate)
		case "key":
			p.setText(b, s, &t.Key)
		}
	})
}

// globals reads global_defs. A second block adds to the first, as keepalived has it.
func (p *parser) globals(b *block) {
	g := &p.model.Globals
	p.each(b, func(s *statement) {
		if p.where == nil {
			p.where = map[string]config.Pos{}
		}
		p.where[s.name()] = s.pos()
		switch s.name() {
		case "router_id":
			p.setText(b, s, &g.RouterID)
		case "lvs_id":
			p.note(s.pos(), "lvs_id is called router_id since long: read as that")
			p.setText(b, s, &g.RouterID)
		case "lvs_timeouts":
			p.timeouts(b, s, &g.Timeouts)
		case "lvs_flush":
			p.setFlag(b, s, &g.Flush)
		case "lvs_flush_on_stop", "lvs_flush_onstop":
			p.flushOnStop(b, s, g)
		case "lvs_sync_daemon":
			p.syncDaemon(b, s, g)
		case "include_check":
			p.includeCheck(b, s)
		case "random_seed":
			p.number(b, s, 0, math.MaxUint32)
		case "checker_log_all_failures":
			p.setBool(b, s, &g.LogAllFailures)
		case "rs_init_notifies":
			p.setFlag(b, s, &g.RSInitNotifies)
		case "fifo_write_vrrp_states_on_reload":
			p.setFlag(b, s, &g.FIFOReload)
		case "disable_local_igmp":
			p.setFlag(b, s, &g.Interfaces.DisableLocalIGMP)
		default:
			_ = p.mailGlobal(b, s, g) || p.scriptGlobal(b, s, g) || p.fifoGlobal(b, s, g) || p.dumpGlobal(b, s, &g.Dump) ||
				p.vrrpGlobal(b, s)
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
		case "accelerate":
			p.accelerate(b, s, &d.Accelerate)
		case "coalesce":
			p.coalesce(b, s, &d.Coalesce)
		case "sysctl":
			p.sysctl(b, s, d)
		case "iptables", "ip6tables":
			p.iptables(s)
		case "iptables_save", "ip6tables_save":
			p.iptablesSave(b, s)
		}
	})
}

// accelerate reads on, off, or a number of connections.
func (p *parser) accelerate(b *block, s *statement, to *int) {
	on := false
	if args := s.args(); len(args) == 1 && args[0].text != "" && args[0].text[0] >= '0' && args[0].text[0] <= '9' {
		p.setInt(b, s, 1, 1<<24, to)
		return
	}
	p.setBool(b, s, &on)
	if *to = 0; on {
		*to = config.DefaultAccelerate
	}
}

// coalesce reads auto, off, or a number of microseconds.
func (p *parser) coalesce(b *block, s *statement, to *int) {
	if args := s.args(); len(args) == 1 && args[0].text != "" && args[0].text[0] >= '0' && args[0].text[0] <= '9' {
		p.setInt(b, s, 1, 10000, to)
		return
	}
	p.choice(b, s, func(i int) { *to = -i }, "auto", "off")
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
	if k, _ := config.FindKnob(set.Name); k.Use == config.SysctlIdle {
		p.note(set.Pos, "%s%s has no effect: %s", config.SysctlPrefix, k.Name, k.Text)
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
