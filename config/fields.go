package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// show writes a value; the zero one of what can be absent is empty.
func show(v any) string {
	switch v := v.(type) {
	case netip.Addr:
		if !v.IsValid() {
			return ""
		}
	case []string:
		return strings.Join(v, " ")
	case time.Duration:
		if v == 0 {
			return ""
		}
	}
	return fmt.Sprint(v)
}

// list makes fields of names and values, in turn.
func list(pairs ...any) []field {
	var out []field
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, field{name: pairs[i].(string), value: show(pairs[i+1])})
	}
	return out
}

func globalFields(g *Globals) []field {
	return list("router_id", g.RouterID, "notification_email", g.NotificationEmail, "notification_email_from", g.NotificationEmailFrom,
		"smtp_server", g.SMTPServer, "smtp_connect_timeout", g.SMTPConnectTimeout,
		"timeout tcp", g.Timeouts.TCP, "timeout tcpfin", g.Timeouts.TCPFin, "timeout udp", g.Timeouts.UDP)
}

func dataplaneFields(d *Dataplane) []field {
	cores := strings.Trim(fmt.Sprint(d.Cores), "[]")
	if d.AutoCores {
		cores = "auto"
	}
	fields := list("interfaces", d.Interfaces, "queues", d.Queues, "workers", d.Workers, "cores", cores, "steer", d.Steer, "mode", d.Mode,
		"zero_copy", d.ZeroCopy, "wait", d.Wait, "connections", d.Connections, "replace_xdp", d.Replace)
	return append(fields, sysctlFields(d)...)
}

func serviceFields(s *Service) []field {
	sorry := ""
	if s.SorryServer != nil {
		sorry = s.SorryServer.Key().String() + " (" + describe(realFields(s.SorryServer)) + ")"
	}
	mask := ""
	if s.Granularity != 0 {
		mask = fmt.Sprintf("/%d", s.Granularity)
	}
	if s.Netmask.IsValid() {
		mask = s.Netmask.String()
	}
	return list("scheduler", s.Scheduler, "flags", s.SchedFlags, "persistence", s.Persistence, "mask", mask, "engine", s.Engine,
		"ops", s.OnePacket, "delay_loop", s.DelayLoop, "quorum", s.Quorum, "hysteresis", s.Hysteresis, "quorum_up", s.QuorumUp,
		"quorum_down", s.QuorumDown, "alpha", s.Alpha, "omega", s.Omega, "ha_suspend", s.HASuspend, "virtualhost", s.VirtualHost,
		"sorry_server", sorry, "sorry_server_inhibit", s.SorryInhibit, "owner", strings.TrimPrefix(s.Origin.String(), "file"))
}

func realFields(r *Real) []field {
	method := r.Method.String()
	if r.Method == TUN {
		method = fmt.Sprintf("TUN %s", r.Tunnel.Type)
		if r.Tunnel.Type != IPIP {
			method = fmt.Sprintf("TUN %s port %d %s", r.Tunnel.Type, r.Tunnel.Port, r.Tunnel.Sum)
		}
	}
	fields := list("method", method, "weight", r.Weight, "uthreshold", r.Upper, "lthreshold", r.Lower, "inhibit_on_failure", r.Inhibit,
		"notify_up", r.NotifyUp, "notify_down", r.NotifyDown, "virtualhost", r.VirtualHost,
		"owner", strings.TrimPrefix(r.Origin.String(), "file"))
	var b strings.Builder
	for _, c := range r.Checks {
		settings := c.Settings
		c.Pos, c.Settings = Pos{}, nil
		fmt.Fprintf(&b, "%+v\n", c)
		writeStatements(&b, settings)
	}
	return append(fields, field{name: "checks", value: b.String()})
}

// writeStatements writes statements without their positions.
func writeStatements(b *strings.Builder, list []Statement) {
	for _, s := range list {
		fmt.Fprintf(b, "%q\n", s.Words)
		if s.Block != nil {
			b.WriteString("{\n")
			writeStatements(b, s.Block)
			b.WriteString("}\n")
		}
	}
}

func instanceFields(in *Instance) []field {
	return append(list("state", in.State, "interface", in.Interface, "virtual_router_id", in.RouterID, "priority", in.Priority,
		"advert_int", in.AdvertInt, "version", in.Version, "auth_type", in.AuthType, "nopreempt", in.NoPreempt,
		"preempt_delay", in.PreemptDelay, "mcast_src_ip", in.McastSrcIP, "unicast_src_ip", in.UnicastSrcIP,
		"unicast_peer", strings.Trim(fmt.Sprint(in.UnicastPeers), "[]")), field{name: "auth_pass", value: in.AuthPass, secret: true})
}

func addressFields(a *VirtualAddress) []field {
	return list("dev", a.Dev, "label", a.Label, "scope", a.Scope, "excluded", a.Excluded)
}

// same reports whether two real servers differ in nothing but their positions. It is what makes Diff of large Models fast:
// the fields become text only where something differs.
func (r *Real) same(o *Real) bool {
	return r.Key() == o.Key() && r.Weight == o.Weight && r.Method == o.Method && (r.Tunnel == o.Tunnel || r.Method != TUN) &&
		r.Upper == o.Upper && r.Lower == o.Lower && r.Inhibit == o.Inhibit && r.NotifyUp == o.NotifyUp && r.NotifyDown == o.NotifyDown &&
		r.VirtualHost == o.VirtualHost && r.Origin == o.Origin && slices.EqualFunc(r.Checks, o.Checks, sameCheck)
}

func sameCheck(a, b Check) bool {
	return a.Kind == b.Kind && a.ConnectIP == b.ConnectIP && a.ConnectPort == b.ConnectPort && a.BindTo == b.BindTo &&
		a.BindPort == b.BindPort && a.BindIf == b.BindIf && a.Mark == b.Mark && a.ConnectTimeout == b.ConnectTimeout && a.Retry == b.Retry &&
		a.DelayBeforeRetry == b.DelayBeforeRetry && a.DelayLoop == b.DelayLoop && a.Warmup == b.Warmup && a.Alpha == b.Alpha &&
		a.LogAllFailures == b.LogAllFailures && slices.EqualFunc(a.Settings, b.Settings, sameStatement)
}

func sameStatement(a, b Statement) bool {
	return slices.Equal(a.Words, b.Words) && (a.Block == nil) == (b.Block == nil) && slices.EqualFunc(a.Block, b.Block, sameStatement)
}
