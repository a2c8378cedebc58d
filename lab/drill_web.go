package lab

import (
	"fmt"
	"net/netip"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"time"

	"dirsw/config"
)

// served is a virtual service that is played: one port of it.
type served struct {
	conf     *config.Service
	vip      netip.Addr
	port     uint16
	url      string
	instance string // of the first director, whose address it is
	site     *site
	backs    []back
	sorry    *host
}

// back is a real server of a service.
type back struct {
	host  *host
	real  *config.Real
	known bool // what its checks say is known beforehand: up while its web server runs
	seen  bool // they see whether its web server runs
}

// pages are what the web servers of a service say.
func (v *served) pages() (out []string) {
	for _, b := range v.backs {
		out = append(out, b.host.page)
	}
	if v.sorry != nil {
		out = append(out, "or "+v.sorry.page)
	}
	return out
}

// realsOf are the real servers of a service and its sorry server.
func realsOf(s *config.Service) (out []*config.Real) {
	for i := range s.Reals {
		out = append(out, &s.Reals[i])
	}
	if s.SorryServer != nil {
		out = append(out, s.SorryServer)
	}
	return out
}

// pageURL is where a page is.
func pageURL(a netip.Addr, port uint16, tls bool) string {
	scheme, usual := "http", uint16(80)
	if tls {
		scheme, usual = "https", 443
	}
	at := a.String()
	if a.Is6() {
		at = "[" + at + "]"
	}
	if port != usual {
		at = fmt.Sprintf("%s:%d", at, port)
	}
	return scheme + "://" + at + "/"
}

// servers plans the services and the machines behind them.
func (p *plan) servers() {
	m := p.members[0].model
	for i := range m.Services {
		s := &m.Services[i]
		switch {
		case s.Mark != 0:
			p.marked(s)
		case s.Proto != config.TCP:
			p.leave(s.Pos, "%s: only TCP is played", s.Key())
		case s.Port != 0:
			p.serve(s, s.Addr, s.Port)
		default:
			p.serve(s, s.Addr, somePort(s))
		}
	}
}

// somePort is a port of a service on all ports: one that its checks look at.
func somePort(s *config.Service) uint16 {
	for _, r := range s.Reals {
		for _, c := range r.Checks {
			if c.ConnectPort != 0 && overTCP(c.Kind) {
				return c.ConnectPort
			}
		}
	}
	return 80
}

func overTCP(k config.CheckKind) bool {
	return k == config.TCPCheck || k == config.HTTPGet || k == config.SSLGet
}

// marked plans a service by firewall mark: at the addresses and ports to which the rules of the file give it.
func (p *plan) marked(s *config.Service) {
	chain := p.members[0].model.Marks.Table(s.IPv6).Chain(config.ChainPrerouting)
	found := false
	if chain != nil {
		for _, r := range chain.Rules {
			if r.Target.Kind != config.TargetMark || r.Target.Value != s.Mark || r.Dst.Not || !r.Dst.Addr.IsValid() || r.Proto.Number != uint8(config.TCP) {
				continue
			}
			for _, n := range portsOf(&r) {
				found = true
				p.serve(s, r.Dst.Addr, n)
			}
		}
	}
	if !found {
		p.leave(s.Pos, "%s: no rule of the file gives this mark to TCP packets to an address and a port", s.Key())
	}
}

// portsOf lists the destination ports that a rule asks for, of ranges the first.
func portsOf(r *config.MarkRule) (out []uint16) {
	for _, m := range r.Matches {
		switch {
		case m.Not:
		case m.Kind == config.MatchTransport && m.Dest.Given && !m.Dest.Not:
			out = append(out, m.Dest.Range.Low)
		case m.Kind == config.MatchMultiport && m.Side != config.SourcePorts:
			for _, x := range m.Ports {
				out = append(out, x.Low)
			}
		}
	}
	return out
}

// serve plans one port of a service.
func (p *plan) serve(s *config.Service, vip netip.Addr, n uint16) {
	in := p.held(vip)
	if in == nil {
		p.leave(s.Pos, "%s: no vrrp_instance holds %v", s.Key(), vip)
		return
	}
	v := &served{conf: s, vip: vip, port: n, instance: in.Name}
	for i := range s.Reals {
		r := &s.Reals[i]
		h := p.host(s, r, vip, in)
		if h == nil {
			continue
		}
		why, seen := p.judge(h, r)
		if why != "" {
			p.leave(r.Pos, "%s of %s: %s; it is asked, and not expected", r.Key(), s.Key(), why)
		}
		v.backs = append(v.backs, back{host: h, real: r, known: why == "", seen: seen})
		h.open(r.Port, n, r)
	}
	if s.SorryServer != nil {
		if v.sorry = p.host(s, s.SorryServer, vip, in); v.sorry != nil {
			v.sorry.open(s.SorryServer.Port, n, s.SorryServer)
			if !slices.ContainsFunc(p.services, func(o *served) bool { return o.uses(v.sorry) }) && !v.uses(v.sorry) && !strings.HasSuffix(v.sorry.page, "-SORRY") {
				v.sorry.page += "-SORRY"
			}
		}
	}
	if !slices.ContainsFunc(v.backs, func(b back) bool { return b.known && b.real.Weight > 0 }) {
		p.leave(s.Pos, "%s: nothing is known of its real servers beforehand", s.Key())
		return
	}
	v.url = pageURL(vip, n, v.agree())
	p.services = append(p.services, v)
}

// agree has all real servers of a service speak TLS on its port if one of them does, and reports whether they do.
func (v *served) agree() (tls bool) {
	var all []*port
	for _, b := range v.backs {
		at := b.real.Port
		if at == 0 {
			at = v.port
		}
		all = append(all, b.host.ports[at])
		tls = tls || b.host.ports[at].tls && b.known
	}
	for _, x := range all {
		x.tls = tls && !x.plain
	}
	return tls
}

// uses reports whether a machine is a real server of a service.
func (v *served) uses(h *host) bool {
	return slices.ContainsFunc(v.backs, func(b back) bool { return b.host == h })
}

// open has a machine serve the port of a real server, and those that its checks look at.
func (h *host) open(own, service uint16, r *config.Real) {
	if own == 0 {
		own = service
	}
	listen := func(n uint16) *port {
		if h.ports[n] == nil {
			h.ports[n] = &port{tls: n == 443, codes: map[string]int{}}
		}
		return h.ports[n]
	}
	listen(own)
	for _, c := range r.Checks {
		if !overTCP(c.Kind) {
			continue
		}
		n := c.ConnectPort
		if n == 0 {
			n = r.ProbePort()
		}
		if n == 0 {
			continue
		}
		at := listen(n)
		switch c.Kind {
		case config.SSLGet:
			at.tls = true
		case config.HTTPGet:
			at.tls, at.plain = false, true
		}
		if c.HTTP == nil {
			continue
		}
		for _, u := range c.HTTP.URLs {
			if len(u.Status) > 0 && !slices.ContainsFunc(u.Status, func(s config.StatusRange) bool { return s.From <= 200 && s.To >= 200 }) {
				at.codes[u.Path] = u.Status[0].From
			}
		}
	}
}

// host returns the machine of a real server, and puts it into a network. It is nil where it cannot be played.
func (p *plan) host(s *config.Service, r *config.Real, vip netip.Addr, in *config.Instance) *host {
	i := slices.IndexFunc(p.nodes, func(h *host) bool { return h.addr == r.Addr })
	if i < 0 {
		h := p.place(s, r, in)
		if h == nil {
			return nil
		}
		p.nodes, i = append(p.nodes, h), len(p.nodes)
	}
	h := p.nodes[i]
	switch {
	case h.local:
	case r.Method == config.DR && h.lan.far:
		p.blame("%v: direct routing reaches %v only if it is in a network of the directors", r.Pos, r.Addr)
	case r.Method != config.NAT && !slices.Contains(h.vips, vip):
		h.vips = append(h.vips, vip)
	}
	if r.Method == config.TUN && !slices.Contains(h.tunnels, r.Tunnel) {
		h.tunnels = append(h.tunnels, r.Tunnel)
	}
	return h
}

// place makes the machine of a real server.
func (p *plan) place(s *config.Service, r *config.Real, in *config.Instance) *host {
	name := fmt.Sprintf("rs%d", len(p.nodes)+1)
	h := &host{name: name, page: strings.ToUpper(name), addr: r.Addr, ports: map[uint16]*port{}, bits: r.Addr.BitLen()}
	if r.Addr.IsLoopback() || r.Addr.IsUnspecified() {
		h.local, h.page = true, "LOCAL"
		return h
	}
	for k := range p.members {
		for _, list := range p.claimed(k) {
			if slices.Contains(list, r.Addr) {
				p.leave(r.Pos, "%s of %s: %s is a director itself", r.Key(), s.Key(), p.members[k].node)
				return nil
			}
		}
	}
	n, x := p.lanWith(r.Addr)
	if n == nil {
		x = around(r.Addr)
		switch r.Method {
		case config.DR:
			n = p.lanOf(0, linkOf(in))
			p.notes = append(p.notes, fmt.Sprintf("%v: %v is taken to be on the network of %s, as direct routing needs it", r.Pos, x, linkOf(in)))
		case config.NAT:
			n = p.addLan()
			link := fmt.Sprintf("lan%d", len(p.nets))
			n.links = [2][]string{{link}, {link}}
			p.notes = append(p.notes, fmt.Sprintf("%v: no interface of the files is in %v; the directors have one more, %s", r.Pos, x, link))
		default:
			n = p.addLan()
			n.far = true
		}
		n.add(x)
	}
	h.lan, h.bits = n, x.Bits()
	return h
}

// judge says why what the checks of a real server will say is not known beforehand; else "", and whether they see that its web
// server runs.
func (p *plan) judge(h *host, r *config.Real) (why string, seen bool) {
	for _, c := range r.Checks {
		switch c.Kind {
		case config.TCPCheck, config.HTTPGet, config.SSLGet:
			if c.ConnectIP.IsValid() && c.ConnectIP != r.Addr {
				return fmt.Sprintf("its %s asks %v", c.Kind, c.ConnectIP), false
			}
			seen = true
			if c.HTTP == nil {
				continue
			}
			for _, u := range c.HTTP.URLs {
				switch {
				case u.Digest != "":
					return fmt.Sprintf("the page %s of the lab has another digest", u.Path), false
				case u.Regex.Pattern != "":
					return fmt.Sprintf("the page %s of the lab is not what the regex is for", u.Path), false
				}
			}
		case config.PingCheck:
		case config.MiscCheck:
			if c.Misc == nil || c.Misc.Command.IsZero() {
				return "its MISC_CHECK has no program", false
			}
			if _, err := exec.LookPath(c.Misc.Command.Args[0]); err != nil {
				return fmt.Sprintf("the program of its MISC_CHECK is not here: %v", err), false
			}
			return fmt.Sprintf("what %s says decides", c.Misc.Command.Args[0]), false
		default:
			return fmt.Sprintf("nobody here answers its %s", c.Kind), false
		}
	}
	if len(r.Checks) == 0 {
		p.notes = append(p.notes, fmt.Sprintf("%v: %s has no check: it stays when it does not answer", r.Pos, r.Key()))
	}
	return "", seen
}

// found is how long to wait until a check has seen a change: what the settings say, and some patience.
func found(r *config.Real) (d time.Duration) {
	for _, c := range r.Checks {
		rounds := 3
		if c.HTTP != nil {
			rounds += 2 * len(c.HTTP.URLs)
		}
		d = max(d, time.Duration(rounds)*(c.DelayLoop+c.ConnectTimeout)+time.Duration(c.Retry)*(c.DelayBeforeRetry+c.ConnectTimeout)+c.Warmup)
	}
	return d + ample
}

// programs lists what the files would have run, each once.
func (p *plan) programs() (out []string) {
	for k := range p.members {
		eachProgram(reflect.ValueOf(*p.members[k].model), func(c config.Command) {
			if l := c.Line(); !slices.Contains(out, l) {
				out = append(out, l)
			}
		})
	}
	return out
}

// eachProgram calls f for each program in a Model.
func eachProgram(v reflect.Value, f func(config.Command)) {
	switch v.Kind() {
	case reflect.Struct:
		if c, ok := v.Interface().(config.Command); ok {
			if !c.IsZero() {
				f(c)
			}
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				eachProgram(v.Field(i), f)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			eachProgram(v.Index(i), f)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			eachProgram(v.Elem(), f)
		}
	}
}
