package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SysctlPrefix stands before the name of every setting that is read here.
const SysctlPrefix = "net.ipv4.vs."

// Sysctl is a setting of the kernel's IPVS that somebody gave a value.
type Sysctl struct {
	Pos    Pos
	Origin Origin
	Edited time.Time // by a command, as in Service
	Name   string    // without SysctlPrefix: "conn_reuse_mode"
	Value  string    // as sysctl(8) prints it: a number, or two with a space
}

// String returns the setting as sysctl(8) prints it.
func (s Sysctl) String() string { return SysctlPrefix + s.Name + " = " + s.Value }

// SysctlUse is what dirsw does with a setting.
type SysctlUse uint8

// The uses.
const (
	SysctlServed SysctlUse = iota // it means what it means in the kernel
	SysctlIdle                    // it is taken and shown, and has no meaning here
)

// Knob is a setting below net.ipv4.vs, as Documentation/networking/ipvs-sysctl.rst of the kernel has it.
type Knob struct {
	Name      string
	Default   string
	Low, High int64
	Use       SysctlUse
	Text      string // one sentence
}

// Knobs returns all settings by their names, in alphabetical order. Ranges are the kernel's (net/netfilter/ipvs/ip_vs_ctl.c)
// where it has one; switches are 0 and 1.
func Knobs() []Knob {
	const most, on = math.MaxInt32, 1
	return []Knob{
		{"am_droprate", "10", 0, most, SysctlServed, "with drop_packet 3, one of so many new connections is dropped"},
		{"amemthresh", "1024", 0, most, SysctlServed, "room in the connection table, in entries, below which the automatic " +
			"defences work (in the kernel: free memory, in pages)"},
		{"backup_only", "0", 0, on, SysctlServed, "a director that runs the backup daemon leaves what clients send to its own host"},
		{"cache_bypass", "0", 0, on, SysctlServed, "what finds no server goes to the address that the client wanted"},
		{"conn_reuse_mode", "1", 0, 3, SysctlServed, "a new SYN from a known client port is scheduled anew: 0 never, 1 when the " +
			"old connection is closed, 2 also when it is closing"},
		{"conntrack", "0", 0, on, SysctlIdle, "packets do not pass netfilter here, whose connection tracking it is about"},
		{"debug_level", "0", 0, 12, SysctlIdle, "dirsw has --debug and explain"},
		{"drop_entry", "0", 0, 3, SysctlServed, "connections that look abandoned are dropped: 0 never, 1 and 2 while room in the " +
			"table is short, 3 always"},
		{"drop_packet", "0", 0, 3, SysctlServed, "some new connections are dropped: 0 never, 1 and 2 while room in the table is " +
			"short, 3 always"},
		{"est_cpulist", "", 0, 0, SysctlIdle, "there is no estimator with processors of its own"},
		{"est_nice", "0", -20, 19, SysctlIdle, "there is no estimator with a thread of its own"},
		{"expire_nodest_conn", "0", 0, on, SysctlServed, "a connection whose server is gone ends instead of waiting for it"},
		{"expire_quiescent_template", "0", 0, on, SysctlServed, "a persistent client whose server has weight 0 gets another one"},
		{"ignore_tunneled", "0", 0, on, SysctlIdle, "frames are looked at before any tunnel is taken off: it is always as with 1"},
		{"lblc_expiration", "86400", 0, most, SysctlServed, "seconds after which lblc forgets an address that is not used"},
		{"lblcr_expiration", "86400", 0, most, SysctlServed, "seconds after which lblcr forgets an address that is not used"},
		{"nat_icmp_send", "0", 0, on, SysctlServed, "a reply of a real server without a connection is answered with port unreachable"},
		{"pmtu_disc", "1", 0, on, SysctlServed, "tunnels keep DF and tell clients of their MTU"},
		{"run_estimation", "1", 0, on, SysctlIdle, "counters cost nothing that could be saved"},
		{"schedule_icmp", "0", 0, on, SysctlServed, "an ICMP error about a service without a connection is scheduled"},
		{"secure_tcp", "0", 0, 3, SysctlServed, "TCP states that a flood of SYN and ACK cannot make long-lived: 0 never, 1 and 2 " +
			"while room in the table is short, 3 always"},
		{"sloppy_sctp", "0", 0, on, SysctlServed, "any SCTP chunk but ABORT opens a connection, not INIT alone"},
		{"sloppy_tcp", "0", 0, on, SysctlServed, "any TCP packet but RST opens a connection, not SYN alone"},
		{"snat_reroute", "1", 0, on, SysctlIdle, "replies go back the way that the client's packets came"},
		{"sync_persist_mode", "0", 0, on, SysctlServed, "connections whose template is told of are not told of themselves"},
		{"sync_ports", "1", 1, 64, SysctlServed, "UDP ports of synchronisation, from that of the daemon on"},
		{"sync_qlen_max", "0", 0, most, SysctlServed, "messages that wait to be sent; 0: 4096"},
		{"sync_refresh_period", "0", 0, most, SysctlServed, "seconds between two messages about a connection"},
		{"sync_retries", "0", 0, 3, SysctlServed, "so often a connection is told of again, each an eighth of the refresh period later"},
		{"sync_sock_size", "0", 0, most, SysctlServed, "buffer of the sockets in bytes; 0: 4 MiB"},
		{"sync_threshold", "3 50", 0, most, SysctlServed, "a connection is synchronised at its so many'th packet, and then each so many"},
		{"sync_version", "1", 0, 1, SysctlServed, "version of the messages that are sent; both are understood"},
	}
}

// FindKnob looks a setting up by its name without prefix.
func FindKnob(name string) (Knob, bool) {
	all := Knobs()
	i, ok := slices.BinarySearchFunc(all, name, func(k Knob, name string) int { return strings.Compare(k.Name, name) })
	if !ok {
		return Knob{}, false
	}
	return all[i], true
}

// ParseSysctl reads a setting in the words of sysctl(8) and sysctl.conf(5): NAME=VALUE, NAME = VALUE, NAME VALUE; slashes
// may stand for the dots. The error is an Error without position.
func ParseSysctl(words []string) (Sysctl, error) {
	name, value, ok := strings.Cut(strings.Join(words, " "), "=")
	if !ok {
		name, value, _ = strings.Cut(name, " ")
	}
	name, err := SysctlName(strings.TrimSpace(name))
	s := Sysctl{Name: name, Value: strings.Join(strings.Fields(value), " ")}
	if err != nil {
		return s, err
	}
	s.Value, err = checkSysctl(s)
	return s, err
}

// SysctlName returns the name of a setting without its prefix. The error is an Error without position that proposes the
// nearest one.
func SysctlName(name string) (string, error) {
	full := strings.ReplaceAll(name, "/", ".")
	short := strings.TrimPrefix(full, SysctlPrefix)
	if _, ok := FindKnob(short); ok {
		return short, nil
	}
	if short == full && strings.Contains(full, ".") {
		return short, Error{Message: fmt.Sprintf("%s is no setting of IPVS", show40(full)),
			Fix: "set it on the host with sysctl(8); only those below net.ipv4.vs are read here"}
	}
	e := Error{Message: fmt.Sprintf("there is no setting %s", show40(SysctlPrefix+short)), Fix: "remove it"}
	near := Nearest(short, func(yield func(string) bool) {
		for _, k := range Knobs() {
			if !yield(k.Name) {
				return
			}
		}
	})
	if near != "" {
		e.Fix = "write " + SysctlPrefix + near
	}
	return short, e
}

// show40 quotes what somebody wrote, short enough for a message.
func show40(s string) string {
	if r := []rune(s); len(r) > 40 {
		s = string(r[:40]) + "…"
	}
	return strconv.Quote(s)
}

// checkSysctl returns the value as it is printed, or what is wrong with it.
func checkSysctl(s Sysctl) (string, error) {
	k, ok := FindKnob(s.Name)
	if !ok {
		_, err := SysctlName(s.Name)
		return s.Value, err
	}
	switch k.Name {
	case "est_cpulist":
		return s.Value, nil
	case "sync_threshold":
		return checkThreshold(s)
	}
	n, err := strconv.ParseInt(s.Value, 0, 64)
	if err == nil && n >= k.Low && n <= k.High && (k.Name != "sync_ports" || n&(n-1) == 0) {
		return strconv.FormatInt(n, 10), nil
	}
	e := Error{Message: fmt.Sprintf("%s%s cannot be %s", SysctlPrefix, k.Name, show40(s.Value)),
		Fix: fmt.Sprintf("write %d to %d", k.Low, k.High)}
	if s.Value == "" {
		e.Message = SysctlPrefix + k.Name + " is missing its value"
	}
	switch {
	case k.Name == "sync_ports":
		e.Fix = "write 1, 2, 4, 8, 16, 32 or 64"
	case k.Low == 0 && k.High == 1:
		e.Fix = "write 0 or 1"
	}
	return s.Value, e
}

// checkThreshold checks the two numbers of sync_threshold: with a period, the threshold lies within it.
func checkThreshold(s Sysctl) (string, error) {
	f := strings.Fields(s.Value)
	if len(f) == 1 {
		f = append(f, "50")
	}
	if len(f) == 2 {
		at, err := strconv.ParseUint(f[0], 10, 31)
		period, err2 := strconv.ParseUint(f[1], 10, 31)
		if err == nil && err2 == nil && (period == 0 || at < period) {
			return fmt.Sprintf("%d %d", at, period), nil
		}
	}
	return s.Value, Error{Message: fmt.Sprintf("%ssync_threshold cannot be %s", SysctlPrefix, show40(s.Value)),
		Fix: "write a number and a greater one, or 0, such as 3 50"}
}

// Sysctl returns what a setting is: as it was given, or its default. The name has no prefix; "" if there is no such setting.
func (d *Dataplane) Sysctl(name string) string {
	for i := range d.Sysctls {
		if d.Sysctls[i].Name == name {
			return d.Sysctls[i].Value
		}
	}
	k, _ := FindKnob(name)
	return k.Default
}

// SysctlNumber returns the value of a setting that is one number.
func (d *Dataplane) SysctlNumber(name string) int64 {
	n, err := strconv.ParseInt(d.Sysctl(name), 10, 64)
	if err != nil {
		panic("config: the setting " + name + " was not validated")
	}
	return n
}

// SetSysctl gives a setting its value, in place of the one that it has. One that the file makes stays the file's.
func (d *Dataplane) SetSysctl(s Sysctl) {
	i := slices.IndexFunc(d.Sysctls, func(o Sysctl) bool { return o.Name == s.Name })
	if i < 0 {
		d.Sysctls = append(d.Sysctls, s)
		return
	}
	s.Pos, s.Origin = d.Sysctls[i].Pos, d.Sysctls[i].Origin
	d.Sysctls[i] = s
}

// sysctls checks every setting, and that none is there twice.
func (v *validator) sysctls(list []Sysctl) {
	for i := range list {
		s := &list[i]
		if k := slices.IndexFunc(list[:i], func(o Sysctl) bool { return o.Name == s.Name }); k >= 0 {
			v.fail(s.Pos, "keep one of them", "%s%s is set twice%s", SysctlPrefix, s.Name, at(list[k].Pos))
			continue
		}
		if _, err := checkSysctl(*s); err != nil {
			e := err.(Error)
			v.fail(s.Pos, e.Fix, "%s", e.Message)
		}
	}
}

// sysctlFields are all settings with their values, so that Diff tells of those that changed.
func sysctlFields(d *Dataplane) []field {
	var out []field
	for _, k := range Knobs() {
		out = append(out, field{name: SysctlPrefix + k.Name, value: d.Sysctl(k.Name)})
	}
	return out
}

// sysctls keeps the settings that commands made and the file does not name.
func (m *merger) sysctls(running []Sysctl) {
	d := &m.out.Dataplane
	for _, s := range running {
		named := slices.ContainsFunc(d.Sysctls, func(o Sysctl) bool { return o.Name == s.Name })
		if s.Origin == FromCommand && !named {
			s.Pos = Pos{}
			d.Sysctls = append(d.Sysctls, s)
		}
	}
}
