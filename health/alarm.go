package health

import (
	"fmt"
	"time"

	"dirsw/clock"
)

// compareSlack is what a check may take beside its delays until it has noticed what another one noticed.
const compareSlack = 5 * time.Second

// settle is how long the checks of u may differ because one has noticed what another has not yet.
func (u *unit) settle() time.Duration {
	var longest time.Duration
	for _, it := range u.items {
		t := it.check.Timing
		longest = max(longest, t.Loop+time.Duration(t.Retry)*t.BeforeRetry)
	}
	return longest + compareSlack
}

// compare raises and ends the alarms of u's advisory checks. The lock is held.
func (p *Prober) compare(u *unit, now clock.Mono) {
	for _, it := range u.items {
		if !it.check.Advisory || !it.probe.Ran() {
			continue
		}
		if it.probe.Up() == u.up {
			it.differs = 0
			p.alarm(it, false, now)
			continue
		}
		if it.differs == 0 {
			it.differs = now
		}
		if now.Sub(it.differs) >= u.settle() {
			p.alarm(it, true, now)
		}
	}
}

// alarm reports that an advisory check disagrees, or agrees again, once.
func (p *Prober) alarm(it *item, raise bool, now clock.Mono) {
	if it.alarmed == raise {
		return
	}
	it.alarmed = raise
	u := it.unit
	why := disagreement(u.target.Names, it.check.Kind, raise, u.up, it.last)
	p.out = append(p.out, notice{event: &Event{
		Key: u.target.Key, Names: u.target.Names, Up: u.up, Weight: u.weight, Kind: it.check.Kind,
		Alarm: raise, AlarmEnd: !raise, Why: why, At: now,
	}})
}

// disagreement says in words what an alarm is about. keepalived has no such check.
func disagreement(n Names, k Kind, raise, up bool, last string) string {
	switch {
	case !raise:
		return fmt.Sprintf("%s of service %s for VS %s agrees with its checks again", k, n.Server, n.Service)
	case up:
		return fmt.Sprintf("service %s answers its checks, but clients of VS %s do not reach it (%s: %s)",
			n.Server, n.Service, k, last)
	default:
		return fmt.Sprintf("service %s fails its checks, but answers clients of VS %s (%s)", n.Server, n.Service, k)
	}
}
