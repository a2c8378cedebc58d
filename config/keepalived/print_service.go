package keepalived

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"

	"dirsw/config"
)

// services writes the virtual servers in their order. Those of one group are written once, with the group before them; if
// something made them differ, or moved them, each is written by itself.
func (p *printer) services(m *config.Model) {
	groups := map[string][][]string{} // the entries of those that are written
	for i := 0; i < len(m.Services); {
		n := i + 1
		for n < len(m.Services) && m.Services[i].Group.Name != "" && alike(&m.Services[i], &m.Services[n]) {
			n++
		}
		sv := &m.Services[i]
		if sv.Group.Name != "" && p.group(sv.Group.Name, entries(m.Services[i:n]), groups) {
			p.service(sv, m.Services[i:n])
			i = n
			continue
		}
		p.service(sv, nil)
		i++
	}
}

// entries returns what the members of a group select, in words.
func entries(members []config.Service) [][]string {
	var list [][]string
	for i := range members {
		switch sv := &members[i]; {
		case sv.Mark == 0:
			words := []string{sv.Addr.String(), strconv.Itoa(int(sv.Port))}
			if sv.Port == 0 {
				words = words[:1]
			}
			list = append(list, words)
		case sv.IPv6:
			list = append(list, []string{"fwmark", strconv.FormatUint(uint64(sv.Mark), 10), "inet6"})
		default:
			list = append(list, []string{"fwmark", strconv.FormatUint(uint64(sv.Mark), 10), "inet"})
		}
	}
	return list
}

// group writes a virtual_server_group unless it is written already. It reports whether the group of that name has these
// entries then.
func (p *printer) group(name string, list [][]string, groups map[string][][]string) bool {
	if was, ok := groups[name]; ok {
		return slices.EqualFunc(was, list, slices.Equal[[]string])
	}
	groups[name] = list
	p.block(func() {
		for _, words := range list {
			p.value(words...)
		}
	}, "virtual_server_group", name)
	return true
}

// alike reports whether two services are of one virtual_server of a group, and still say the same.
func alike(a, b *config.Service) bool {
	return a.Group == b.Group && reflect.DeepEqual(common(a), common(b))
}

// common returns what all services of a group have in common.
func common(s *config.Service) config.Service {
	c := *s
	c.Addr, c.Port, c.Mark, c.IPv6, c.Proto, c.HASuspend = netip.Addr{}, 0, 0, false, 0, false
	c.Pos, c.SchedPos, c.Origin, c.Birth = config.Pos{}, config.Pos{}, 0, 0
	c.Reals = make([]config.Real, len(s.Reals))
	for i := range s.Reals {
		r := s.Reals[i]
		r.Port, r.CheckPort, r.Pos, r.Birth = r.ProbePort(), 0, config.Pos{}, 0
		c.Reals[i] = r
	}
	if s.SorryServer != nil {
		r := *s.SorryServer
		r.Port, r.CheckPort = r.ProbePort(), 0
		c.SorryServer = &r
	}
	return c
}

// service writes a virtual_server: members are the services of the group that it stands for, nil without a group.
func (p *printer) service(sv *config.Service, members []config.Service) {
	marked, addressed, proto := sv.Mark != 0, sv.Mark == 0, sv.Proto
	header := []string{"virtual_server", sv.Addr.String(), strconv.Itoa(int(sv.Port))}
	switch {
	case members != nil:
		header = []string{"virtual_server", "group", sv.Group.Name}
		proto = sv.Group.Proto
		for i := range members {
			marked, addressed = marked || members[i].Mark != 0, addressed || members[i].Mark == 0
		}
	case marked:
		header = []string{"virtual_server", "fwmark", strconv.FormatUint(uint64(sv.Mark), 10)}
	}
	p.block(func() {
		if marked && members == nil {
			p.line("ip_family", map[bool]string{true: "inet6", false: "inet"}[sv.IPv6])
		}
		p.time("delay_loop", sv.DelayLoop)
		p.text("lvs_sched", sv.Scheduler)
		for _, f := range sv.SchedFlags {
			p.line(f)
		}
		p.method("lvs_method", sv.Method, sv.Tunnel)
		p.time("persistence_timeout", sv.Persistence)
		p.mask(sv)
		p.text("persistence_engine", sv.Engine)
		p.flag("ops", sv.OnePacket)
		p.time("establish_timeout", sv.Established)
		p.flag("expire_quiescent_conn", sv.ExpireQuiescent)
		if addressed || proto != 0 {
			p.line("protocol", proto.String())
		}
		p.serviceHealth(sv)
		for i := range sv.Reals {
			p.real(&sv.Reals[i], sv)
		}
	}, header...)
}

func (p *printer) serviceHealth(sv *config.Service) {
	p.flag("ha_suspend", sv.HASuspend)
	p.text("virtualhost", sv.VirtualHost)
	p.text("snmp_name", sv.SNMPName)
	p.bool("smtp_alert", sv.SMTPAlert)
	p.flag("alpha", sv.Alpha)
	p.flag("omega", sv.Omega)
	p.number("quorum", int64(sv.Quorum))
	p.number("hysteresis", int64(sv.Hysteresis))
	p.command("quorum_up", sv.QuorumUp)
	p.command("quorum_down", sv.QuorumDown)
	if s := sv.SorryServer; s != nil {
		p.line("sorry_server", s.Addr.String(), strconv.Itoa(int(s.ProbePort())))
		if s.Method != sv.Method || s.Tunnel != sv.Tunnel {
			p.method("sorry_server_lvs_method", s.Method, s.Tunnel)
		}
	}
	p.flag("sorry_server_inhibit", sv.SorryInhibit)
}

// method writes a forwarding method with the options of its tunnel.
func (p *printer) method(keyword string, m config.Method, t config.Tunnel) {
	words := []string{keyword, m.String()}
	if m == config.TUN && t != (config.Tunnel{}) {
		words = append(words, "type", t.Type.String())
		if t.Port != 0 {
			words = append(words, "port", strconv.Itoa(int(t.Port)))
		}
		words = append(words, t.Sum.String())
	}
	p.line(words...)
}

func (p *printer) mask(sv *config.Service) {
	switch {
	case sv.Netmask.IsValid():
		if p.err == nil {
			p.err = config.Error{Pos: sv.Pos, Message: fmt.Sprintf("the persistence mask %s of %s cannot be written in keepalived.conf", sv.Netmask, sv.Key())}
		}
	case sv.Granularity == 0:
	case sv.IPv6 || sv.Addr.Is6():
		p.line("persistence_granularity", strconv.Itoa(sv.Granularity))
	default:
		p.line("persistence_granularity", netmask(sv.Granularity))
	}
}

// netmask writes the mask of a prefix length.
func netmask(bits int) string {
	a := netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), bits)
	return a.Masked().Addr().String()
}

func (p *printer) real(rs *config.Real, sv *config.Service) {
	p.block(func() {
		p.line("weight", strconv.Itoa(rs.Weight))
		if rs.Method != sv.Method || rs.Tunnel != sv.Tunnel {
			p.method("lvs_method", rs.Method, rs.Tunnel)
		}
		p.number("uthreshold", int64(rs.Upper))
		p.number("lthreshold", int64(rs.Lower))
		p.flag("inhibit_on_failure", rs.Inhibit)
		p.command("notify_up", rs.NotifyUp)
		p.command("notify_down", rs.NotifyDown)
		p.text("virtualhost", rs.VirtualHost)
		p.text("snmp_name", rs.SNMPName)
		p.bool("smtp_alert", rs.SMTPAlert)
		for i := range rs.Checks {
			p.check(&rs.Checks[i])
		}
	}, "real_server", rs.Addr.String(), strconv.Itoa(int(rs.ProbePort())))
}
