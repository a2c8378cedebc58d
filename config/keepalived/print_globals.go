package keepalived

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"dirsw/config"
)

func (p *printer) globals(g *config.Globals) {
	if reflect.ValueOf(*g).IsZero() {
		return
	}
	p.block(func() {
		p.text("router_id", g.RouterID)
		p.mailGlobals(g)
		p.scriptGlobals(&g.Scripts)
		p.flag("rs_init_notifies", g.RSInitNotifies)
		p.flag("fifo_write_vrrp_states_on_reload", g.FIFOReload)
		p.fifo("notify_fifo", &g.FIFO)
		p.fifo("vrrp_notify_fifo", &g.FIFOVRRP)
		p.fifo("lvs_notify_fifo", &g.FIFOLVS)
		p.flag("checker_log_all_failures", g.LogAllFailures)
		p.vrrpGlobals(&g.VRRP)
		p.text("default_interface", g.Interfaces.Default)
		switch i := &g.Interfaces; {
		case i.AllowChanges:
			p.line("dynamic_interfaces", "allow_if_changes")
		case i.Dynamic:
			p.line("dynamic_interfaces")
		}
		p.flag("disable_local_igmp", g.Interfaces.DisableLocalIGMP)
		p.lvsGlobals(g)
		p.text("state_dump_file", g.Dump.State)
		p.text("stats_dump_file", g.Dump.Stats)
		p.text("json_dump_file", g.Dump.JSON)
		p.number("json_version", int64(g.Dump.JSONVersion))
		p.flag("data_use_instance", g.Dump.UseInstance)
	}, "global_defs")
}

func (p *printer) mailGlobals(g *config.Globals) {
	if len(g.NotificationEmail) > 0 {
		p.block(func() {
			for _, a := range g.NotificationEmail {
				p.value(a)
			}
		}, "notification_email")
	}
	p.text("notification_email_from", g.NotificationEmailFrom)
	if g.SMTPServer != "" {
		p.line("smtp_server", g.SMTPServer, strconv.Itoa(int(g.SMTPPort)))
	}
	p.text("smtp_helo_name", g.SMTPHeloName)
	p.time("smtp_connect_timeout", g.SMTPConnectTimeout)
	p.text("smtp_alert", g.SMTPAlert.String())
	p.text("smtp_alert_vrrp", g.SMTPAlertVRRP.String())
	p.text("smtp_alert_checker", g.SMTPAlertChecker.String())
	p.flag("no_email_faults", g.NoEmailFaults)
	p.flag("no_checker_emails", g.NoCheckerEmails)
}

func (p *printer) scriptGlobals(s *config.ScriptGlobals) {
	if s.User != "" {
		p.line(trailing("script_user", s.User, s.Group)...)
	}
	p.flag("enable_script_security", s.Security)
	p.flag("set_supplementary_groups", s.SupplementaryGroups)
	p.command("startup_script", s.Startup)
	p.time("startup_script_timeout", s.StartupTimeout)
	p.command("shutdown_script", s.Shutdown)
	p.time("shutdown_script_timeout", s.ShutdownTimeout)
}

// trailing leaves out the empty words at the end.
func trailing(words ...string) []string {
	for len(words) > 0 && words[len(words)-1] == "" {
		words = words[:len(words)-1]
	}
	return words
}

// command writes a keyword and the program that it runs.
func (p *printer) command(keyword string, c config.Command) {
	if c.IsZero() {
		return
	}
	p.indent()
	p.w.WriteString(keyword + " " + quoteAll(c.Line()))
	for _, w := range trailing(c.User, c.Group) {
		p.w.WriteString(" " + quote(w))
	}
	p.w.WriteByte('\n')
}

// program writes a keyword and its program, and the user in a line of its own.
func (p *printer) program(keyword string, c config.Command) {
	p.command(keyword, config.Command{Args: c.Args})
	if c.User != "" {
		p.line(trailing("user", c.User, c.Group)...)
	}
}

// escaped writes a keyword that knows escapes, and its text unless that is empty.
func (p *printer) escaped(keyword, value string) {
	if value == "" {
		return
	}
	var b strings.Builder
	for i := 0; i < len(value); {
		r, size := utf8.DecodeRuneInString(value[i:])
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + value[i:i+1])
		case r < ' ' || r == 0x7F || r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\%03o`, value[i])
		default:
			b.WriteString(value[i : i+size])
		}
		i += size
	}
	p.indent()
	p.w.WriteString(keyword + ` "` + b.String() + "\"\n")
}

func (p *printer) fifo(keyword string, f *config.FIFO) {
	if f.Path != "" {
		p.line(trailing(keyword, f.Path, f.User, f.Group)...)
	}
	p.command(keyword+"_script", f.Script)
}

func (p *printer) lvsGlobals(g *config.Globals) {
	p.flag("lvs_flush", g.Flush)
	switch g.FlushOnStop {
	case "":
	case "VS":
		p.line("lvs_flush_on_stop", "VS")
	default:
		p.line("lvs_flush_on_stop")
	}
	if t := g.Timeouts; t != (config.Timeouts{}) {
		p.line("lvs_timeouts", "tcp", whole(t.TCP), "tcpfin", whole(t.TCPFin), "udp", whole(t.UDP))
	}
	d := g.Sync
	if d == nil {
		return
	}
	words := []string{"lvs_sync_daemon", d.Interface}
	if d.Instance != "" {
		words = append(words, "inst", d.Instance)
	}
	if d.ID >= 0 {
		words = append(words, "id", strconv.Itoa(d.ID))
	}
	for _, e := range []struct {
		name  string
		value int
	}{{"maxlen", d.MaxLen}, {"port", int(d.Port)}, {"ttl", d.TTL}} {
		if e.value != 0 {
			words = append(words, e.name, strconv.Itoa(e.value))
		}
	}
	if d.Group.IsValid() {
		words = append(words, "group", d.Group.String())
	}
	p.line(words...)
}

// whole writes whole seconds.
func whole(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func (p *printer) tls(t *config.TLSClient) {
	if *t == (config.TLSClient{}) {
		return
	}
	p.block(func() {
		p.text("password", t.Password)
		p.text("ca", t.CA)
		p.text("certificate", t.Certificate)
		p.text("key", t.Key)
	}, "SSL")
}
