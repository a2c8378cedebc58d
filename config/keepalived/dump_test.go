package keepalived

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dirsw/config"
)

// TestAgreesWithKeepalived compares what Parse makes of testdata/dump/*.conf with the data that keepalived 2.2.7 wrote of
// the same files (SIGUSR1), in the words of that dump.
func TestAgreesWithKeepalived(t *testing.T) {
	files, _ := filepath.Glob("testdata/dump/*.conf")
	if len(files) == 0 {
		t.Fatal("no configurations under testdata/dump")
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".conf"), func(t *testing.T) {
			src, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(strings.TrimSuffix(f, ".conf") + ".data")
			if err != nil {
				t.Fatal(err)
			}
			m, _, err := Parse(filepath.Base(f), strings.NewReader(string(src)), nil)
			if err != nil {
				t.Fatal(err)
			}
			dumps := sections(string(data), " VRRP Instance = ")
			if len(dumps) != len(m.Instances) {
				t.Fatalf("got %d instances, want %d", len(m.Instances), len(dumps))
			}
			for i := range m.Instances {
				in := &m.Instances[i]
				want := instanceDump(in)
				// Until the dump was written, nobody was elected but the quick, and some had what they track down.
				if in.AdvertInt >= time.Second && in.Priority < 255 && !slices.Contains(dumps[in.Name], "Wantstate = FAULT") {
					want = append(want, "Wantstate = "+in.State)
				}
				agree(t, "instance "+in.Name, want, dumps[in.Name])
			}
			scripts := sections(string(data), " VRRP Script = ")
			for i := range m.VRRP.Scripts {
				s := &m.VRRP.Scripts[i]
				agree(t, "script "+s.Name, []string{fmt.Sprintf("Interval = %d sec", s.Interval/time.Second), "Weight = " + weighty(s.Weight, s.Reverse),
					fmt.Sprintf("Rise = %d", s.Rise), fmt.Sprintf("Fall = %d", s.Fall)}, scripts[s.Name])
			}
			groups := sections(string(data), " VRRP Sync Group = ")
			for i := range m.VRRP.Groups {
				if g := &m.VRRP.Groups[i]; groups[g.Name] != nil { // keepalived drops a group of whose instances none is left
					agree(t, "group "+g.Name, trackDump(g.Tracks), groups[g.Name])
				}
			}
		})
	}
}

// sections returns the lines of each section that begins with the words, by what follows them.
func sections(data, words string) map[string][]string {
	out := map[string][]string{}
	name := ""
	for line := range strings.SplitSeq(data, "\n") {
		if rest, ok := strings.CutPrefix(line, words); ok {
			name, _, _ = strings.Cut(rest, ",")
			out[name] = []string{""}
		} else if !strings.HasPrefix(line, "   ") {
			name = ""
		} else if name != "" {
			out[name] = append(out[name], strings.TrimSpace(line))
		}
	}
	return out
}

// agree requires each line of got to be in the dump, and each line of the dump that begins as one that could be in got.
func agree(t *testing.T, what string, got, dump []string) {
	t.Helper()
	for _, line := range got {
		if !slices.Contains(dump, line) {
			t.Errorf("%s: got %q, and keepalived's dump has not", what, line)
		}
	}
	for _, line := range dump {
		for _, head := range []string{"Preempt delay", "Unicast TTL", "Check unicast", "Authentication type = S", "Authentication type = I",
			"Use VMAC", "VRRP interface tracking", "Enforcing strict"} {
			if strings.HasPrefix(line, head) && !slices.Contains(got, line) {
				t.Errorf("%s: keepalived's dump has %q", what, line)
			}
		}
		if strings.Contains(line, "weight") && !strings.Contains(line, "dev") && !slices.Contains(got, line) && !strings.Contains(what, "script ") {
			t.Errorf("%s: keepalived tracks %q", what, line)
		}
	}
}

func enabled(on bool) string { return map[bool]string{true: "enabled", false: "disabled"}[on] }

func weighty(n int, reverse bool) string {
	if reverse {
		return fmt.Sprintf("%d reverse", n)
	}
	return fmt.Sprint(n)
}

// instanceDump writes an instance in the words of keepalived's dump.
func instanceDump(in *config.Instance) []string {
	lines := []string{fmt.Sprintf("VRRP Version = %d", in.Version), fmt.Sprintf("Virtual Router ID = %d", in.RouterID),
		fmt.Sprintf("Priority = %d", in.Priority), "Accept = " + enabled(in.Accept), "Preempt = " + enabled(!in.NoPreempt),
		"Promote_secondaries = " + enabled(in.PromoteSecondaries),
		fmt.Sprintf("Gratuitous ARP delay = %d", in.Garp.Delay/time.Second), fmt.Sprintf("Gratuitous ARP repeat = %d", in.Garp.Repeat),
		fmt.Sprintf("Gratuitous ARP refresh = %d", in.Garp.Refresh/time.Second),
		fmt.Sprintf("Gratuitous ARP refresh repeat = %d", in.Garp.RefreshRepeat),
		fmt.Sprintf("Gratuitous ARP lower priority delay = %d", in.Garp.LowerPrioDelay/time.Second),
		fmt.Sprintf("Gratuitous ARP lower priority repeat = %d", in.Garp.LowerPrioRepeat),
		fmt.Sprintf("Down timer adverts = %d", in.DownAdverts),
		fmt.Sprintf("Send advert after receive lower priority advert = %t", !in.LowerSilent),
		fmt.Sprintf("Send advert after receive higher priority advert = %t", in.HigherAnswer),
		"Using smtp notification = " + map[bool]string{true: "yes", false: "no"}[in.SMTPAlert],
		"Notify deleted = " + map[bool]string{true: "Deleted", false: "Fault"}[in.Notify.TellDeleted],
		fmt.Sprintf("Notify priority changes = %t", in.Notify.PriorityChanges),
	}
	interval := fmt.Sprintf("Advert interval = %d milli-sec", in.AdvertInt/time.Millisecond)
	if in.Version == 2 {
		interval = fmt.Sprintf("Advert interval = %d sec", in.AdvertInt/time.Second)
	}
	lines = append(lines, interval)
	if in.PreemptDelay > 0 {
		lines = append(lines, fmt.Sprintf("Preempt delay = %g secs", in.PreemptDelay.Seconds()))
	}
	if in.Strict {
		lines = append(lines, "Enforcing strict VRRP compliance")
	}
	if in.DontTrackPrimary {
		lines = append(lines, "VRRP interface tracking disabled")
	}
	switch in.AuthType {
	case "PASS":
		lines = append(lines, "Authentication type = SIMPLE_PASSWORD")
	case "AH":
		lines = append(lines, "Authentication type = IPSEC_AH")
	}
	lines = append(lines, pathDump(in)...)
	lines = append(lines, trackDump(in.Tracks)...)
	for i := range in.Rules {
		lines = append(lines, ruleDump(&in.Rules[i]))
	}
	return lines
}

// pathDump writes where adverts go to and what is held.
func pathDump(in *config.Instance) []string {
	var lines []string
	link := in.Interface
	if v := in.VMAC; v.Use {
		link = v.Name + "@" + in.Interface
		lines = append(lines, fmt.Sprintf("Use VMAC, i/f name %s, is_up = true, xmit_base = %t", v.Name, v.XmitBase))
		if v.MAC != (config.MAC{}) {
			lines = append(lines, "MAC = "+v.MAC.String()+" (using VRID)")
		}
	}
	if len(in.UnicastPeers) > 0 {
		lines = append(lines, fmt.Sprintf("Unicast TTL = %d", in.UnicastTTL), "Check unicast src : "+map[bool]string{true: "yes", false: "no"}[in.CheckPeers])
		for _, p := range in.UnicastPeers {
			lines = append(lines, fmt.Sprintf("%s min_ttl %d max_ttl %d", p.Addr, p.MinTTL, p.MaxTTL))
		}
	}
	for i := range in.Addresses {
		a, on := &in.Addresses[i], link
		if a.VMAC != "" {
			on = a.VMAC + "@" + or(a.Dev, in.Interface)
		}
		lines = append(lines, addressDump(a, on))
	}
	return lines
}

func addressDump(a *config.VirtualAddress, link string) string {
	s := strings.TrimSuffix(strings.TrimSuffix(a.Prefix.String(), "/32"), "/128")
	if a.Broadcast.IsValid() {
		s += " brd " + a.Broadcast.String()
	}
	if a.Dev != "" && !strings.HasSuffix(link, "@"+a.Dev) {
		link = a.Dev
	}
	scope := strings.Replace(a.Scope, "200", "site", 1)
	if scope == "" {
		scope = "global"
	}
	s += " dev " + link
	if a.UseVMAC {
		s += " use_vmac"
	}
	s += " scope " + scope
	if a.Label != "" {
		s += " label " + a.Label
	}
	if a.Peer.IsValid() {
		s += " peer " + a.Peer.String()
	}
	for _, f := range []struct {
		on   bool
		word string
	}{{a.Home, " home"}, {a.NoDAD, " -nodad"}, {a.ManageTemp, " mngtmpaddr"}, {a.NoPrefixRoute, " noprefixroute"}, {a.AutoJoin, " autojoin"}} {
		if f.on {
			s += f.word
		}
	}
	switch {
	case !a.Prefix.Addr().Is6():
	case a.Deprecated:
		s += " deprecated"
	case a.PreferredLft > 0:
		s += fmt.Sprintf(" preferred_lft %d", a.PreferredLft/time.Second)
	default:
		s += " preferred_lft forever"
	}
	return s
}

// trackDump writes what is tracked. The dump sets the name of some kinds apart by a comma.
func trackDump(list []config.Track) []string {
	var lines []string
	for _, t := range list {
		mark := map[config.TrackKind]string{config.TrackOfFile: ",", config.TrackOfProcess: ",", config.TrackBFD: ":"}[t.Kind]
		lines = append(lines, fmt.Sprintf("%s%s weight %s", t.Name, mark, weighty(t.Weight, t.Reverse)))
	}
	return lines
}

// ruleDump writes a rule; the dump names tables by their numbers.
func ruleDump(r *config.Rule) string {
	var b strings.Builder
	from, to := r.From.String(), ""
	if !r.From.IsValid() {
		from = "all"
		if r.IPv6 && !r.To.IsValid() {
			b.WriteString("inet6 ")
		}
	}
	if r.Not {
		b.WriteString("not ")
	}
	if r.To.IsValid() {
		to = " to " + r.To.String()
	}
	fmt.Fprintf(&b, "from %s%s priority %d tos %#x", from, to, r.Priority, r.TOS)
	if r.Mask != 0 {
		fmt.Fprintf(&b, " fwmark %#x", r.Mark)
		if r.Mask != 1<<32-1 {
			fmt.Fprintf(&b, "/%#x", r.Mask)
		}
	}
	for _, w := range [][2]string{{" iif ", r.IIF}, {" oif ", r.OIF}, {" uidrange ", r.UIDs.String()}} {
		if w[1] != "" {
			b.WriteString(w[0] + w[1])
		}
	}
	if r.L3MDev {
		b.WriteString(" l3mdev")
	}
	if !r.NoTrack {
		b.WriteString(" protocol 18")
	}
	if r.IPProto == "udp" {
		b.WriteString(" ipproto 17 sport " + r.SrcPorts.String() + " dport " + r.DstPorts.String())
	}
	switch r.Action {
	case "goto":
		fmt.Fprintf(&b, " goto %d", r.Goto)
	case "lookup":
		n, _ := config.WellKnownTable(r.Table)
		if r.L3MDev {
			n = 0
		}
		fmt.Fprintf(&b, " lookup %d", n)
	case "nop":
		b.WriteString(" nop")
	default:
		b.WriteString(" type " + r.Action)
	}
	if r.NoTrack {
		b.WriteString(" no_track")
	}
	return b.String()
}
