package keepalived

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dirsw/config"
)

func (g generator) globals(to *config.Globals) {
	*to = config.Globals{RouterID: g.maybeText(), NotificationEmailFrom: g.maybeText(), SMTPHeloName: g.maybeText(),
		SMTPAlert: config.Switch(g.IntN(3)), SMTPAlertVRRP: config.Switch(g.IntN(3)), SMTPAlertChecker: config.Switch(g.IntN(3)),
		NoEmailFaults: g.flip(), NoCheckerEmails: g.flip(), LogAllFailures: g.flip(), RSInitNotifies: g.flip(), FIFOReload: g.flip(), Flush: g.flip(),
		FlushOnStop: []string{"", "all", "VS"}[g.IntN(3)], Timeouts: config.Timeouts{TCP: g.seconds(900), UDP: g.seconds(300)}}
	for range g.IntN(3) {
		to.NotificationEmail = append(to.NotificationEmail, g.text())
	}
	if g.flip() {
		to.SMTPServer, to.SMTPPort, to.SMTPConnectTimeout = g.text(), uint16(1+g.IntN(65535)), g.fraction()
	}
	s := &to.Scripts
	s.User, s.Group = g.account()
	s.Security, s.SupplementaryGroups, s.Startup, s.Shutdown = g.flip(), g.flip(), g.maybeCommand(), g.maybeCommand()
	if !s.Startup.IsZero() {
		s.StartupTimeout = g.seconds(1000)
	}
	if !s.Shutdown.IsZero() {
		s.ShutdownTimeout = g.seconds(1000)
	}
	for i, f := range []*config.FIFO{&to.FIFO, &to.FIFOVRRP, &to.FIFOLVS} {
		if g.flip() {
			f.Path, f.Script = g.text()+[]string{"a", "b", "c"}[i], g.maybeCommand()
			f.User, f.Group = g.account()
		}
	}
	if g.flip() {
		to.Sync = &config.SyncGlobals{Interface: g.text(), Instance: "V", ID: g.IntN(257) - 1, MaxLen: g.IntN(1500), Port: uint16(g.IntN(65536)),
			TTL: g.IntN(256)}
		if g.flip() {
			to.Sync.Group = netip.MustParseAddr("224.0.0.82")
		}
	}
	to.Dump = config.DumpGlobals{State: g.maybeText(), Stats: g.maybeText(), JSON: g.maybeText(), JSONVersion: g.IntN(3), UseInstance: g.flip()}
	to.Interfaces.DisableLocalIGMP = g.flip()
}

func (g generator) account() (user, group string) {
	switch g.IntN(3) {
	case 0:
		return "", ""
	case 1:
		return "web", ""
	}
	return "web", "www-data"
}

func (g generator) service() config.Service {
	six := g.flip()
	s := config.Service{Addr: g.addr(six), Port: uint16(g.IntN(65536)), Proto: []config.Protocol{config.TCP, config.UDP, config.SCTP}[g.IntN(3)],
		Scheduler: "wrr", Method: config.Method(g.IntN(3)), DelayLoop: g.seconds(60), Quorum: 1 + g.IntN(9), Hysteresis: g.IntN(3),
		QuorumUp: g.maybeCommand(), QuorumDown: g.maybeCommand(), Alpha: g.flip(), Omega: g.flip(), VirtualHost: g.maybeText(),
		SorryInhibit: g.flip(), SMTPAlert: g.flip(), SNMPName: g.maybeText(),
		ExpireQuiescent: g.flip(), Established: g.seconds(2678400)}
	if g.IntN(4) == 0 {
		s.Addr, s.Port, s.Proto, s.Mark, s.IPv6 = netip.Addr{}, 0, 0, 1+g.Uint32N(1<<31), six
	} else {
		s.HASuspend = g.flip()
	}
	if g.flip() {
		s.Persistence = g.seconds(2678400)
		s.Granularity = 1 + g.IntN(31)
		s.OnePacket, s.Engine = g.flip(), "sip"
	}
	if g.flip() {
		s.SchedFlags = []string{"flag-1", "sh-port"}
	}
	if s.Method == config.TUN {
		s.Tunnel = g.tunnel()
	}
	for range g.IntN(4) {
		s.Reals = append(s.Reals, g.real(&s, six))
	}
	sum := 0
	for _, r := range s.Reals {
		sum += r.Weight
	}
	if sum > 0 {
		s.Quorum = min(s.Quorum, sum)
	}
	s.Hysteresis = min(s.Hysteresis, s.Quorum-1)
	if g.flip() {
		sorry := g.real(&s, six)
		s.SorryServer = &config.Real{Addr: sorry.Addr, Port: sorry.Port, CheckPort: sorry.CheckPort, Weight: 1, Method: sorry.Method,
			Tunnel: sorry.Tunnel}
	}
	return s
}

// group is a virtual_server of a virtual_server_group: an address, another one with another port, and a mark.
func (g generator) group(name string) []config.Service {
	first := g.service()
	for first.Mark != 0 || first.Granularity != 0 {
		first = g.service()
	}
	first.Group = config.Group{Name: name, Proto: first.Proto}
	second, third := first, first
	second.Port = first.Port ^ 0x101
	second.Addr = first.Addr.Next()
	third.Addr, third.Port, third.Proto, third.Mark, third.IPv6, third.HASuspend = netip.Addr{}, 0, 0, 77, first.Addr.Is6(), false
	for _, s := range []*config.Service{&second, &third} {
		s.Reals = slices.Clone(first.Reals)
		for i := range s.Reals {
			g.port(&s.Reals[i], s)
		}
		if first.SorryServer != nil {
			sorry := *first.SorryServer
			s.SorryServer = &sorry
			g.port(&sorry, s)
		}
	}
	list := []config.Service{first, second, third}
	if g.flip() {
		return list
	}
	for _, s := range []config.Service{first, second, third} { // the same addresses by another protocol
		s.Group.Proto = first.Proto ^ config.TCP ^ config.UDP
		if first.Proto == config.SCTP {
			s.Group.Proto = config.TCP
		}
		if s.Mark == 0 {
			s.Proto = s.Group.Proto
		}
		list = append(list, s)
	}
	return list
}

// TestPrintTornGroup prints a group whose members commands have made different, or moved: each by itself.
func TestPrintTornGroup(t *testing.T) {
	text := "virtual_server_group G {\n192.0.2.1-3 80\n}\nvirtual_server group G {\nlvs_sched rr\nlvs_method DR\nprotocol TCP\n}\n"
	m, _, err := Parse("f", strings.NewReader(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Services[1].Scheduler = "wrr"
	again := reparse(t, m)
	for i := range again.Services {
		if a, b := &m.Services[i], &again.Services[i]; a.Key() != b.Key() || a.Scheduler != b.Scheduler {
			t.Errorf("%v %s, was %v %s", b.Key(), b.Scheduler, a.Key(), a.Scheduler)
		}
	}
	if len(again.Services) != 3 || again.Services[0].Group.Name != "G" || again.Services[1].Group.Name != "" || again.Services[2].Group.Name != "" {
		t.Errorf("groups %+v", again.Services)
	}
}

// port gives a real server the port that it has in another service of the group.
func (g generator) port(r *config.Real, s *config.Service) {
	asked := r.ProbePort()
	r.Port, r.CheckPort = asked, 0
	switch {
	case s.Mark != 0:
		r.Port = 0
	case asked == 0, r.Method != config.NAT:
		r.Port = s.Port
	}
	if r.Port != asked {
		r.CheckPort = asked
	}
}

func (g generator) real(s *config.Service, six bool) config.Real {
	r := config.Real{Addr: g.addr(six), Port: s.Port, Weight: g.IntN(1 << 31), Method: config.Method(g.IntN(3)), Upper: g.Uint32N(100),
		Lower: g.Uint32N(100), Inhibit: g.flip(), NotifyUp: g.maybeCommand(), NotifyDown: g.maybeCommand(), VirtualHost: g.maybeText(),
		SMTPAlert: g.flip(), SNMPName: g.maybeText()}
	if r.Method == config.TUN {
		r.Tunnel = g.tunnel()
	}
	if g.flip() {
		r.Port = uint16(1 + g.IntN(65535))
		g.port(&r, s)
	}
	for range g.IntN(3) {
		c := g.check()
		for _, host := range []string{r.VirtualHost, s.VirtualHost} {
			if c.HTTP != nil && c.HTTP.VirtualHost == "" {
				c.HTTP.VirtualHost = host
			}
		}
		r.Checks = append(r.Checks, c)
	}
	return r
}

func (g generator) check() config.Check {
	c := config.Check{ConnectPort: uint16(1 + g.IntN(65535)), BindPort: uint16(g.IntN(65536)), BindIf: g.maybeText(),
		Mark: g.Uint32(), ConnectTimeout: g.fraction(), Retry: g.IntN(9), DelayBeforeRetry: g.fraction(), DelayLoop: g.fraction(),
		Warmup: g.fraction(), Alpha: g.flip(), LogAllFailures: g.flip()}
	if g.flip() {
		c.ConnectIP, c.BindTo = g.addr(g.flip()), g.addr(g.flip())
	}
	c.ViaVIP = g.flip()
	switch g.IntN(11) {
	case 0:
		c.Kind = config.TCPCheck
	case 1:
		c.Kind, c.ViaVIP = config.PingCheck, false
	case 2:
		c.Kind, c.HTTP = config.HTTPGet, g.http()
	case 3:
		c.Kind, c.HTTP = config.SSLGet, g.http()
		c.HTTP.SNI, c.HTTP.ServerName = g.flip(), g.maybeText()
		for i := range c.HTTP.URLs {
			c.HTTP.URLs[i].Compliant = g.flip()
		}
	case 4:
		c.Kind, c.SMTP = config.SMTPCheck, &config.SMTPSettings{HeloName: g.text()}
		for range g.IntN(3) {
			c.SMTP.Hosts = append(c.SMTP.Hosts, config.Endpoint{ConnectIP: g.addr(g.flip()), ConnectPort: uint16(g.IntN(65536)), BindIf: g.maybeText(),
				BindPort: uint16(g.IntN(65536)), Mark: g.Uint32(), ConnectTimeout: g.fraction()})
		}
	case 5:
		c.Kind, c.DNS = config.DNSCheck, &config.DNSSettings{Type: []string{"A", "SOA", "AAAA"}[g.IntN(3)], Name: []string{".", "example.org"}[g.IntN(2)]}
	case 6:
		c.Kind, c.UDP = config.UDPCheck, g.udp()
	case 7:
		c.Kind, c.ViaVIP = config.MiscCheck, false
		c.Misc = &config.MiscSettings{Command: g.command(), Timeout: g.fraction(), Dynamic: g.flip()}
		c = config.Check{Kind: c.Kind, Misc: c.Misc, Retry: c.Retry, DelayBeforeRetry: c.DelayBeforeRetry, DelayLoop: c.DelayLoop,
			Warmup: c.Warmup, Alpha: c.Alpha, LogAllFailures: c.LogAllFailures}
	case 8:
		f := &config.FileSettings{TrackFile: g.text(), Dynamic: g.flip()}
		if g.flip() {
			f.HasWeight, f.Weight, f.Reverse = true, g.IntN(1000)-500, g.flip()
		}
		c = config.Check{Kind: config.FileCheck, Alpha: c.Alpha, File: f}
	case 9:
		c = config.Check{Kind: config.BFDCheck, Alpha: c.Alpha, BFD: &config.BFDSettings{Name: g.text()}}
	case 10:
		c.Kind, c.ViaVIP = config.AgentCheck, false
		c.Agent = &config.AgentSettings{Send: g.maybeText() + []string{"", "\n\t\x01\xff"}[g.IntN(2)], MaxStep: g.IntN(101), MinInterval: time.Duration(g.IntN(9)) * time.Second}
	}
	return c
}

func (g generator) http() *config.HTTPSettings {
	h := &config.HTTPSettings{Version: config.HTTPVersion(g.IntN(3)), VirtualHost: g.maybeText(), FastRecovery: g.flip()}
	for range 1 + g.IntN(3) {
		u := config.URL{Path: g.text(), VirtualHost: g.maybeText(), Status: []config.StatusRange{{From: 200, To: 299}}}
		if g.flip() {
			u.Status = []config.StatusRange{{From: 200, To: 200}, {From: 300 + g.IntN(9), To: 320}}
			u.Digest = "0123456789abcdef0123456789abcdef"
		}
		if g.flip() {
			u.Regex = config.Regex{Pattern: g.text(), NoMatch: g.flip(), MinOffset: g.IntN(9)}
			if g.flip() {
				u.Regex.Options, u.Regex.MaxOffset = []string{"caseless", "dotall"}, 9+g.IntN(9)
			}
		}
		h.URLs = append(h.URLs, u)
	}
	return h
}

func (g generator) udp() *config.UDPSettings {
	u := &config.UDPSettings{MinReply: g.IntN(100), MaxReply: 100 + g.IntN(100), RequireReply: g.flip()}
	if g.flip() {
		u.Payload = []byte{byte(g.IntN(256)), 0, 0xFF}
	}
	if u.RequireReply && g.flip() {
		u.Reply, u.ReplyMask = []byte{0x10 | byte(g.IntN(16)), 0xA0}, []byte{0xFF, 0xF0}
	}
	return u
}
