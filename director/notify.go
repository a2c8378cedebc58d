package director

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/mail"
	"dirsw/notify"
	"dirsw/script"
	"dirsw/vrrp"
)

// Audience is who is told of what, by programs and pipes, for a model. Programs that cannot be run are left out with a note.
func Audience(m *config.Model) (notify.Config, []config.Note) {
	a := &audience{model: m, progs: newPrograms(&m.Globals.Scripts)}
	for i := range m.Instances {
		in := &m.Instances[i]
		a.out.VRRP = append(a.out.VRRP, a.vrrp(in.Pos, false, in.Name, &in.Notify, in.SMTPAlert))
	}
	for i := range m.VRRP.Groups {
		g := &m.VRRP.Groups[i]
		a.out.VRRP = append(a.out.VRRP, a.vrrp(g.Pos, true, g.Name, &g.Notify, g.SMTPAlert))
	}
	seen := map[string]bool{}
	for i := range m.Services {
		s := &m.Services[i]
		if seen[unitKey(s)] {
			continue
		}
		seen[unitKey(s)] = true
		a.out.Services = append(a.out.Services, notify.Service{Name: serviceName(s), Mail: s.SMTPAlert,
			Up: a.program(s.Pos, &s.QuorumUp), Down: a.program(s.Pos, &s.QuorumDown)})
		for k := range s.Reals {
			r := &s.Reals[k]
			a.out.Reals = append(a.out.Reals, notify.Real{Service: serviceName(s), Name: realName(s, r), Mail: r.SMTPAlert,
				Up: a.program(r.Pos, &r.NotifyUp), Down: a.program(r.Pos, &r.NotifyDown)})
		}
	}
	g := &m.Globals
	a.out.All, a.out.Instances, a.out.Servers = a.fifo(&g.FIFO), a.fifo(&g.FIFOVRRP), a.fifo(&g.FIFOLVS)
	a.out.NoFaultMail = g.NoEmailFaults
	return a.out, a.notes
}

type audience struct {
	model *config.Model
	progs *programs
	out   notify.Config
	notes []config.Note
}

// program is nil if there is none, or it cannot be run.
func (a *audience) program(at config.Pos, c *config.Command) *script.Command {
	if c.IsZero() {
		return nil
	}
	out, err := a.progs.command(c, 0)
	if err != nil {
		a.notes = append(a.notes, config.Note{Pos: at, Text: fmt.Sprintf("%v: it is not run", err)})
		return nil
	}
	return &out
}

func (a *audience) vrrp(at config.Pos, group bool, name string, n *config.Notify, alert bool) notify.VRRP {
	return notify.VRRP{Group: group, Name: name, Master: a.program(at, &n.Master), Backup: a.program(at, &n.Backup), Fault: a.program(at, &n.Fault),
		Stop: a.program(at, &n.Stop), Deleted: a.program(at, &n.Deleted), RxLower: a.program(at, &n.LowerPriority), Any: a.program(at, &n.Any),
		Mail: alert, TellDeleted: n.TellDeleted, TellPriority: n.PriorityChanges}
}

func (a *audience) fifo(f *config.FIFO) notify.FIFO {
	out := notify.FIFO{Path: f.Path, Reader: a.program(config.Pos{}, &f.Script)}
	if f.User != "" {
		u, err := script.LookupUser(f.User, f.Group, false)
		if err != nil {
			a.notes = append(a.notes, config.Note{Text: fmt.Sprintf("%s: %v", f.Path, err)})
		}
		out.User = u
	}
	return out
}

// Mails is where alerts go for a model.
func Mails(m *config.Model) mail.Config {
	g := &m.Globals
	return mail.Config{Server: g.SMTPServer, Port: g.SMTPPort, Helo: g.SMTPHeloName, From: g.NotificationEmailFrom, To: g.NotificationEmail,
		RouterID: g.RouterID, Timeout: g.SMTPConnectTimeout}
}

// tellWhom says who is told of what from now on.
func (d *Director) tellWhom(m *config.Model) error {
	c, notes := Audience(m)
	for _, n := range notes {
		d.o.Log.Warn(n.Text, zap.Stringer("at", n.Pos))
	}
	d.mailer.Configure(Mails(m))
	return d.notifier.Set(c)
}

// notice is told by the election, on its thread, of what happens to an instance or a group. It does not wait for anybody: what
// is to be told goes to the herald, for who reads the log or a pipe may make it wait.
func (d *Director) notice(n vrrp.Notice) {
	if n.Kind == vrrp.StateChanged {
		if !n.Group && n.New != vrrp.Master {
			d.uncrown(n.Name)
		}
		d.Wake() // services may begin or end to be suspended
	}
	d.notices.put(n)
}

// herald tells others what the election says.
func (d *Director) herald(n vrrp.Notice) {
	e := notify.Event{Group: n.Group, Name: n.Name, Priority: int(n.Priority)}
	switch n.Kind {
	case vrrp.StateChanged:
		e.State = notify.State(n.New.String())
	case vrrp.StateNow:
		e.State = notify.State(n.New.String())
		d.notifier.Repeat(e)
		return
	case vrrp.LowerPriority:
		e.State = notify.MasterRxLower
	case vrrp.PriorityChanged:
		e.State = notify.BackupPriority
		if n.New == vrrp.Master {
			e.State = notify.MasterPriority
		}
	default:
		d.trouble(n)
		return
	}
	d.notifier.VRRP(e)
}

// trouble tells of what no keepalived would say: two masters, and adverts of others with other settings.
func (d *Director) trouble(n vrrp.Notice) {
	at := []zap.Field{zap.String("instance", n.Name), zap.String("why", n.Why)}
	if n.Peer.IsValid() {
		at = append(at, zap.Stringer("peer", n.Peer))
	}
	switch n.Kind {
	case vrrp.SplitBrain:
		d.o.Log.Error("split brain: another master is heard", at...)
		d.alarmSplit(n.Name, "SPLIT_BRAIN", n.Peer.String())
	case vrrp.SplitHealed:
		d.o.Log.Info("split brain has ended", at...)
		d.alarmSplit(n.Name, "HEALED", n.Peer.String())
	case vrrp.Conflict:
		d.o.Log.Warn("somebody uses the virtual_router_id of an instance with other settings", append(at, zap.Stringer("reject", n.Reject))...)
		d.alarmSplit(n.Name, "CONFLICT", n.Peer.String())
	case vrrp.Stalled:
		d.o.Log.Warn("an advert left late", append(at, zap.Duration("late", n.Late))...)
	}
}

// tell logs what has happened to servers and services, and notifies who is to be told.
func (d *Director) tell(told []happening) {
	for i := range told {
		h := &told[i]
		if h.text != "" {
			d.o.Log.Info(h.text)
		}
		switch h.kind {
		case realUp, realDown:
			d.notifier.Real(serviceName(h.service), realName(h.service, h.real), h.kind == realUp, h.why)
		case checked:
			d.notifier.Check(serviceName(h.service), realName(h.service, h.real), h.up, h.why)
		case quorumUp, quorumDown:
			d.notifier.Quorum(serviceName(h.service), h.kind == quorumUp, h.first, max(h.service.Quorum, 1), h.service.Hysteresis, h.weight)
		}
	}
}

// once runs the startup_script or the shutdown_script.
func (d *Director) once(what string, c *config.Command, g *config.ScriptGlobals) {
	if c.IsZero() {
		return
	}
	limit := g.StartupTimeout
	if what == "shutdown" {
		limit = g.ShutdownTimeout
	}
	program, err := newPrograms(g).command(c, limit)
	if err == nil {
		err = d.notifier.Once(context.Background(), what, program)
	}
	if err != nil && !errors.Is(err, notify.ErrOnce) { // which the notifier has told
		d.o.Log.Warn("the "+what+"_script cannot be run", zap.Error(err))
	}
}
