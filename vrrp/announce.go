package vrrp

import (
	"net/netip"
	"slices"
	"time"

	"dirsw/clock"
)

// announceTimers are the bursts of announcements that an instance still owes. A time of 0 means none.
type announceTimers struct {
	second, lower, refresh, extra clock.Mono

	bursts []burst // that have begun, or will when those before them are over
	more   clock.Mono
}

// burst is the announcements of some addresses, all of them once, then all of them again.
type burst struct {
	addrs []Address
	left  int // rounds, this one included
	next  int // of addrs
	log   bool
}

// A portion is as many announcements as one event leads to. The others follow one portion each portionEvery: thousands at
// once would hold up adverts, and many a switch drops them.
const (
	portion      = 128
	portionEvery = time.Millisecond
)

// start begins the timers of a new master.
func (t *announceTimers) start(now clock.Mono, g *GARP) {
	*t = announceTimers{}
	if g.Delay > 0 {
		t.second = now.Add(g.Delay)
	}
	if g.Refresh > 0 {
		t.refresh = now.Add(g.Delay + g.Refresh)
	}
	if g.ExtraIf > 0 {
		t.extra = now.Add(g.Delay + g.ExtraIf)
	}
}

func (t *announceTimers) stop() { *t = announceTimers{} }

// next is the earliest of them.
func (t *announceTimers) next() clock.Mono {
	next := never
	for _, at := range [...]clock.Mono{t.second, t.lower, t.refresh, t.extra, t.more} {
		if at != 0 {
			next = min(next, at)
		}
	}
	return next
}

// announceDue runs the bursts whose time has come.
func (i *Instance) announceDue(now clock.Mono) {
	t, g := &i.announce, &i.cfg.GARP
	if t.more != 0 && t.more <= now {
		i.announceMore(now)
	}
	due := func(at *clock.Mono, again time.Duration) bool {
		if *at == 0 || *at > now {
			return false
		}
		if *at = 0; again > 0 {
			*at = now.Add(again)
		}
		return true
	}
	if due(&t.second, 0) {
		i.announceBurst(now, g.Repeat)
	}
	if due(&t.lower, 0) {
		i.announceBurst(now, g.LowerRepeat)
	}
	if due(&t.refresh, g.Refresh) {
		i.announceBurst(now, g.RefreshRepeat)
	}
	if due(&t.extra, g.ExtraIf) {
		i.announceExtra(now)
	}
}

// announceBurst announces each address that the instance holds, all of them once, then all of them again.
func (i *Instance) announceBurst(now clock.Mono, repeat int) {
	i.announceThese(now, burst{addrs: i.held(), left: repeat, log: true})
}

// announceThese begins a burst, unless so many wait that it would tell nobody anything new.
func (i *Instance) announceThese(now clock.Mono, b burst) {
	t := &i.announce
	if b.left == 0 || len(b.addrs) == 0 || len(t.bursts) > 2 {
		return
	}
	t.bursts = append(t.bursts, b)
	if len(t.bursts) == 1 {
		i.announceMore(now)
	}
}

// announceMore goes on with the bursts, for a portion.
func (i *Instance) announceMore(now clock.Mono) {
	t := &i.announce
	t.more = 0
	for n := 0; len(t.bursts) > 0; n++ {
		if n == portion {
			t.more = now.Add(portionEvery)
			return
		}
		b := &t.bursts[0]
		a := b.addrs[b.next]
		if b.log {
			i.logf("(%s) Sending/queueing %s on %s for %v", i.cfg.Name, announceWord(a.Prefix.Addr()), a.Link, a.Prefix.Addr())
		}
		i.announceOne(a, now)
		if b.next++; b.next < len(b.addrs) {
			continue
		}
		b.next, b.log = 0, false
		if b.left--; b.left == 0 {
			t.bursts = t.bursts[1:]
		}
	}
}

// announceLower answers an advert of lower priority: whoever believed the other master learns better.
func (i *Instance) announceLower(now clock.Mono) {
	if i.cfg.GARP.LowerRepeat == 0 || !i.vipset || i.m.owes(i) {
		return
	}
	i.announceBurst(now, i.cfg.GARP.LowerRepeat)
	if i.cfg.GARP.LowerDelay > 0 && i.announce.lower == 0 {
		i.announce.lower = now.Add(i.cfg.GARP.LowerDelay)
	}
}

// announceExtra announces one address on each other link that has any, so that switches do not forget where its MAC
// address is (garp_extra_if).
func (i *Instance) announceExtra(now clock.Mono) {
	var done []string
	for _, a := range i.held() {
		if slices.Contains(done, a.Link) || a.Link == i.cfg.AdvertLink() || !a.UseVMAC && a.Link != i.cfg.OwnLink() && !i.cfg.GARP.ExtraAll {
			continue
		}
		done = append(done, a.Link)
		i.announceOne(a, now)
	}
}

// announceOne sends one announcement, or queues it where a distance between them was asked for.
func (i *Instance) announceOne(a Address, now clock.Mono) {
	if p := i.m.pacerOf(a.Link, a.Prefix.Addr()); p != nil {
		p.add(i, a, now)
		return
	}
	i.m.announce(i, a)
}

func (m *Machine) announce(i *Instance, a Address) {
	i.stats.Announced++
	m.out = append(m.out, Effect{Kind: EffectAnnounce, Instance: i, Link: a.Link, Addr: a.Prefix.Addr(), Held: true})
}

func announceWord(a netip.Addr) string {
	if a.Is6() {
		return "Unsolicited Neighbour Adverts"
	}
	return "gratuitous ARPs"
}

// pacer keeps announcements of one family on the links of a Pacing apart.
type pacer struct {
	links []string
	v6    bool
	every time.Duration
	free  clock.Mono // when the next may leave
	queue []queued
}

type queued struct {
	i *Instance
	a Address
}

// pacerOf finds, or makes, the pacer of a link; nil if there is no distance to keep.
func (m *Machine) pacerOf(link string, a netip.Addr) *pacer {
	v6 := a.Is6()
	for _, p := range m.pacers {
		if p.v6 == v6 && slices.Contains(p.links, link) {
			return p
		}
	}
	for _, c := range m.plan.Pacing {
		every := c.ARP
		if v6 {
			every = c.NA
		}
		if every == 0 || len(c.Links) > 0 && !slices.Contains(c.Links, link) {
			continue
		}
		links := c.Links
		if len(links) == 0 {
			links = []string{link}
		}
		p := &pacer{links: links, v6: v6, every: every}
		m.pacers = append(m.pacers, p)
		return p
	}
	return nil
}

// add sends if the distance allows it and none waits, else queues.
func (p *pacer) add(i *Instance, a Address, now clock.Mono) {
	if len(p.queue) == 0 && p.free <= now {
		p.free = now.Add(p.every)
		i.m.announce(i, a)
		return
	}
	p.queue = append(p.queue, queued{i, a})
}

func (p *pacer) next() clock.Mono {
	if len(p.queue) == 0 {
		return never
	}
	return p.free
}

// run sends what may leave now.
func (p *pacer) run(m *Machine, now clock.Mono) {
	for len(p.queue) > 0 && p.free <= now {
		q := p.queue[0]
		p.queue = p.queue[1:]
		m.announce(q.i, q.a)
		p.free = now.Add(p.every)
	}
}

// owes reports whether announcements of an instance still wait for their distance.
func (m *Machine) owes(i *Instance) bool {
	return slices.ContainsFunc(m.pacers, func(p *pacer) bool {
		return slices.ContainsFunc(p.queue, func(q queued) bool { return q.i == i })
	})
}

// forget drops what still is to be announced of addresses that an instance gives up.
func (i *Instance) forget(gone []Address) {
	if len(gone) == 0 {
		return
	}
	var left []burst
	for _, b := range i.announce.bursts {
		if b.addrs, b.next = without(b.addrs, gone), 0; len(b.addrs) > 0 {
			left = append(left, b)
		}
	}
	i.announce.bursts = left
	for _, p := range i.m.pacers {
		p.queue = slices.DeleteFunc(p.queue, func(q queued) bool { return q.i == i && slices.Contains(gone, q.a) })
	}
}
