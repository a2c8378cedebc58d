package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"dirsw/clock"
	"dirsw/ctl"
	"dirsw/vrrp"
)

const vrrpUsage = `usage: dirsw vrrp [--socket PATH] [-json]

Instances and sync groups of the running director: who is master, by which priority, and what was heard and refused.
  -json  the same with the names that keepalived's own JSON has
`

// cmdVRRP shows the election of a running director.
func cmdVRRP(args []string, stdout, stderr io.Writer) int {
	return ask("vrrp", vrrpUsage, args, stdout, stderr)
}

// ask has the running director carry out a command that only shows something.
func ask(verb, usage string, args []string, stdout, stderr io.Writer) int {
	socket, rest := socketOf(args)
	for _, a := range rest {
		switch a {
		case "-h", "--help":
			fmt.Fprint(stdout, usage)
			return exitOK
		case "-json", "--json":
		default:
			fmt.Fprintf(stderr, "dirsw %s: what is %q?\n%s", verb, a, usage)
			return exitUsage
		}
	}
	c, err := ctl.Dial(socket)
	if err != nil {
		return fail(stderr, verb, err)
	}
	stdoutText, stderrText, code, err := c.Do(verb, rest, "")
	if err != nil {
		return fail(stderr, verb, err)
	}
	fmt.Fprint(stdout, stdoutText)
	fmt.Fprint(stderr, stderrText)
	return code
}

// vrrp answers the command inside the director.
func (b *backend) vrrp(args []string) ctl.Outcome {
	instances, groups := b.d.Election()
	now := b.plane.clock.Now()
	var out strings.Builder
	if len(args) > 0 {
		e := json.NewEncoder(&out)
		e.SetIndent("", "  ")
		if err := e.Encode(instancesJSON(instances, now, time.Now())); err != nil {
			return ctl.Outcome{Stderr: err.Error() + "\n", Exit: exitFailed}
		}
		return ctl.Outcome{Stdout: out.String()}
	}
	printInstances(&out, instances, groups, now)
	for why, n := range b.d.StrayAdverts() {
		if n > 0 {
			fmt.Fprintf(&out, "%d adverts were for no instance of this host: %v\n", n, vrrp.Reject(why))
		}
	}
	return ctl.Outcome{Stdout: out.String()}
}

// printInstances writes a line for each instance, and below it what is out of the ordinary.
func printInstances(out io.Writer, instances []vrrp.InstanceState, groups []vrrp.GroupState, now clock.Mono) {
	if len(instances) == 0 {
		fmt.Fprintln(out, "there is no vrrp_instance")
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "INSTANCE\tINTERFACE\tVRID\tSTATE\tPRIORITY\tMASTER\tSINCE\tSENT\tHEARD\tLATE")
	for i := range instances {
		in := &instances[i]
		since := "-"
		if in.LastTransition != 0 {
			since = now.Sub(in.LastTransition).Round(time.Second).String()
		}
		prio := fmt.Sprint(in.Priority)
		if in.Priority != in.BasePriority {
			prio = fmt.Sprintf("%d of %d", in.Priority, in.BasePriority)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%v\t%s\t%s\t%s\t%d\t%d\t%v\n", in.Config.Name, in.Config.Interface, in.Config.VRID, in.State, prio,
			master(in), since, in.Stats.AdvertSent, in.Stats.AdvertRcvd, in.Stats.Late.Max.Round(time.Microsecond))
	}
	w.Flush()
	for i := range instances {
		for _, line := range troubles(&instances[i]) {
			fmt.Fprintf(out, "%s: %s\n", instances[i].Config.Name, line)
		}
	}
	for i := range groups {
		g := &groups[i]
		fmt.Fprintf(out, "group %s: %v (%s)%s\n", g.Config.Name, g.State, strings.Join(g.Config.Members, " "), groupFaults(g, instances))
	}
}

// groupFaults says because of which members a group is in FAULT: the others are so only because it is.
func groupFaults(g *vrrp.GroupState, instances []vrrp.InstanceState) string {
	var why []string
	for i := range instances {
		in := &instances[i]
		if g.State == vrrp.Fault && slices.Contains(g.Config.Members, in.Config.Name) && len(in.Faults) > 0 {
			why = append(why, in.Config.Name+": "+strings.Join(in.Faults, ", "))
		}
	}
	if len(why) == 0 {
		return ""
	}
	return " because of " + strings.Join(why, "; ")
}

// master says who is master, as far as the instance knows.
func master(in *vrrp.InstanceState) string {
	switch {
	case in.State == vrrp.Master:
		return "this host"
	case in.Master.IsValid():
		return fmt.Sprintf("%v (%d)", in.Master, in.MasterPriority)
	}
	return "-"
}

// troubles are what an operator should look at.
func troubles(in *vrrp.InstanceState) (out []string) {
	if in.SplitBrain {
		out = append(out, fmt.Sprintf("SPLIT BRAIN: %v is master as well", in.Master))
	}
	for _, way := range in.Quiet {
		out = append(out, fmt.Sprintf("nothing is heard by %s, only by another way", way))
	}
	for _, f := range in.Faults {
		out = append(out, "fault: "+f)
	}
	for _, t := range in.Tracks {
		state := "down"
		switch {
		case !t.State.Known:
			state = "not known yet"
		case t.Track.Kind == vrrp.TrackFile:
			state = fmt.Sprint(t.State.Value)
		case t.State.Up:
			state = "up"
		}
		out = append(out, fmt.Sprintf("tracks %v %s, weight %d: %s", t.Track.Kind, t.Track.Name, t.Track.Weight, state))
	}
	for why, n := range in.Stats.Rejects {
		if n > 0 {
			out = append(out, fmt.Sprintf("refused %d adverts: %v", n, vrrp.Reject(why)))
		}
	}
	if n := in.Stats.SplitBrain; n > 0 {
		out = append(out, fmt.Sprintf("heard %d adverts of another master while master", n))
	}
	if n := in.Stats.SendErrors + in.Stats.EffectErrors; n > 0 {
		out = append(out, fmt.Sprintf("%d adverts could not be sent, %d addresses, routes or rules not be set", in.Stats.SendErrors, in.Stats.EffectErrors))
	}
	if n := in.Stats.Late.Stalls; n > 0 {
		out = append(out, fmt.Sprintf("%d adverts left late, the latest by %v", n, in.Stats.Late.Max))
	}
	return out
}

// instancesJSON has the keys of keepalived's JSON dump (vrrp_json.c), so that what reads that reads this.
func instancesJSON(list []vrrp.InstanceState, now clock.Mono, today time.Time) []map[string]any {
	out := []map[string]any{}
	for i := range list {
		in := &list[i]
		c, s := &in.Config, &in.Stats
		transition := 0.0
		if in.LastTransition != 0 {
			transition = float64(today.Add(-now.Sub(in.LastTransition)).UnixMicro()) / 1e6
		}
		vips, evips := addresses(in, c.Addresses), addresses(in, c.Excluded)
		vmac := ""
		if c.VMAC != nil {
			vmac = c.VMAC.Name
		}
		r := &s.Rejects
		out = append(out, map[string]any{
			"data": map[string]any{
				"iname": c.Name, "dont_track_primary": bit(c.DontTrackPrimary), "skip_check_adv_addr": bit(c.SkipCheckAdvAddr),
				"strict_mode": bit(c.Strict), "vmac_ifname": vmac, "ifp_ifname": c.Interface, "master_priority": in.MasterPriority,
				"last_transition": transition, "garp_delay": c.GARP.Delay.Seconds(), "garp_refresh": c.GARP.Refresh.Seconds(),
				"garp_rep": c.GARP.Repeat, "garp_refresh_rep": c.GARP.RefreshRepeat, "garp_lower_prio_delay": c.GARP.LowerDelay.Seconds(),
				"garp_lower_prio_rep": c.GARP.LowerRepeat, "lower_prio_no_advert": bit(c.LowerPrioNoAdvert),
				"higher_prio_send_advert": bit(c.HigherPrioAdvert), "vrid": c.VRID, "base_priority": in.BasePriority,
				"effective_priority": in.Priority, "vipset": in.VIPSet, "vips": vips, "evips": evips,
				"adver_int": c.Interval.Seconds(), "master_adver_int": in.MasterInterval.Seconds(), "accept": bit(!c.NoAccept),
				"nopreempt": c.NoPreempt, "preempt_delay": c.PreemptDelay.Seconds(), "state": in.State, "wantstate": in.Want,
				"version": c.Version,
			},
			"stats": map[string]any{
				"advert_rcvd": s.AdvertRcvd, "advert_sent": s.AdvertSent, "become_master": s.BecomeMaster, "release_master": s.ReleaseMaster,
				"packet_len_err": r[vrrp.RejectLength], "advert_interval_err": s.IntervalErr + r[vrrp.RejectInterval], "ip_ttl_err": r[vrrp.RejectTTL],
				"invalid_type_rcvd": r[vrrp.RejectType], "addr_list_err": s.AddrListErr, "invalid_authtype": r[vrrp.RejectAuthUnknown],
				"authtype_mismatch": r[vrrp.RejectAuthType], "auth_failure": r[vrrp.RejectAuthData], "pri_zero_rcvd": s.PriZeroRcvd,
				"pri_zero_sent": s.PriZeroSent, "split_brain": s.SplitBrain, "late_max_us": s.Late.Max.Microseconds(), "late_stalls": s.Late.Stalls,
			},
		})
	}
	return out
}

// addresses are those of an instance as keepalived's dumps write them.
func addresses(in *vrrp.InstanceState, list []vrrp.Address) []string {
	out := []string{}
	for _, a := range list {
		text := a.Prefix.String()
		if a.Prefix.IsSingleIP() {
			text = a.Prefix.Addr().String()
		}
		link := a.Link
		if link == "" {
			link = in.Config.OwnLink()
		}
		text += " dev " + link + " scope " + scopeName(a.Scope)
		if in.VIPSet {
			text += " set"
		}
		out = append(out, text)
	}
	return out
}

// scopeName is how ip(8) calls a scope.
func scopeName(n uint8) string {
	names := map[uint8]string{0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
	if name, ok := names[n]; ok {
		return name
	}
	return fmt.Sprint(n)
}

// bit is a switch as keepalived's JSON writes it.
func bit(on bool) int {
	if on {
		return 1
	}
	return 0
}
