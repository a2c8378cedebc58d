package keepalived

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"dirsw/config"
)

// finish settles what depends on several keywords.
func (r *serviceReader) finish() {
	p, sv := r.p, r.sv
	if !r.method {
		sv.Method = config.NAT
		p.note(sv.Pos, "no lvs_method: NAT is taken, as keepalived does")
	}
	if !r.scheduler {
		sv.Scheduler = "wlc"
		p.note(sv.Pos, "no lvs_sched: wlc is taken, as keepalived does")
	}
	r.settleProtocol()
	g := &p.model.Globals
	sv.DelayLoop = given(60*time.Second, r.delayLoop)
	sv.Alpha = given(false, r.alpha)
	sv.SMTPAlert = given(g.SMTPAlertChecker.Or(g.SMTPAlert.Or(false)), r.smtpAlert)
	if sv.HASuspend && r.marked() {
		p.note(sv.Pos, "ha_suspend means nothing to a fwmark service, which has no address")
		sv.HASuspend = r.addressed()
	}
}

// marked and addressed report whether packets are selected by mark, and by address; a group may do both.
func (r *serviceReader) marked() bool {
	return slices.ContainsFunc(r.chosen, func(c selected) bool { return c.mark != 0 })
}

func (r *serviceReader) addressed() bool {
	return slices.ContainsFunc(r.chosen, func(c selected) bool { return c.mark == 0 })
}

func (r *serviceReader) settleProtocol() {
	p, sv := r.p, r.sv
	switch {
	case r.marked() && !r.addressed() && sv.Proto != 0:
		p.note(r.proto, "protocol means nothing to a fwmark service: the mark selects")
	case r.addressed() && r.proto == (config.Pos{}):
		sv.Proto = config.UDP
		p.note(sv.Pos, "no protocol: UDP is taken, as keepalived 2 does; write `protocol TCP` if that is meant")
	}
}

// mark6 finds out the address family of a mark without ip_family: that of the servers that are not reached by tunnels, for
// these cannot differ; else that of all of them.
func (r *serviceReader) mark6() {
	if r.family {
		return
	}
	count, six := 0, 0
	for i := range r.sv.Reals {
		rs := &r.sv.Reals[i]
		if rs.Method != config.TUN {
			r.sv.IPv6 = rs.Addr.Is6()
			return
		}
		count++
		if rs.Addr.Is6() {
			six++
		}
	}
	r.sv.IPv6 = count > 0 && six == count
}

// member makes the service of one thing that the virtual_server selects.
func (r *serviceReader) member(c *selected) config.Service {
	p, sv := r.p, *r.sv
	if sv.Group.Name != "" {
		sv.Group.Proto = r.sv.Proto
	}
	sv.Addr, sv.Port, sv.Mark = c.addr, c.port, c.mark
	if c.mark == 0 {
		sv.IPv6 = false // the address says it
	} else {
		sv.Proto, sv.HASuspend = 0, false
		if c.family {
			sv.IPv6 = c.six
		}
	}
	sv.Reals = slices.Clone(r.sv.Reals)
	for i := range sv.Reals {
		p.port(&sv.Reals[i], &sv)
	}
	if sv.SorryServer != nil {
		sorry := *sv.SorryServer
		sv.SorryServer = &sorry
		p.port(&sorry, &sv)
	}
	return sv
}

// mask reads the value of persistence_granularity: a netmask for IPv4, a prefix length for IPv6 (and for IPv4 too).
func (r *serviceReader) mask() {
	if r.granularity == nil {
		return
	}
	w := *r.granularity
	six := r.sv.IPv6 || len(r.chosen) > 0 && r.chosen[0].addr.Is6()
	most := 32
	if six {
		most = 128
	}
	n, err := strconv.Atoi(w.text)
	if err != nil {
		mask, err := netip.ParseAddr(w.text)
		if err != nil || !mask.Is4() || six {
			r.p.fail(w.pos, fmt.Sprintf("write a netmask or 1 to %d", most), "malformed persistence_granularity %s", show(w.text))
			return
		}
		m := uint32(mask.As4()[0])<<24 | uint32(mask.As4()[1])<<16 | uint32(mask.As4()[2])<<8 | uint32(mask.As4()[3])
		n = bits.LeadingZeros32(^m)
		if m<<n != 0 || n == 0 {
			r.p.fail(w.pos, "write one like 255.255.255.0", "the netmask %s is none of a network", w.text)
			return
		}
	}
	if n < 1 || n > most {
		r.p.fail(w.pos, fmt.Sprintf("write 1 to %d", most), "a prefix of %d bits", n)
		return
	}
	if n < most {
		r.sv.Granularity = n
	}
}

// quorum tells what the quorum cannot be with these real servers, and makes it what keepalived makes of it.
func (r *serviceReader) quorum() {
	p, sv := r.p, r.sv
	if len(r.reals) == 0 {
		p.note(sv.Pos, "no real servers: keepalived ignores such a virtual server; here it answers as one whose servers are all down")
		return
	}
	sum := 0
	for i := range sv.Reals {
		sum += sv.Reals[i].Weight
	}
	if sum > 0 && sv.Quorum > sum {
		p.note(sv.Pos, "the quorum %d is above the sum of the weights: it is %d, as keepalived has it; at %d every real server must be up",
			sv.Quorum, sum, sum)
		sv.Quorum = sum
	}
	if sv.Hysteresis >= sv.Quorum && sv.Hysteresis > 0 {
		p.note(sv.Pos, "the hysteresis %d is not below the quorum: it is %d, as keepalived has it", sv.Hysteresis, sv.Quorum-1)
		sv.Hysteresis = sv.Quorum - 1
	}
	if i := slices.IndexFunc(sv.Reals, func(rs config.Real) bool { return len(rs.Checks) == 0 }); i >= 0 {
		p.noteOnce("unchecked", sv.Reals[i].Pos, "a real server without a check counts as up, whatever happens to it")
	}
}
