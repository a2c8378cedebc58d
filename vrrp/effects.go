package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"dirsw/clock"
)

// ways are the open paths of an instance.
type ways struct {
	first  int // number of the first path; the others follow it
	paths  []Path
	sender sender
	failed bool // the last advert could not be sent
}

// apply is Apply on the thread.
func (r *Runner) apply(now clock.Mono, p Plan) error {
	r.realTime(&p)
	before := slices.Clone(r.m.Instances())
	err := r.makeVMACs(&p)
	r.readLinks(now, &p)
	r.do(now, r.m.Apply(now, p))
	for _, i := range before {
		if !slices.Contains(r.m.Instances(), i) {
			r.close(i)
		}
	}
	err = errors.Join(err, r.removeVMACs())
	for _, i := range r.m.Instances() {
		err = errors.Join(err, r.open(i))
	}
	return err
}

// realTime asks the kernel for the thread's policy, if that is another one than before.
func (r *Runner) realTime(p *Plan) {
	priority := p.Priority
	if priority == 0 {
		priority = DefaultRTPriority
	}
	want := schedule{priority: max(priority, 0), cpus: fmt.Sprint(p.CPUs)}
	if want == r.sched {
		return
	}
	r.sched = want
	if err := r.net.RealTime(want.priority, p.CPUs); err != nil {
		r.log.say(zap.WarnLevel, "VRRP runs without real-time priority: a busy machine may delay adverts", zap.Error(err))
	}
}

// makeVMACs makes those of a plan that are not there yet, or not as they should be.
func (r *Runner) makeVMACs(p *Plan) (err error) {
	for n := range p.Instances {
		for _, v := range p.Instances[n].macvlans() {
			_, there := r.net.Link(v.Name)
			if was, ok := r.vmacs[v.Name]; ok && was == v && there {
				continue
			}
			r.vmacs[v.Name] = v // if it cannot be made now, it may be when something changes at the link below
			if e := r.net.MakeVMAC(v); e != nil {
				err = errors.Join(err, fmt.Errorf("vrrp_instance %s: make %s: %w", p.Instances[n].Name, v.Name, e))
			}
		}
	}
	return err
}

// remakeVMACs makes those that vanished with the link that they stand on, or could not be made, once it is there.
func (r *Runner) remakeVMACs(base LinkState) {
	for name, v := range r.vmacs {
		if v.Base != base.Name || !base.Up {
			continue
		}
		if _, there := r.net.Link(name); there {
			continue
		}
		if err := r.net.MakeVMAC(v); err != nil {
			r.log.say(zap.WarnLevel, "cannot make the interface of a virtual router again", zap.String("interface", name), zap.Error(err))
		}
	}
}

// removeVMACs removes those that nobody has any more.
func (r *Runner) removeVMACs() (err error) {
	for name, v := range r.vmacs {
		if slices.ContainsFunc(r.m.Instances(), func(i *Instance) bool {
			return slices.ContainsFunc(i.cfg.macvlans(), func(o VMAC) bool { return o.Name == name })
		}) {
			continue
		}
		delete(r.vmacs, name)
		if e := r.net.RemoveVMAC(v); e != nil {
			err = errors.Join(err, fmt.Errorf("remove %s: %w", name, e))
		}
	}
	return err
}

// readLinks tells the machine of all links that a plan names.
func (r *Runner) readLinks(now clock.Mono, p *Plan) {
	seen := map[string]bool{"": true}
	look := func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		l, ok := r.net.Link(name)
		if !ok {
			l = LinkState{}
		}
		l.Name = name
		r.do(now, r.m.Link(now, l))
	}
	for n := range p.Instances {
		c := &p.Instances[n]
		look(c.Interface)
		look(c.OwnLink())
		for _, s := range c.Second {
			look(s.Link)
		}
		for _, list := range [...][]Address{c.Addresses, c.Excluded} {
			for _, a := range list {
				look(a.Link)
			}
		}
		for _, t := range c.Track {
			if t.Kind == TrackInterface {
				look(t.Name)
			}
		}
	}
	for _, g := range p.Groups {
		for _, t := range g.Track {
			if t.Kind == TrackInterface {
				look(t.Name)
			}
		}
	}
}

// open opens the paths of an instance, unless they are open as they should be.
func (r *Runner) open(i *Instance) error {
	w := r.ways[i]
	if w != nil && slices.EqualFunc(w.paths, i.paths, func(a, b Path) bool { return a.sameSocket(&b) }) {
		w.paths = i.paths
		return nil
	}
	fresh := &ways{first: r.nextID, paths: i.paths}
	if w != nil {
		fresh.sender = w.sender
		r.close(i)
	}
	r.ways[i] = fresh
	r.routers[i.cfg.VRID] = append(r.routers[i.cfg.VRID], i)
	r.nextID += len(i.paths)
	var err error
	for n := range i.paths {
		if _, e := r.net.Open(fresh.first+n, i.paths[n]); e != nil {
			err = errors.Join(err, fmt.Errorf("vrrp_instance %s: %w", i.cfg.Name, e))
		}
	}
	return err
}

// close ends the paths of an instance.
func (r *Runner) close(i *Instance) {
	w := r.ways[i]
	if w == nil {
		return
	}
	for n := range w.paths {
		r.net.Shut(w.first + n)
	}
	delete(r.ways, i)
	same := &r.routers[i.cfg.VRID]
	*same = slices.DeleteFunc(*same, func(o *Instance) bool { return o == i })
}

// shutdown ends everything. Masters keep their addresses until others have taken over.
func (r *Runner) shutdown() {
	now := r.clock.Now()
	var last states
	last.instances, last.groups = r.m.State()
	effects, patience := r.m.Farewell(now)
	r.do(now, effects)
	for end := now.Add(patience); r.m.Leaving() && r.clock.Now() < end; {
		r.work()
		if len(r.todo) > 0 {
			r.receive(0)
		} else {
			r.receive(end.Sub(r.clock.Now()))
		}
	}
	r.finish(last)
}

// finish gives everything back. last is what States will answer from now on.
func (r *Runner) finish(last states) {
	now := r.clock.Now()
	r.do(now, r.m.Stop(now))
	for len(r.todo) > 0 {
		r.work()
	}
	for _, i := range r.m.Instances() {
		r.close(i)
	}
	for name, v := range r.vmacs {
		if err := r.net.RemoveVMAC(v); err != nil {
			r.log.say(zap.WarnLevel, "cannot remove the interface of a virtual router", zap.String("interface", name), zap.Error(err))
		}
	}
	r.mu.Lock()
	r.stopped, r.running, r.last = true, false, last
	inbox := r.inbox
	r.inbox = nil
	r.mu.Unlock()
	for _, o := range inbox {
		if o.gone != nil {
			o.gone()
		}
	}
}

// slice is how long the thread works on effects before it looks whether an advert is due or one has come: to take over
// thousands of addresses is many times as long as the shortest interval.
const slice = 500 * time.Microsecond

// do sends the adverts among effects at once, and then begins with the rest, behind what is left of earlier ones. What is not
// done within a slice is left for the next turns.
func (r *Runner) do(now clock.Mono, effects []Effect) {
	for n := range effects {
		if effects[n].Kind == EffectAdvert {
			r.advert(now, &effects[n])
		}
	}
	done := 0
	if len(r.todo) == 0 {
		done = r.some(effects)
	}
	for n := range effects[done:] {
		if e := &effects[done+n]; e.Kind != EffectAdvert {
			r.todo = append(r.todo, *e)
		}
	}
}

// work goes on with what is left, for a slice.
func (r *Runner) work() {
	if r.todo = r.todo[r.some(r.todo):]; len(r.todo) == 0 {
		r.todo = nil
	}
}

// some carries out effects for a slice, at least one, and returns how many it was through with.
func (r *Runner) some(effects []Effect) int {
	if len(effects) == 0 {
		return 0
	}
	end := r.clock.Now().Add(slice)
	for n := range effects {
		if r.carryOut(&effects[n]); r.clock.Now() >= end {
			return n + 1
		}
	}
	return len(effects)
}

// carryOut does one thing that is no advert. What a master wanted is left out if it is none any more.
func (r *Runner) carryOut(e *Effect) {
	i := e.Instance
	switch e.Kind {
	case EffectLog:
		r.write(e)
	case EffectOwn:
		if i.vipset {
			life := i.lifetime()
			r.count(i, "set a virtual address", r.net.Own(e.Address, life))
			r.renewAt = min(r.renewAt, r.clock.Now().Add(life/3))
		}
	case EffectDisown:
		r.count(i, "remove a virtual address", r.net.Disown(e.Address))
	case EffectSet:
		if i.vipset {
			r.count(i, "set a virtual route or rule", r.net.Set(e.Extra))
		}
	case EffectUnset:
		r.count(i, "remove a virtual route or rule", r.net.Unset(e.Extra))
	case EffectAnnounce:
		if i.vipset || !e.Held {
			r.announce(e)
		}
	case EffectNotice:
		r.notice(e.Notice)
	}
}

// announce sends one announcement.
func (r *Runner) announce(e *Effect) {
	if e.Held && r.log.details() {
		what := "gratuitous ARP"
		if e.Addr.Is6() {
			what = "unsolicited Neighbour Advert"
		}
		r.log.say(zap.DebugLevel, fmt.Sprintf("Sending %s on %s for %v", what, e.Link, e.Addr))
	}
	r.count(e.Instance, "announce a virtual address", r.net.Announce(e.Link, e.Addr))
}

// write writes a log line.
func (r *Runner) write(e *Effect) {
	switch {
	case e.Warn:
		r.log.say(zap.WarnLevel, e.Text)
	default:
		r.log.say(zap.InfoLevel, e.Text)
	}
}

// count notes what could not be done.
func (r *Runner) count(i *Instance, what string, err error) {
	if err != nil {
		i.stats.EffectErrors++
		r.log.say(zap.WarnLevel, "cannot "+what, zap.String("instance", i.cfg.Name), zap.Error(err))
	}
}

// lifetime is how long addresses outlive a director that dies: about as long as the others wait before they take over.
func (i *Instance) lifetime() time.Duration {
	life := (3*i.cfg.Interval + time.Second - 1).Truncate(time.Second) + time.Second
	return max(life, 3*time.Second)
}

// renew prolongs the lifetimes of all addresses that are held.
func (r *Runner) renew(now clock.Mono) {
	r.renewAt = never
	r.renewals = r.renewals[:0]
	for _, i := range r.m.Instances() {
		if !i.vipset {
			continue
		}
		r.renewAt = min(r.renewAt, now.Add(i.lifetime()/3))
		for _, a := range i.held() {
			r.renewals = append(r.renewals, Effect{Kind: EffectOwn, Instance: i, Address: a})
		}
	}
	r.do(now, r.renewals)
}

// advert sends one by every path to every destination.
func (r *Runner) advert(now clock.Mono, e *Effect) {
	i := e.Instance
	w := r.ways[i]
	if w == nil {
		return
	}
	c, a := i.cfg, &w.sender.msg
	a.Version, a.VRID, a.Priority, a.Interval, a.AuthType = c.Version, c.VRID, e.Priority, c.Interval, c.Auth
	a.Auth = [authLen]byte{}
	if c.Auth == AuthPass {
		a.Auth = c.Password
	}
	a.Addrs = a.Addrs[:0]
	for n := range c.Addresses {
		a.Addrs = append(a.Addrs, c.Addresses[n].Prefix.Addr())
	}
	w.sender.next()
	w.sender.seq = e.Seq
	var err error
	for n := range w.paths {
		p := &w.paths[n]
		if !p.Unicast() {
			err = errors.Join(err, r.sendTo(i, w, n, p.Group))
			continue
		}
		for _, peer := range p.Peers {
			err = errors.Join(err, r.sendTo(i, w, n, peer.Addr))
		}
	}
	r.lateness(i, e)
	r.sendError(i, w, err, e.Priority)
}

// sendTo sends the advert in the sender to one destination.
func (r *Runner) sendTo(i *Instance, w *ways, path int, dst netip.Addr) error {
	src := i.sources[path].Addr
	if !src.IsValid() {
		return nil // which is a reason for FAULT, and told there
	}
	p := &w.paths[path]
	return r.net.Send(w.first+path, dst, w.sender.packet(i.cfg, &w.sender.msg, src, dst, p.TTL, i.OldChecksum() && p.Unicast()))
}

// sendError tells once that adverts cannot be sent. That the last one fails, because its link is down, is no news.
func (r *Runner) sendError(i *Instance, w *ways, err error, priority uint8) {
	if err != nil {
		i.stats.SendErrors++
	}
	if err != nil && !w.failed && (priority != PriorityStop || i.m.links[i.cfg.AdvertLink()].Up) {
		r.log.say(zap.WarnLevel, fmt.Sprintf("(%s): send advert error", i.cfg.Name), zap.Error(err))
	}
	w.failed = err != nil
}

// lateness measures how late an advert left.
func (r *Runner) lateness(i *Instance, e *Effect) {
	if e.Due == 0 {
		return
	}
	now := r.clock.Now()
	late := max(now.Sub(e.Due), 0)
	s := &i.stats.Late
	s.Last, s.Max = late, max(s.Max, late)
	if late <= i.cfg.Interval/4 {
		return
	}
	s.Stalls++
	if r.lateLog == 0 || now.Sub(r.lateLog) >= time.Second {
		r.lateLog = now
		r.log.say(zap.WarnLevel, fmt.Sprintf("(%s) advert left late", i.cfg.Name), zap.Duration("late", late), zap.Duration("max", s.Max),
			zap.Uint64("stalls", s.Stalls))
	}
	if late > time.Duration(i.cfg.DownTimerAdverts-1)*i.cfg.Interval {
		r.notice(Notice{Kind: Stalled, Name: i.cfg.Name, Old: i.state, New: i.state, Priority: i.priority, At: now, Late: late,
			Why: "the others may have taken over"})
	}
}
