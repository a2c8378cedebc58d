package keepalived

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"dirsw/config"
)

// mailGlobal reads what global_defs says of mail; it reports false for other keywords.
func (p *parser) mailGlobal(b *block, s *statement, g *config.Globals) bool {
	switch s.name() {
	case "notification_email":
		for _, line := range p.values(s) {
			for _, w := range line.words {
				g.NotificationEmail = append(g.NotificationEmail, w.text)
			}
		}
	case "notification_email_from":
		p.setText(b, s, &g.NotificationEmailFrom)
	case "smtp_server":
		args, ok := p.args(b, s, 1, 2)
		if !ok {
			return true
		}
		g.SMTPServer, g.SMTPPort = args[0].text, 25
		if len(args) > 1 {
			if n, ok := p.integer(args[1], 1, math.MaxUint16); ok {
				g.SMTPPort = uint16(n)
			}
		}
	case "smtp_helo_name":
		p.setText(b, s, &g.SMTPHeloName)
	case "smtp_connect_timeout":
		p.setTime(b, s, 0, longest, &g.SMTPConnectTimeout)
	case "smtp_alert":
		p.setSwitch(b, s, &g.SMTPAlert)
	case "smtp_alert_vrrp":
		p.setSwitch(b, s, &g.SMTPAlertVRRP)
	case "smtp_alert_checker":
		p.setSwitch(b, s, &g.SMTPAlertChecker)
	case "no_email_faults":
		p.setFlag(b, s, &g.NoEmailFaults)
	case "no_checker_emails":
		p.setFlag(b, s, &g.NoCheckerEmails)
	default:
		return false
	}
	return true
}

// scriptGlobal reads what global_defs says of programs; it reports false for other keywords.
func (p *parser) scriptGlobal(b *block, s *statement, g *config.Globals) bool {
	to := &g.Scripts
	switch s.name() {
	case "script_user":
		if args, ok := p.args(b, s, 1, 2); ok {
			to.User, to.Group = account(args)
		}
	case "enable_script_security":
		p.setFlag(b, s, &to.Security)
	case "set_supplementary_groups":
		p.setFlag(b, s, &to.SupplementaryGroups)
	case "startup_script":
		p.setCommand(b, s, &to.Startup)
	case "startup_script_timeout":
		p.setTime(b, s, time.Second, 1000*time.Second, &to.StartupTimeout)
	case "shutdown_script":
		p.setCommand(b, s, &to.Shutdown)
	case "shutdown_script_timeout":
		p.setTime(b, s, time.Second, 1000*time.Second, &to.ShutdownTimeout)
	default:
		return false
	}
	return true
}

// fifoGlobal reads the named pipes; it reports false for other keywords.
func (p *parser) fifoGlobal(b *block, s *statement, g *config.Globals) bool {
	name, script := strings.CutSuffix(s.name(), "_script")
	var to *config.FIFO
	switch name {
	case "notify_fifo":
		to = &g.FIFO
	case "vrrp_notify_fifo":
		to = &g.FIFOVRRP
	case "lvs_notify_fifo":
		to = &g.FIFOLVS
	default:
		return false
	}
	if script {
		p.setCommand(b, s, &to.Script)
		return true
	}
	if args, ok := p.args(b, s, 1, 3); ok {
		to.Path = args[0].text
		to.User, to.Group = account(args[1:])
	}
	return true
}

// dumpGlobal reads where states and counters are written; it reports false for other keywords.
func (p *parser) dumpGlobal(b *block, s *statement, to *config.DumpGlobals) bool {
	switch s.name() {
	case "state_dump_file", "state_file_location":
		p.setText(b, s, &to.State)
	case "stats_dump_file", "stats_file_location":
		p.setText(b, s, &to.Stats)
	case "json_dump_file", "json_file_location":
		p.setText(b, s, &to.JSON)
	case "json_version":
		p.setInt(b, s, 1, 2, &to.JSONVersion)
	case "data_use_instance":
		p.setBool(b, s, &to.UseInstance)
	default:
		return false
	}
	return true
}

// settleGlobals tells what is said in vain, and fills in defaults.
func (p *parser) settleGlobals() {
	g := &p.model.Globals
	seen := map[string]string{}
	for _, f := range []struct {
		name string
		fifo *config.FIFO
	}{{"notify_fifo", &g.FIFO}, {"vrrp_notify_fifo", &g.FIFOVRRP}, {"lvs_notify_fifo", &g.FIFOLVS}} {
		switch {
		case f.fifo.Path == "" && !f.fifo.Script.IsZero():
			p.fail(p.where[f.name+"_script"], "write "+f.name, "%s_script without %s", f.name, f.name)
		case f.fifo.Path == "":
		case seen[f.fifo.Path] != "":
			p.fail(p.where[f.name], "give each a file of its own", "%s has the file of %s", f.name, seen[f.fifo.Path])
		default:
			seen[f.fifo.Path] = f.name
		}
	}
	if len(g.NotificationEmail) > 0 && g.SMTPServer == "" {
		p.note(p.where["notification_email"], "no smtp_server: no mail can be sent")
	}
	if g.SMTPServer != "" && g.SMTPConnectTimeout == 0 {
		g.SMTPConnectTimeout = 30 * time.Second
	}
	for _, t := range []struct {
		command config.Command
		timeout *time.Duration
	}{{g.Scripts.Startup, &g.Scripts.StartupTimeout}, {g.Scripts.Shutdown, &g.Scripts.ShutdownTimeout}} {
		if !t.command.IsZero() && *t.timeout == 0 {
			*t.timeout = 10 * time.Second
		}
	}
}

// setSwitch is boolean, stored as something that was said.
func (p *parser) setSwitch(b *block, s *statement, to *config.Switch) {
	on, ok := p.boolean(b, s)
	switch {
	case ok && on:
		*to = config.On
	case ok:
		*to = config.Off
	}
}

// flushOnStop reads lvs_flush_on_stop [VS].
func (p *parser) flushOnStop(b *block, s *statement, g *config.Globals) {
	args, ok := p.args(b, s, 0, 1)
	switch {
	case !ok:
	case len(args) == 0:
		g.FlushOnStop = "all"
	case args[0].text == "VS":
		g.FlushOnStop = "VS"
	default:
		p.fail(args[0].pos, "write VS, or nothing", "%s after %q", show(args[0].text), s.name())
	}
}

// syncDaemon reads lvs_sync_daemon IF [[inst] INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group ADDRESS].
func (p *parser) syncDaemon(b *block, s *statement, g *config.Globals) {
	args, ok := p.args(b, s, 1, math.MaxInt)
	if !ok {
		return
	}
	if g.Sync != nil {
		p.fail(s.pos(), "keep one of them", "a second lvs_sync_daemon")
		return
	}
	d := &config.SyncGlobals{Pos: s.pos(), Interface: args[0].text, ID: -1}
	for i := 1; i < len(args); i++ {
		w := args[i]
		switch w.text {
		case "inst", "id", "maxlen", "port", "ttl", "group":
			if i++; i == len(args) {
				p.fail(w.pos, "write it on the same line", "%q is missing its value", w.text)
				return
			}
			if !p.syncValue(w.text, args[i], d) {
				return
			}
		default:
			if i > 1 {
				p.fail(w.pos, "write inst, id, maxlen, port, ttl or group", "unknown option %s of lvs_sync_daemon", show(w.text))
				return
			}
			d.Instance = w.text
		}
	}
	if d.ID < 0 && d.Instance == "" {
		d.ID = 0
	}
	g.Sync = d
}

// syncValue reads the value of one option of lvs_sync_daemon.
func (p *parser) syncValue(name string, w token, d *config.SyncGlobals) (ok bool) {
	var n int64
	switch name {
	case "inst":
		d.Instance, ok = w.text, true
	case "id":
		n, ok = p.integer(w, 0, 255)
		d.ID = int(n)
	case "maxlen":
		n, ok = p.integer(w, 1, 65507)
		d.MaxLen = int(n)
	case "port":
		n, ok = p.integer(w, 1, math.MaxUint16)
		d.Port = uint16(n)
	case "ttl":
		n, ok = p.integer(w, 1, 255)
		d.TTL = int(n)
	case "group":
		var a netip.Addr
		if a, ok = p.address(w); ok && !a.IsMulticast() {
			p.fail(w.pos, "write a multicast address", "%s is no multicast address", a)
			return false
		}
		d.Group = a
	}
	return ok
}
