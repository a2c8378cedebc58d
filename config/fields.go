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

// numbers writes a list of them.
func numbers(list []int) string { return strings.Trim(fmt.Sprint(list), "[]") }

func dataplaneFields(d *Dataplane) []field {
	cores := numbers(d.Cores)
	if d.AutoCores {
		cores = "auto"
	}
	fields := list("interfaces", d.Interfaces, "queues", d.Queues, "workers", d.Workers, "cores", cores, "steer", d.Steer, "mode", d.Mode,
		"zero_copy", d.ZeroCopy, "wait", d.Wait, "connections", d.Connections, "replace_xdp", d.Replace,
		"accelerate", d.Accelerate, "coalesce", d.Coalesce)
	return append(fields, sysctlFields(d)...)
}

func serviceFields(s *Service) []field {
	sorry := ""
	if s.SorryServer != nil {
		sorry = s.SorryServer.Key().String() + " (" + describe(realFields(s.SorryServer)) + ")"
	}
	quorum := field{name: "quorum", empty: "1"} // 0 and 1 are the same
	if s.Quorum > 1 {
		quorum.value = show(s.Quorum)
	}
	mask := ""
	if s.Granularity != 0 {
		mask = fmt.Sprintf("/%d", s.Granularity)
	}
	if s.Netmask.IsValid() {
		mask = s.Netmask.String()
	}
	return append(list("scheduler", s.Scheduler, "flags", s.SchedFlags, "persistence", s.Persistence, "mask", mask, "engine", s.Engine,
		"ops", s.OnePacket, "establish_timeout", s.Established, "expire_quiescent_conn", s.ExpireQuiescent,
		"delay_loop", s.DelayLoop, "hysteresis", s.Hysteresis, "quorum_up", s.QuorumUp,
		"quorum_down", s.QuorumDown, "alpha", s.Alpha, "omega", s.Omega, "ha_suspend", s.HASuspend, "virtualhost", s.VirtualHost,
		"smtp_alert", s.SMTPAlert, "snmp_name", s.SNMPName, "group", s.Group.String(),
		"sorry_server", sorry, "sorry_server_inhibit", s.SorryInhibit, "owner", strings.TrimPrefix(s.Origin.String(), "file")), quorum)
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
		"notify_up", r.NotifyUp, "notify_down", r.NotifyDown, "virtualhost", r.VirtualHost, "smtp_alert", r.SMTPAlert, "snmp_name", r.SNMPName,
		"check port", r.CheckPort,
		"owner", strings.TrimPrefix(r.Origin.String(), "file"))
	var b strings.Builder
	for i := range r.Checks {
		writeCheck(&b, &r.Checks[i])
	}
	return append(fields, field{name: "checks", value: b.String()})
}

// same reports whether two real servers differ in nothing but their positions. It is what makes Diff of large Models fast:
// the fields become text only where something differs.
func (r *Real) same(o *Real) bool {
	return r.Key() == o.Key() && r.Weight == o.Weight && r.Method == o.Method && (r.Tunnel == o.Tunnel || r.Method != TUN) &&
		r.Upper == o.Upper && r.Lower == o.Lower && r.Inhibit == o.Inhibit && r.NotifyUp.Equal(o.NotifyUp) && r.NotifyDown.Equal(o.NotifyDown) &&
		r.VirtualHost == o.VirtualHost && r.SMTPAlert == o.SMTPAlert && r.SNMPName == o.SNMPName &&
		r.CheckPort == o.CheckPort && r.Origin == o.Origin && slices.EqualFunc(r.Checks, o.Checks, Check.Equal)
}
