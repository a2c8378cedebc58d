package director

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"

	"dirsw/config"
	"dirsw/health"
	"dirsw/script"
)

// checks turns the checks of a model into those that the prober makes.
type checks struct {
	model *config.Model
	tls   *health.TLS
	run   script.Runner
	progs *programs
	notes []config.Note
	errs  config.Errors
}

// Targets is what the prober does for a model: the checks of each real server, once for all services of a group. The error
// is a config.Errors of what no check can be made of: files that cannot be read, expressions that cannot be searched for.
// The notes tell of checks that are left out: programs that cannot be run, as keepalived leaves them out.
func Targets(m *config.Model, run script.Runner) ([]health.Target, []config.Note, error) {
	c := &checks{model: m, run: run, progs: newPrograms(&m.Globals.Scripts)}
	c.loadTLS()
	var out []health.Target
	seen := map[string]bool{}
	for i := range m.Services {
		s := &m.Services[i]
		for k := range s.Reals {
			r := &s.Reals[k]
			key := checkKey(s, r)
			if len(r.Checks) == 0 || seen[key] {
				continue
			}
			seen[key] = true
			t := health.Target{Key: key, Names: health.Names{Server: realName(s, r), Service: serviceName(s)}, Weight: r.Weight}
			for n := range r.Checks {
				t.Checks = append(t.Checks, c.check(s, r, &r.Checks[n])...)
			}
			out = append(out, t)
		}
	}
	return out, c.notes, c.errs.Or()
}

// loadTLS reads the files of the block SSL, if anybody needs them.
func (c *checks) loadTLS() {
	uses := slices.ContainsFunc(c.model.Services, func(s config.Service) bool {
		return slices.ContainsFunc(s.Reals, func(r config.Real) bool {
			return slices.ContainsFunc(r.Checks, func(k config.Check) bool { return k.Kind == config.SSLGet })
		})
	})
	if !uses {
		return
	}
	t, err := health.LoadTLS(health.TLSFiles(c.model.TLS))
	if err != nil {
		c.errs = append(c.errs, config.Error{Message: err.Error(), Fix: "name a PEM file that dirsw can read"})
	}
	c.tls = t
}

// check turns one check into one or, for the hosts of SMTP_CHECK, several.
func (c *checks) check(s *config.Service, r *config.Real, k *config.Check) []health.Check {
	out := health.Check{Kind: health.Kind(k.Kind), LogAll: k.LogAllFailures, Timing: health.Timing{Loop: k.DelayLoop,
		BeforeRetry: k.DelayBeforeRetry, Warmup: k.Warmup, Retry: k.Retry, Alpha: k.Alpha || s.Alpha}}
	d := dial(r, k)
	var err error
	switch k.Kind {
	case config.TCPCheck:
		out.Checker = &health.TCP{Dial: d}
	case config.HTTPGet, config.SSLGet:
		out.Timing.FastRecovery = k.HTTP.FastRecovery
		out.Checker, err = c.http(k, d)
	case config.SMTPCheck:
		return smtp(out, k, d)
	case config.DNSCheck:
		out.Checker, err = dns(k, d)
	case config.UDPCheck:
		out.Checker = udp(k, d)
	case config.PingCheck:
		out.Checker = &health.Ping{Dial: d}
	case config.MiscCheck:
		if out.Checker = c.misc(k); out.Checker == nil {
			return nil
		}
	case config.FileCheck:
		out.Feed = k.File.TrackFile
		out.Scale = scale(c.model, k.File)
	case config.BFDCheck:
		out.Feed = k.BFD.Name
	case config.AgentCheck:
		out.Checker = &health.Agent{Dial: d, Send: k.Agent.Send}
		out.Damp = health.Damp{MinInterval: k.Agent.MinInterval}
		if k.Agent.MaxStep > 0 {
			out.Damp.MaxStep = max(1, r.Weight*k.Agent.MaxStep/100)
		}
	}
	if err != nil {
		c.errs = append(c.errs, config.Error{Pos: k.Pos, Message: err.Error(), Fix: "write another one"})
	}
	return []health.Check{out}
}

func dial(r *config.Real, k *config.Check) health.Dial {
	d := health.Dial{Addr: netip.AddrPortFrom(r.Addr, r.ProbePort()), Bind: netip.AddrPortFrom(k.BindTo, k.BindPort), Device: k.BindIf,
		Mark: k.Mark, Timeout: k.ConnectTimeout}
	if k.ConnectIP.IsValid() {
		d.Addr = netip.AddrPortFrom(k.ConnectIP, d.Addr.Port())
	}
	if k.ConnectPort != 0 {
		d.Addr = netip.AddrPortFrom(d.Addr.Addr(), k.ConnectPort)
	}
	return d
}

func (c *checks) http(k *config.Check, d health.Dial) (health.Checker, error) {
	o := health.HTTPOptions{Dial: d, VirtualHost: k.HTTP.VirtualHost,
		Protocol: [...]health.HTTPProtocol{config.HTTP10: health.HTTP10, config.HTTP10C: health.HTTP10C, config.HTTP11: health.HTTP11}[k.HTTP.Version]}
	if k.Kind == config.SSLGet {
		o.TLS = c.tls.With(k.HTTP.SNI, k.HTTP.ServerName, false)
	}
	for i := range k.HTTP.URLs {
		u := &k.HTTP.URLs[i]
		out := health.URL{Path: u.Path, VirtualHost: u.VirtualHost, Compliant: u.Compliant}
		for _, r := range u.Status {
			out.Status = append(out.Status, health.StatusRange(r))
		}
		if u.Digest != "" {
			out.Digest = new([16]byte)
			if n, err := hex.Decode(out.Digest[:], []byte(u.Digest)); err != nil || n != len(out.Digest) {
				return nil, fmt.Errorf("digest %q: it has 32 hexadecimal digits", u.Digest)
			}
		}
		if u.Regex.Pattern != "" {
			re, err := health.CompileRegex(u.Regex.Pattern, u.Regex.Options)
			if err != nil {
				return nil, err
			}
			re.NoMatch, re.Min = u.Regex.NoMatch, u.Regex.MinOffset
			if u.Regex.MaxOffset > 0 {
				re.Max = u.Regex.MaxOffset
			}
			out.Regex = re
		}
		o.URLs = append(o.URLs, out)
	}
	return health.NewHTTP(o)
}

// smtp makes a check of each host.
func smtp(base health.Check, k *config.Check, d health.Dial) (out []health.Check) {
	if len(k.SMTP.Hosts) == 0 {
		base.Checker = health.NewSMTP(health.SMTPOptions{Dial: d, Helo: k.SMTP.HeloName})
		return []health.Check{base}
	}
	for _, h := range k.SMTP.Hosts {
		at := d
		if h.ConnectIP.IsValid() {
			at.Addr = netip.AddrPortFrom(h.ConnectIP, at.Addr.Port())
		}
		if h.ConnectPort != 0 {
			at.Addr = netip.AddrPortFrom(at.Addr.Addr(), h.ConnectPort)
		}
		if h.BindTo.IsValid() || h.BindPort != 0 {
			at.Bind = netip.AddrPortFrom(h.BindTo, h.BindPort)
		}
		if h.BindIf != "" {
			at.Device = h.BindIf
		}
		if h.Mark != 0 {
			at.Mark = h.Mark
		}
		if h.ConnectTimeout != 0 {
			at.Timeout = h.ConnectTimeout
		}
		one := base
		one.Checker = health.NewSMTP(health.SMTPOptions{Dial: at, Helo: k.SMTP.HeloName})
		out = append(out, one)
	}
	return out
}

func dns(k *config.Check, d health.Dial) (health.Checker, error) {
	t, ok := health.ParseDNSType(k.DNS.Type)
	if !ok {
		return nil, fmt.Errorf("type %q of DNS_CHECK is not known", k.DNS.Type)
	}
	return health.NewDNS(health.DNSOptions{Dial: d, Type: t, Name: k.DNS.Name})
}

func udp(k *config.Check, d health.Dial) health.Checker {
	u := k.UDP
	out := &health.UDP{Dial: d, Payload: u.Payload, Require: u.RequireReply, Reply: u.Reply, Min: u.MinReply, Max: u.MaxReply}
	for _, b := range u.ReplyMask {
		out.Mask = append(out.Mask, ^b) // there a 1 is a bit that does not matter
	}
	return out
}

// misc is nil if the program cannot be run.
func (c *checks) misc(k *config.Check) health.Checker {
	program, err := c.progs.command(&k.Misc.Command, k.Misc.Timeout)
	if err != nil {
		c.notes = append(c.notes, config.Note{Pos: k.Pos, Text: fmt.Sprintf("%v: the check is left out", err)})
		return nil
	}
	program.Output = script.MaxOutput
	return &health.Misc{Runner: c.run, Command: program, Dynamic: k.Misc.Dynamic}
}

// scale is what the number in the file of a FILE_CHECK means.
func scale(m *config.Model, f *config.FileSettings) health.Scale {
	out := health.Scale{Weight: int32(f.Weight), Reverse: f.Reverse}
	if f.HasWeight {
		return out
	}
	for i := range m.VRRP.Files {
		if t := &m.VRRP.Files[i]; t.Name == f.TrackFile {
			out = health.Scale{Weight: int32(t.Weight), Reverse: t.Reverse}
		}
	}
	return out
}
