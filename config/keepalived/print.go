package keepalived

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dirsw/config"
)

// Print writes m as a keepalived.conf that Parse makes the same Model of, positions and origins aside. Settings that no
// keyword can say are an error: a persistence mask that is none of a network.
func Print(w io.Writer, m *config.Model) error {
	p := &printer{w: bufio.NewWriter(w)}
	p.globals(&m.Globals)
	p.dataplane(&m.Dataplane, &m.Marks)
	for i := range m.Instances {
		p.instance(&m.Instances[i])
	}
	for i := range m.Services {
		p.service(&m.Services[i])
	}
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("print keepalived.conf: %w", err)
	}
	return p.err
}

// quote writes a word so that Parse reads it back: in quotation marks where it must be.
func quote(s string) string {
	plainWord := s != ""
	for _, r := range s {
		if _, o := config.Fold(r); o != config.Plain || r <= ' ' || r == 0x7F || strings.ContainsRune(`"'#!{}\`, r) {
			plainWord = false
		}
	}
	if plainWord {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// printer writes blocks. err is the first thing it could not say.
type printer struct {
	w     *bufio.Writer
	depth int
	err   error
}

// line writes words on a line; the first is a keyword.
func (p *printer) line(words ...string) {
	p.indent()
	for i, w := range words {
		if i > 0 {
			p.w.WriteByte(' ')
		}
		p.w.WriteString(quote(w))
	}
	p.w.WriteByte('\n')
}

func (p *printer) indent() { p.w.WriteString(strings.Repeat("  ", p.depth)) }

// block writes a block whose lines body writes. The outermost are set apart by an empty line.
func (p *printer) block(body func(), words ...string) {
	p.indent()
	for _, w := range words {
		p.w.WriteString(quote(w) + " ")
	}
	p.w.WriteString("{\n")
	p.depth++
	body()
	p.depth--
	p.indent()
	p.w.WriteString("}\n")
	if p.depth == 0 {
		p.w.WriteByte('\n')
	}
}

// text, number, time and flag write a keyword and its value unless the value is the zero one.
func (p *printer) text(keyword, value string) {
	if value != "" {
		p.line(keyword, value)
	}
}

func (p *printer) number(keyword string, n int64) {
	if n != 0 {
		p.line(keyword, strconv.FormatInt(n, 10))
	}
}

func (p *printer) time(keyword string, d time.Duration) {
	if d != 0 {
		p.line(keyword, inSeconds(d))
	}
}

func (p *printer) flag(keyword string, on bool) {
	if on {
		p.line(keyword)
	}
}

func (p *printer) addr(keyword string, a netip.Addr) {
	if a.IsValid() {
		p.line(keyword, a.String())
	}
}

func (p *printer) globals(g *config.Globals) {
	t := g.Timeouts
	if g.RouterID == "" && g.NotificationEmail == nil && g.NotificationEmailFrom == "" && g.SMTPServer == "" &&
		g.SMTPConnectTimeout == 0 && t == (config.Timeouts{}) {
		return
	}
	p.block(func() {
		p.text("router_id", g.RouterID)
		if len(g.NotificationEmail) > 0 {
			p.block(func() {
				for _, a := range g.NotificationEmail {
					p.line(a)
				}
			}, "notification_email")
		}
		p.text("notification_email_from", g.NotificationEmailFrom)
		if g.SMTPServer != "" {
			p.line(append([]string{"smtp_server"}, strings.Fields(g.SMTPServer)...)...)
		}
		p.time("smtp_connect_timeout", g.SMTPConnectTimeout)
		if t != (config.Timeouts{}) {
			p.line("lvs_timeouts", "tcp", inSeconds(t.TCP), "tcpfin", inSeconds(t.TCPFin), "udp", inSeconds(t.UDP))
		}
	}, "global_defs")
}

func (p *printer) dataplane(d *config.Dataplane, marks *config.Marks) {
	if d.Pos == (config.Pos{}) && len(d.Interfaces) == 0 && d.Queues == 0 && len(d.Cores) == 0 && !d.AutoCores && d.Workers == 0 &&
		d.Steer == 0 && d.Mode == 0 &&
		d.ZeroCopy == 0 && d.Wait == 0 && d.Connections == 0 && !d.Replace && len(d.Sysctls) == 0 &&
		len(marks.IPv4.Chains) == 0 && len(marks.IPv6.Chains) == 0 {
		return
	}
	p.block(func() {
		if len(d.Interfaces) > 0 {
			p.line(append([]string{"interfaces"}, d.Interfaces...)...)
		}
		p.number("queues", int64(d.Queues))
		p.number("workers", int64(d.Workers))
		if d.AutoCores {
			p.line("cores", "auto")
		}
		if len(d.Cores) > 0 {
			words := []string{"cores"}
			for _, c := range d.Cores {
				words = append(words, strconv.Itoa(c))
			}
			p.line(words...)
		}
		p.line("steer", d.Steer.String())
		p.line("mode", d.Mode.String())
		p.line("zero_copy", d.ZeroCopy.String())
		p.line("wait", d.Wait.String())
		p.number("connections", int64(d.Connections))
		p.flag("replace_xdp", d.Replace)
		for _, s := range d.Sysctls {
			p.line(append([]string{"sysctl", config.SysctlPrefix + s.Name}, strings.Fields(s.Value)...)...)
		}
		p.marks(marks)
	}, "dataplane")
}

func (p *printer) instance(v *config.Instance) {
	p.block(func() {
		p.line("state", v.State)
		p.text("interface", v.Interface)
		p.number("virtual_router_id", int64(v.RouterID))
		p.number("priority", int64(v.Priority))
		p.time("advert_int", v.AdvertInt)
		p.number("version", int64(v.Version))
		if v.AuthType != "" || v.AuthPass != "" {
			p.block(func() {
				p.text("auth_type", v.AuthType)
				p.text("auth_pass", v.AuthPass)
			}, "authentication")
		}
		p.flag("nopreempt", v.NoPreempt)
		p.time("preempt_delay", v.PreemptDelay)
		p.addr("mcast_src_ip", v.McastSrcIP)
		p.addr("unicast_src_ip", v.UnicastSrcIP)
		if len(v.UnicastPeers) > 0 {
			p.block(func() {
				for _, a := range v.UnicastPeers {
					p.line(a.String())
				}
			}, "unicast_peer")
		}
		p.addresses(v.Addresses)
	}, "vrrp_instance", v.Name)
}

// addresses writes them in their order, in as many blocks as changes between adverted and excluded ones need.
func (p *printer) addresses(list []config.VirtualAddress) {
	for len(list) > 0 {
		n := 1
		for n < len(list) && list[n].Excluded == list[0].Excluded {
			n++
		}
		name := "virtual_ipaddress"
		if list[0].Excluded {
			name = "virtual_ipaddress_excluded"
		}
		p.block(func() {
			for _, a := range list[:n] {
				words := []string{a.Prefix.String()}
				for _, f := range [][2]string{{"dev", a.Dev}, {"label", a.Label}, {"scope", a.Scope}} {
					if f[1] != "" {
						words = append(words, f[0], f[1])
					}
				}
				p.line(words...)
			}
		}, name)
		list = list[n:]
	}
}

func (p *printer) service(sv *config.Service) {
	header := []string{"virtual_server", sv.Addr.String(), strconv.Itoa(int(sv.Port))}
	if sv.Mark != 0 {
		header = []string{"virtual_server", "fwmark", strconv.FormatUint(uint64(sv.Mark), 10)}
	}
	p.block(func() {
		if sv.Mark != 0 && sv.IPv6 {
			p.line("ip_family", "inet6")
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
		if sv.Mark == 0 {
			p.line("protocol", sv.Proto.String())
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
	p.flag("alpha", sv.Alpha)
	p.flag("omega", sv.Omega)
	p.number("quorum", int64(sv.Quorum))
	p.number("hysteresis", int64(sv.Hysteresis))
	p.text("quorum_up", sv.QuorumUp)
	p.text("quorum_down", sv.QuorumDown)
	if s := sv.SorryServer; s != nil {
		p.line("sorry_server", s.Addr.String(), strconv.Itoa(int(s.Port)))
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
		p.text("notify_up", rs.NotifyUp)
		p.text("notify_down", rs.NotifyDown)
		p.text("virtualhost", rs.VirtualHost)
		for i := range rs.Checks {
			p.check(&rs.Checks[i], sv)
		}
	}, "real_server", rs.Addr.String(), strconv.Itoa(int(rs.Port)))
}

func (p *printer) check(c *config.Check, sv *config.Service) {
	p.block(func() {
		p.addr("connect_ip", c.ConnectIP)
		p.number("connect_port", int64(c.ConnectPort))
		p.addr("bindto", c.BindTo)
		p.number("bind_port", int64(c.BindPort))
		p.text("bind_if", c.BindIf)
		p.number("fwmark", int64(c.Mark))
		p.time("connect_timeout", c.ConnectTimeout)
		if c.Kind != config.BFDCheck {
			p.line("retry", strconv.Itoa(c.Retry))
			p.line("delay_before_retry", inSeconds(c.DelayBeforeRetry))
			p.time("delay_loop", c.DelayLoop)
			p.line("warmup", inSeconds(c.Warmup))
		}
		if c.Alpha != sv.Alpha {
			p.line("alpha", map[bool]string{true: "on", false: "off"}[c.Alpha])
		}
		p.flag("log_all_failures", c.LogAllFailures)
		p.statements(c.Settings)
	}, string(c.Kind))
}

func (p *printer) statements(list []config.Statement) {
	for _, s := range list {
		if s.Block == nil {
			p.line(s.Words...)
			continue
		}
		p.block(func() { p.statements(s.Block) }, s.Words...)
	}
}
