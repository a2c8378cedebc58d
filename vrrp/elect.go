package vrrp

import (
	"net/netip"
	"time"

	"dirsw/clock"
)

// receivedBackup is section 6.4.2 of RFC 9568.
func (i *Instance) receivedBackup(now clock.Mono, a *Advert, src netip.Addr) {
	switch {
	case a.Priority == PriorityStop:
		i.logf("(%s) Backup received priority 0 advertisement", i.cfg.Name)
		i.restartDown(now, i.skewTime())
	case i.cfg.NoPreempt || a.Priority >= i.priority || i.cfg.PreemptDelay > 0 && (i.preemptAt == 0 || i.preemptAt >= now):
		i.follow(now, a, src)
		i.preemptTimer(now, a)
		i.want = Backup // a group may have held us back from becoming master; now there is one
	default:
		if i.answers(now) {
			i.logf("(%s) received lower priority (%d) advert from %v - discarding", i.cfg.Name, a.Priority, src)
		}
		i.master = src
	}
}

// follow accepts the sender as master: its interval counts (RFC 9568, section 6.4.2), and the timer starts anew.
func (i *Instance) follow(now clock.Mono, a *Advert, src netip.Addr) {
	if i.cfg.Version == 3 && a.Interval != i.masterInterval {
		i.logf("(%s) advertisement interval updated from %dms to %dms by master", i.cfg.Name,
			i.masterInterval.Milliseconds(), a.Interval.Milliseconds())
		i.masterInterval = a.Interval
	}
	i.master, i.masterPriority = src, a.Priority
	i.restartDown(now, i.downTime())
}

// preemptTimer starts the preempt delay at the first advert of lower priority, and ends it at one of higher.
func (i *Instance) preemptTimer(now clock.Mono, a *Advert) {
	switch {
	case i.cfg.PreemptDelay == 0:
	case a.Priority >= i.priority:
		if i.preemptAt != 0 {
			i.logf("(%s) stop preempt delay", i.cfg.Name)
			i.preemptAt = 0
		}
	case i.preemptAt == 0:
		d := i.cfg.PreemptDelay
		i.logf("(%s) start preempt delay (%d.%06d)", i.cfg.Name, d/time.Second, d%time.Second/time.Microsecond)
		i.preemptAt = now.Add(d)
	}
}

// answers limits what every single advert of lower priority would cause to what the interval makes likely: who floods us
// with them gets neither our log nor our answers for it.
func (i *Instance) answers(now clock.Mono) bool {
	if i.lastAnswer != 0 && now.Sub(i.lastAnswer) < i.cfg.Interval/4 {
		return false
	}
	i.lastAnswer = now
	return true
}

// receivedMaster is section 6.4.3 of RFC 9568. Any advert but one of priority 0 means that there are two masters.
func (i *Instance) receivedMaster(now clock.Mono, a *Advert, src netip.Addr, path int, seq uint32) {
	if i.leaving {
		i.left = i.left || a.Priority != PriorityStop
		return
	}
	order := i.order(now, src, path)
	higher := a.Priority > i.priority || a.Priority == i.priority && order > 0
	if a.Priority == PriorityStop && !i.answers(now) {
		return
	}
	if a.Priority == PriorityStop {
		i.sendAdvert(now, i.priority, 0)
		i.deadline = now.Add(i.cfg.Interval)
		i.logf("(%s) Master received priority 0 message", i.cfg.Name)
		return
	}
	if !higher && a.Priority == i.priority && order == 0 {
		return // from a second path: the first one will tell
	}
	if higher && i.cfg.HigherPrioAdvert {
		i.sendAdvert(now, i.priority, 0)
	}
	if a.Priority == PriorityOwner && i.priority == PriorityOwner && order != 0 {
		if i.once(loggedOwners) {
			i.m.warnf(i, "(%s) CONFIGURATION ERROR: local instance and a remote instance are both configured as address owner, please fix - reducing local priority", i.cfg.Name)
		}
		i.priority, i.total, higher = PriorityOwner-1, PriorityOwner-1, true
	}
	if higher {
		i.yield(now, a, src)
	} else {
		i.insist(now, a, src, seq)
	}
}

// order compares the sender's address with ours, for adverts of our own priority: above 0 the sender is master (RFC 9568,
// section 6.4.3). On a second path the addresses may stand in another order. There they decide only while the first path
// is silent, so that the two directors do not both yield, or both stay.
func (i *Instance) order(now clock.Mono, src netip.Addr, path int) int {
	if path > 0 && i.heard[0] != 0 && now.Sub(i.heard[0]) < i.downTime() {
		return 0
	}
	return src.Compare(i.sources[path].Addr)
}

// yield leaves the mastership to the sender.
func (i *Instance) yield(now clock.Mono, a *Advert, src netip.Addr) {
	if a.Priority > i.priority {
		i.logf("(%s) Master received advert from %v with higher priority %d, ours %d", i.cfg.Name, src, a.Priority, i.priority)
	} else {
		i.logf("(%s) Master received advert from %v with same priority %d but higher IP address than ours", i.cfg.Name, src, a.Priority)
	}
	i.follow(now, a, src)
	i.want = Backup
	i.leaveMaster(now, false)
	i.groupFollows(now, Master)
}

// insist stays master: the sender hears it, and the hosts of the link hear where the addresses are, at once and again
// when the other one has gone.
func (i *Instance) insist(now clock.Mono, a *Advert, src netip.Addr, seq uint32) {
	// One that we have just taken over from says a last word (higher_prio_send_advert), which is no split.
	split := now.Sub(i.lastTransition) >= i.cfg.Interval/4
	if split {
		i.stats.SplitBrain++
		i.splitSeen(now, a, src)
	}
	if !i.answers(now) {
		return
	}
	tail := ", forcing new election"
	if i.cfg.LowerPrioNoAdvert {
		tail = ""
	}
	i.logf("(%s) Received advert from %v with lower priority %d, ours %d%s", i.cfg.Name, src, a.Priority, i.priority, tail)
	if i.cfg.Auth == AuthAH {
		i.logf("(%s) IPSEC-AH : Syncing seq_num - Increment seq", i.cfg.Name)
		i.ahSeq = max(i.ahSeq, seq+1)
	}
	if !i.cfg.LowerPrioNoAdvert {
		i.sendAdvert(now, i.priority, 0)
		i.deadline = now.Add(i.cfg.Interval)
	}
	i.announceLower(now)
	if i.group != nil { // the other director held all addresses of the group
		for _, o := range i.group.members {
			if o != i {
				o.announceLower(now)
			}
		}
	}
	if !split {
		return
	}
	i.m.notice(i, Notice{Kind: LowerPriority, Name: i.cfg.Name, Old: i.state, New: i.state, Priority: i.priority, At: now, Peer: src})
}

// splitSeen notes that there is another master.
func (i *Instance) splitSeen(now clock.Mono, a *Advert, src netip.Addr) {
	first := !i.split.on
	i.split = split{on: true, peer: src, ends: now.Add(time.Duration(i.cfg.DownTimerAdverts) * max(a.Interval, i.cfg.Interval))}
	if first {
		i.m.notice(i, Notice{Kind: SplitBrain, Name: i.cfg.Name, Old: Master, New: Master, Priority: i.priority, At: now, Peer: src,
			Why: "another master was heard"})
	}
}

// splitOver is the end of the contact: the other one has been silent for as long as makes a master dead. Its last
// announcements may be younger than our answer to its advert, so we announce once more.
func (i *Instance) splitOver(now clock.Mono) {
	i.announceLower(now)
	i.endSplit(now)
}

// endSplit tells that there are not two masters any more, if there were.
func (i *Instance) endSplit(now clock.Mono) {
	if !i.split.on {
		return
	}
	n := Notice{Kind: SplitHealed, Name: i.cfg.Name, Old: i.state, New: i.state, Priority: i.priority, At: now, Peer: i.split.peer}
	i.split = split{}
	i.m.notice(i, n)
}
