package director

import (
	"fmt"
	"strings"

	"dirsw/forward"
	"dirsw/packet"
	"dirsw/sched"
)

// candidates tells of every real server that the scheduler looked at, in the order in which it looks: its weight and
// connections, and why it was passed over. Nobody was chosen if chosen is sched.None.
func candidates(svc *forward.Service, chosen int) string {
	if len(svc.Pool.Dests) == 0 {
		return "candidates: the service has no real server\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "candidates of %s, in the order of its list:\n", svc.Kind.Name)
	for i := range svc.Pool.Dests {
		d := &svc.Pool.Dests[i]
		mark, why := " ", passedOver(svc, i, chosen)
		if i == chosen {
			mark, why = "*", whyChosen(svc, i)
		}
		fmt.Fprintf(&b, "  %s %s weight %d, %d active, %d inactive: %s\n", mark, addrPort(d.Addr, d.Port), d.Weight, d.Load.Active(),
			d.Load.Inactive(), why)
	}
	return b.String()
}

// indexOf returns the place of a destination in the list of its service.
func indexOf(svc *forward.Service, dest uint32) int {
	for i := range svc.Pool.Dests {
		if svc.Pool.Dests[i].ID == dest {
			return i
		}
	}
	return sched.None
}

// unusable says why a server takes no connections at all, "" if it does.
func unusable(p *sched.Pool, i int) string {
	d := &p.Dests[i]
	switch {
	case d.Weight == 0:
		return "weight 0 takes no new connections"
	case d.Load.Overloaded():
		return fmt.Sprintf("over its threshold, -x %d -y %d", d.Upper, d.Lower)
	}
	return ""
}

// whyChosen says what spoke for the server that was chosen.
func whyChosen(svc *forward.Service, i int) string {
	p := svc.Pool
	switch svc.Kind.Name {
	case "rr", "wrr":
		return "it has the turn"
	case "lc", "wlc", "sed", "nq", "lblc", "lblcr":
		return "chosen, " + cost(svc, i)
	case "fo":
		return "the highest weight"
	case "ovf":
		return fmt.Sprintf("the highest weight that its %d active connections do not exceed", p.Active(i))
	case "sh", "mh":
		return "the client hashes to it"
	case "dh":
		return "the virtual address hashes to it"
	case "twos":
		return "the less loaded of two that were drawn"
	}
	return "chosen"
}

// cost is what schedulers that compare loads compare, in figures.
func cost(svc *forward.Service, i int) string {
	p, w := svc.Pool, svc.Pool.Dests[i].Weight
	connections := int64(p.Active(i))<<8 + int64(p.Inactive(i))
	switch svc.Kind.Name {
	case "lc":
		return fmt.Sprintf("256 active + inactive = %d", connections)
	case "sed", "nq":
		return fmt.Sprintf("(active + 1) / weight = %d/%d", p.Active(i)+1, w)
	}
	return fmt.Sprintf("(256 active + inactive) / weight = %d/%d", connections, w)
}

// passedOver says what spoke against a server that was not chosen.
func passedOver(svc *forward.Service, i, chosen int) string {
	p := svc.Pool
	if why := unusable(p, i); why != "" {
		return why
	}
	switch svc.Kind.Name {
	case sched.Nobody:
		return "the service has no scheduler"
	case "rr", "wrr":
		return "its turn comes later"
	case "lc", "wlc", "sed":
		return cost(svc, i) + notLess(svc, i, chosen)
	case "nq":
		return cost(svc, i) + notIdle(p, i, chosen)
	case "fo":
		return "not the highest weight" + behind(p, i, chosen)
	case "ovf":
		if int32(p.Active(i)) > p.Dests[i].Weight {
			return "overflows: more active connections than its weight"
		}
		return "not the highest weight" + behind(p, i, chosen)
	case "sh", "mh":
		return "the client does not hash to it"
	case "dh":
		return "the virtual address does not hash to it"
	case "lblc", "lblcr":
		return "the virtual address has another server, or " + cost(svc, i) + " is not the least"
	case "twos":
		return "not drawn, or the more loaded of two"
	}
	return "not chosen"
}

// notLess compares the cost of a server with that of the chosen one.
func notLess(svc *forward.Service, i, chosen int) string {
	if chosen == sched.None {
		return ""
	}
	p := svc.Pool
	of := func(i int) int64 {
		if svc.Kind.Name == "sed" {
			return int64(p.Active(i)) + 1
		}
		return int64(p.Active(i))<<8 + int64(p.Inactive(i))
	}
	a, b := of(i), of(chosen)
	if svc.Kind.Name != "lc" {
		a, b = a*int64(p.Dests[chosen].Weight), b*int64(p.Dests[i].Weight)
	}
	if a > b {
		return " is more"
	}
	return " is not less, and it stands behind"
}

// notIdle compares with the choice of nq, which takes the first idle server whatever its weight.
func notIdle(p *sched.Pool, i, chosen int) string {
	switch {
	case chosen == sched.None:
		return ""
	case p.Active(i) == 0:
		return ", idle, and it stands behind"
	case p.Active(chosen) == 0:
		return ", and another one is idle"
	}
	return " is not the least"
}

// behind says that a server of the same weight as the chosen one stands after it.
func behind(p *sched.Pool, i, chosen int) string {
	if chosen != sched.None && p.Dests[i].Weight == p.Dests[chosen].Weight {
		return ", and it stands behind one of the same"
	}
	return ""
}

// scheduled reports whether the scheduler was asked, and whom it chose.
func scheduled(v *forward.Verdict, s *forward.Snapshot) (chosen int, asked bool) {
	if v.Service == forward.NoService {
		return sched.None, false
	}
	switch {
	case v.Why == forward.WhyScheduler:
		return indexOf(&s.Services[v.Service], uint32(v.Dest)), true
	case v.Drop == packet.DropNoServer:
		return sched.None, true
	}
	return sched.None, false
}
