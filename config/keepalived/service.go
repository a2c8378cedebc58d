package keepalived

import (
	"math"
	"strings"
	"time"

	"dirsw/config"
)

// maxWeight is the largest weight; ipvsadm and the kernel take all of an int.
const maxWeight = math.MaxInt32

// defaults are what a real server and its checks take from the service unless they say otherwise. nil: not given.
type defaults struct {
	weight           *int
	inhibit          *bool
	delayLoop        *time.Duration
	connectTimeout   *time.Duration
	retry            *int
	delayBeforeRetry *time.Duration
	warmup           *time.Duration
	alpha            *bool
	logAll           *bool
	smtpAlert        *bool
	viaVIP           *bool
}

// given returns the first value that is not nil, or the fallback.
func given[T any](fallback T, values ...*T) T {
	for _, v := range values {
		if v != nil {
			return *v
		}
	}
	return fallback
}

// service reads a virtual_server. Its keywords may come in any order: what real servers inherit is known only at the end.
func (p *parser) service(s *statement) {
	sv := config.Service{Pos: s.pos(), Quorum: 1}
	chosen, good := p.selector(s, &sv)
	r := serviceReader{p: p, b: s.block, sv: &sv, chosen: chosen}
	p.each(s.block, r.keyword)
	r.finish()
	for _, real := range r.reals {
		if rs, ok := p.real(s.block, real, &r); ok {
			sv.Reals = append(sv.Reals, rs)
		}
	}
	if sorry := sv.SorryServer; sorry != nil {
		sorry.Method, sorry.Tunnel = sv.Method, sv.Tunnel
		if r.sorryMethod != nil {
			sorry.Method, sorry.Tunnel = *r.sorryMethod, r.sorryTunnel
		}
	}
	r.mark6()
	r.mask()
	if !good {
		return
	}
	r.quorum()
	for i := range chosen {
		p.model.Services = append(p.model.Services, r.member(&chosen[i]))
	}
}

// serviceReader is a virtual_server being read.
type serviceReader struct {
	chosen []selected
	p      *parser
	b      *block
	sv     *config.Service
	defaults
	method      bool // lvs_method was given, and is told about if it is wrong; so scheduler
	scheduler   bool
	proto       config.Pos
	family      bool // ip_family was given
	granularity *token
	sorryMethod *config.Method
	sorryTunnel config.Tunnel
	reals       []*statement
}

func (r *serviceReader) keyword(s *statement) {
	p, b, sv := r.p, r.b, r.sv
	switch s.name() {
	case "ip_family":
		p.choice(b, s, func(i int) { sv.IPv6, r.family = i == 1, true }, "inet", "inet6")
	case "lb_algo", "lvs_sched":
		r.algorithm(s)
	case "lb_kind", "lvs_method":
		if s.name() == "lb_kind" {
			p.noteOnce("lb_kind", s.pos(), "lb_kind is the older name of lvs_method, and means the same")
		}
		r.method = true
		sv.Method, sv.Tunnel, _ = p.method(b, s)
	case "nat_mask":
		p.noteOnce("nat_mask", s.pos(), "nat_mask is ignored: keepalived dropped it long ago, the kernel's IPVS never had such a mask")
	case "ops":
		p.bare(b, s)
		sv.OnePacket = true
	case "establish_timeout":
		if n, ok := p.number(b, s, 1, int64(longestTimeout/time.Second)); ok {
			sv.Established = time.Duration(n) * time.Second
		}
	case "expire_quiescent_conn":
		p.setFlag(b, s, &sv.ExpireQuiescent)
	case "flag-1", "flag-2", "flag-3", "sh-port", "sh-fallback", "mh-port", "mh-fallback":
		p.bare(b, s)
		sv.SchedFlags = append(sv.SchedFlags, s.name())
	case "persistence_timeout":
		r.persistence(s)
	case "persistence_granularity":
		if args, ok := p.args(b, s, 1, 1); ok {
			r.granularity = &args[0]
		}
	case "persistence_engine":
		p.setText(b, s, &sv.Engine)
	case "protocol":
		r.protocol(s)
	case "quorum":
		p.setInt(b, s, 1, math.MaxUint32, &sv.Quorum)
	case "hysteresis":
		p.setInt(b, s, 0, math.MaxUint32, &sv.Hysteresis)
	case "real_server":
		r.reals = append(r.reals, s)
	case "sorry_server":
		r.sorry(s)
	case "sorry_server_lvs_method":
		if m, t, ok := p.method(b, s); ok {
			r.sorryMethod, r.sorryTunnel = &m, t
		}
	default:
		r.healthKeyword(s)
	}
}

// healthKeyword reads what matters to health checks and notifications only.
func (r *serviceReader) healthKeyword(s *statement) {
	p, b, sv := r.p, r.b, r.sv
	switch s.name() {
	case "ha_suspend":
		p.setBool(b, s, &sv.HASuspend)
	case "virtualhost":
		p.setText(b, s, &sv.VirtualHost)
	case "omega":
		p.setBool(b, s, &sv.Omega)
	case "sorry_server_inhibit":
		p.setBool(b, s, &sv.SorryInhibit)
	case "snmp_name":
		p.setText(b, s, &sv.SNMPName)
	case "quorum_up":
		p.setCommand(b, s, &sv.QuorumUp)
	case "quorum_down":
		p.setCommand(b, s, &sv.QuorumDown)
	default:
		p.inherited(b, s, &r.defaults)
	}
}

// inherited reads a keyword that services, real servers and checks have in common.
func (p *parser) inherited(b *block, s *statement, d *defaults) {
	switch s.name() {
	case "weight":
		setNew(&d.weight, func(to *int) bool { return p.intInto(b, s, 0, maxWeight, to) })
	case "retry", "nb_get_retry":
		if s.name() == "nb_get_retry" {
			p.noteOnce("nb_get_retry", s.pos(), "nb_get_retry is the older name of retry, and read as that; keepalived 2 ignores it except in HTTP_GET and SSL_GET")
		}
		setNew(&d.retry, func(to *int) bool { return p.intInto(b, s, 0, math.MaxInt32, to) })
	case "inhibit_on_failure":
		setNew(&d.inhibit, func(to *bool) (ok bool) { *to, ok = p.boolean(b, s); return })
	case "alpha":
		setNew(&d.alpha, func(to *bool) (ok bool) { *to, ok = p.boolean(b, s); return })
	case "smtp_alert":
		setNew(&d.smtpAlert, func(to *bool) (ok bool) { *to, ok = p.boolean(b, s); return })
	case "check_path":
		setNew(&d.viaVIP, func(to *bool) (ok bool) {
			p.choice(b, s, func(i int) { *to, ok = i == 1, true }, "direct", "vip")
			return
		})
	case "log_all_failures":
		setNew(&d.logAll, func(to *bool) (ok bool) { *to, ok = p.boolean(b, s); return })
	case "delay_loop":
		setNew(&d.delayLoop, func(to *time.Duration) (ok bool) { *to, ok = p.seconds(b, s, time.Microsecond, longest); return })
	case "connect_timeout":
		setNew(&d.connectTimeout, func(to *time.Duration) (ok bool) { *to, ok = p.seconds(b, s, time.Microsecond, longest); return })
	case "delay_before_retry":
		setNew(&d.delayBeforeRetry, func(to *time.Duration) (ok bool) { *to, ok = p.seconds(b, s, 0, longest); return })
	case "warmup":
		setNew(&d.warmup, func(to *time.Duration) (ok bool) { *to, ok = p.seconds(b, s, 0, longest); return })
	}
}

// setNew stores a value that read could make.
func setNew[T any](to **T, read func(*T) bool) {
	v := new(T)
	if read(v) {
		*to = v
	}
}

func (p *parser) intInto(b *block, s *statement, low, high int64, to *int) bool {
	n, ok := p.number(b, s, low, high)
	*to = int(n)
	return ok
}

func (r *serviceReader) algorithm(s *statement) {
	if s.name() == "lb_algo" {
		r.p.noteOnce("lb_algo", s.pos(), "lb_algo is the older name of lvs_sched, and means the same")
	}
	r.scheduler = true
	if args, ok := r.p.args(r.b, s, 1, 1); ok {
		r.sv.Scheduler, r.sv.SchedPos = args[0].text, args[0].pos
	}
}

// persistence reads persistence_timeout [SECONDS]; without a value it is 360 s, as with ipvsadm -p.
func (r *serviceReader) persistence(s *statement) {
	args, _ := r.p.args(r.b, s, 0, 1)
	r.sv.Persistence = 360 * time.Second
	if len(args) == 0 {
		return
	}
	if n, ok := r.p.integer(args[0], 1, int64(longestTimeout/time.Second)); ok {
		r.sv.Persistence = time.Duration(n) * time.Second
	}
}

func (r *serviceReader) protocol(s *statement) {
	r.proto = s.pos()
	if args, ok := r.p.args(r.b, s, 1, 1); ok {
		for _, proto := range []config.Protocol{config.TCP, config.UDP, config.SCTP} {
			if strings.EqualFold(args[0].text, proto.String()) {
				r.sv.Proto = proto
				return
			}
		}
		r.p.fail(args[0].pos, "write TCP, UDP or SCTP", "unknown protocol %s", show(args[0].text))
	}
}

func (r *serviceReader) sorry(s *statement) {
	args, ok := r.p.args(r.b, s, 1, 2)
	if !ok {
		return
	}
	if addr, port, ok := r.p.endpoint(args); ok {
		r.sv.SorryServer = &config.Real{Pos: s.pos(), Addr: addr, Port: port, Weight: 1}
	}
}

// method reads NAT, DR, or TUN [type ipip|gue|gre] [port N] [nocsum|csum|remcsum].
func (p *parser) method(b *block, s *statement) (m config.Method, t config.Tunnel, ok bool) {
	args := s.args()
	if len(args) == 0 {
		p.args(b, s, 1, 1)
		return 0, t, false
	}
	switch name := strings.ToUpper(args[0].text); args[0].text {
	case "DR", "NAT":
		m = config.DR
		if name == "NAT" {
			m = config.NAT
		}
		p.args(b, s, 1, 1)
		return m, t, true
	case "TUN":
		return config.TUN, t, p.tunnel(args[1:], &t)
	default:
		fix := "write DR, TUN or NAT"
		if name == "DR" || name == "NAT" || name == "TUN" {
			fix = "write " + name
		}
		p.fail(args[0].pos, fix, "unknown forwarding method %s", show(args[0].text))
		return 0, t, false
	}
}

// tunnel reads the words after TUN.
func (p *parser) tunnel(args []token, t *config.Tunnel) bool {
	for i := 0; i < len(args); i++ {
		w := args[i]
		switch w.text {
		case "nocsum":
			t.Sum = config.NoSum
		case "csum":
			t.Sum = config.Sum
		case "remcsum":
			t.Sum = config.RemoteSum
		case "type", "port":
			if i++; i == len(args) {
				p.fail(w.pos, "write it on the same line", "%q is missing its value", w.text)
				return false
			}
			if !p.tunnelValue(w.text, args[i], t) {
				return false
			}
		default:
			p.fail(w.pos, "write type, port, nocsum, csum or remcsum", "unknown tunnel option %s", show(w.text))
			return false
		}
	}
	return true
}

func (p *parser) tunnelValue(name string, w token, t *config.Tunnel) bool {
	if name == "port" {
		n, ok := p.integer(w, 1, math.MaxUint16)
		t.Port = uint16(n)
		return ok
	}
	switch w.text {
	case "ipip":
		t.Type = config.IPIP
	case "gue":
		t.Type = config.GUE
	case "gre":
		t.Type = config.GRE
	default:
		p.fail(w.pos, "write ipip, gue or gre", "unknown tunnel type %s", show(w.text))
		return false
	}
	return true
}
