package vrrp

import (
	"fmt"
	"net/netip"
	"time"

	"dirsw/clock"
)

// Instance is one virtual router: the state machine of RFC 9568, section 6.4, with what keepalived adds. It belongs to
// its Machine, whose rules for the caller hold for it too.
type Instance struct {
	m     *Machine
	cfg   *Config
	group *group // nil: in none

	state, want State // want differs from state where a group holds the instance back
	total       int   // the priority with all weights, not limited
	priority    uint8 // effective: what adverts say
	vipset      bool
	paths       []Path
	sources     []Source     // by path
	heard       []clock.Mono // by path: when an advert was accepted last
	quiet       []bool       // by path: as backup, nothing is heard by it, see listen
	down        bool         // a fault holds the instance; see faults
	unknown     bool         // a script without a weight has not run yet

	masterInterval time.Duration // of the master as we know it (RFC 9568, section 6.1, Master_Adver_Interval)
	downInterval   time.Duration // how long a backup waits; kept because rejected adverts do not restart it
	deadline       clock.Mono    // of the advert timer or of the master down timer
	preemptAt      clock.Mono    // when the preempt delay is over; 0: it does not run
	master         netip.Addr
	masterPriority uint8
	lastAdvert     clock.Mono // when ours was sent last
	leaving, left  bool       // as master: said farewell; and another one has taken over
	lastAnswer     clock.Mono // when a lower priority was answered or logged last
	lastTransition clock.Mono

	announce announceTimers
	split    split
	ahSeq    uint32            // of the authentication header sent last, or heard if that is more
	ahSeen   map[uint32]uint32 // by sender (SPI), the highest one heard
	oldSum   bool              // a peer was heard that computes checksums the old way
	logged   uint64            // bits of conditions that were logged since the last change of state or master
	loggedAt clock.Mono        // when they were cleared because of another master
	stats    Stats
	advert   Advert // reused for what is received
}

// Source is what is known of the address that adverts leave from.
type Source struct {
	Addr    netip.Addr // not valid: the link has none
	Missing bool       // it is configured, and not on any link
}

// split is contact with another master.
type split struct {
	on   bool
	peer netip.Addr
	ends clock.Mono // when the contact counts as over; meaningful while on
}

// Config returns the configuration, which must not be changed.
func (i *Instance) Config() *Config { return i.cfg }

// State returns the state.
func (i *Instance) State() State { return i.state }

// Next is when the instance's next timer falls due.
func (i *Instance) Next() clock.Mono {
	next := min(i.deadline, i.announce.next())
	if i.split.on {
		next = min(next, i.split.ends)
	}
	return next
}

// Handle takes one event and returns what is to be done, of this instance and of those in its group.
func (i *Instance) Handle(now clock.Mono, e Event) []Effect {
	i.m.out = i.m.out[:0]
	switch e.Kind {
	case TimerDue:
		i.timer(now)
	case PacketReceived:
		i.received(now, e.Packet, e.Path)
	}
	return i.m.out
}

// timer runs one timer that is due.
func (i *Instance) timer(now clock.Mono) {
	switch {
	case i.deadline <= now:
		i.expired(now)
	case i.split.on && i.split.ends <= now:
		i.splitOver(now)
	default:
		i.announceDue(now)
	}
}

// expired is the end of the advert timer or of the master down timer.
func (i *Instance) expired(now clock.Mono) {
	due := i.deadline
	switch i.state {
	case Backup:
		i.logf("(%s) Receive advertisement timeout", i.cfg.Name)
		i.want = Master
		i.deadline = now.Add(i.downInterval)
		i.gotoMaster(now, due)
	case Master:
		if i.cfg.TimerExpired && i.overslept(now) {
			i.logf("A thread timer expired %d.%06d seconds ago", now.Sub(due)/time.Second, now.Sub(due)%time.Second/time.Microsecond)
			i.want = Backup
			i.leaveMaster(now, false)
			i.groupFollows(now, Master)
			return
		}
		i.sendAdvert(now, i.priority, due)
		// Counted from when it was due, so that lateness does not add up, unless that would send two at once.
		if i.deadline = due.Add(i.cfg.Interval); i.deadline <= now {
			i.deadline = now.Add(i.cfg.Interval)
		}
	default:
		i.deadline = never
	}
}

// overslept reports whether others waited long enough to have taken over (timer_expired_backup).
func (i *Instance) overslept(now clock.Mono) bool {
	other := i.cfg.OtherPriority
	if other == 0 {
		other = PriorityOwner - 1
	}
	wait := time.Duration(i.cfg.DownTimerAdverts)*i.cfg.Interval + skew(i.cfg.Version, uint8(other), i.cfg.Interval)
	return now.Sub(i.lastAdvert) >= wait
}

// skew is Skew_Time: of a second in version 2 (RFC 3768, section 6.1), of the master's interval in version 3 (RFC 9568,
// section 6.1).
func skew(version, priority uint8, masterInterval time.Duration) time.Duration {
	if version == 2 {
		masterInterval = time.Second
	}
	return time.Duration(256-int(priority)) * masterInterval / 256
}

// skewTime is the instance's own.
func (i *Instance) skewTime() time.Duration { return skew(i.cfg.Version, i.priority, i.masterInterval) }

// downTime is Master_Down_Interval (RFC 9568, section 6.1), with the number of adverts that may be missed.
func (i *Instance) downTime() time.Duration {
	return time.Duration(i.cfg.DownTimerAdverts)*i.masterInterval + i.skewTime()
}

// restartDown starts the master down timer.
func (i *Instance) restartDown(now clock.Mono, d time.Duration) {
	i.downInterval = d
	i.deadline = i.m.from(now, d)
}

// gotoMaster becomes master if the group agrees. due is when that was due, 0 if no timer said so.
func (i *Instance) gotoMaster(now, due clock.Mono) {
	if i.group != nil && !i.group.mayMaster(i) {
		return
	}
	prev := i.state
	i.logged = 0
	i.state = Master
	i.deadline = now.Add(i.cfg.Interval)
	// The advert goes first: the master before us gives the addresses up before we announce them.
	i.restoreOwner()
	i.sendAdvert(now, i.priority, due)
	i.logf("(%s) Entering MASTER STATE", i.cfg.Name)
	i.becomeMaster(now, prev)
	i.groupFollows(now, prev)
}

// becomeMaster takes the addresses.
func (i *Instance) becomeMaster(now clock.Mono, prev State) {
	i.stats.BecomeMaster++
	if i.cfg.Version == 3 && i.masterInterval != i.cfg.Interval {
		i.logf("(%s) changing advert interval from %dms to locally configured %dms", i.cfg.Name,
			i.masterInterval.Milliseconds(), i.cfg.Interval.Milliseconds())
		i.masterInterval = i.cfg.Interval
	}
	i.setAll()
	i.announce.start(now, &i.cfg.GARP)
	i.announceBurst(now, i.cfg.GARP.Repeat)
	i.lastTransition = now
	i.notice(now, prev, "")
}

// restoreOwner takes the priority of the address owner again, which was lowered because of another owner.
func (i *Instance) restoreOwner() {
	if i.cfg.Priority == PriorityOwner && i.priority != PriorityOwner {
		i.priority, i.total = PriorityOwner, PriorityOwner
	}
}

// leaveMaster gives the addresses up and enters i.want, which is Backup or Fault. stopping sends priority 0 and says so.
func (i *Instance) leaveMaster(now clock.Mono, stopping bool) {
	prev := i.state
	i.logged = 0
	i.logf("(%s) Entering %v STATE", i.cfg.Name, i.want)
	if i.want == Fault {
		i.sendAdvert(now, PriorityStop, 0)
	} else {
		i.preemptAt = 0
	}
	i.release(now, stopping)
	i.state = i.want
	i.endSplit(now)
	i.stats.ReleaseMaster++
	i.lastTransition = now
	i.notice(now, prev, i.why())
	i.restartDown(now, i.downTime())
	if i.state == Fault {
		i.deadline = never
	}
}

// leaveFault enters i.want from FAULT, INIT or BACKUP. One that wants to be master, and may not because of its group,
// waits as a backup.
func (i *Instance) leaveFault(now clock.Mono) {
	i.masterInterval = i.cfg.Interval
	next := i.want
	if next == Master && (i.group == nil || i.group.mayMaster(i)) {
		i.gotoMaster(now, 0)
		return
	}
	if next == Master {
		next = Backup
	}
	prev := i.state
	if prev != next {
		i.logf("(%s) Entering %v STATE", i.cfg.Name, next)
		i.lastTransition = now
		i.state = next
		i.notice(now, prev, i.why())
	}
	i.preemptAt = 0
	i.restartDown(now, i.downTime())
	if i.state == Fault {
		i.deadline = never
	}
}

// stop ends the instance for good: at a shutdown, or because a reload removed it. keep leaves what a master has set.
func (i *Instance) stop(now clock.Mono, last State, keep bool) {
	prev := i.state
	if i.state == Master && !keep {
		i.release(now, true)
	} else {
		i.farewell(now)
	}
	i.state, i.want, i.deadline = Init, Init, never
	i.endSplit(now)
	i.announce.stop()
	i.m.notice(i, Notice{Kind: StateChanged, Name: i.cfg.Name, Old: prev, New: last, Priority: i.priority, At: now})
}

// farewell has a master that will stop say so, and keep its addresses until another one has them: nobody waits while the
// backups count down to their election. It must be followed by stop.
func (i *Instance) farewell(now clock.Mono) {
	if i.state != Master || i.leaving {
		return
	}
	i.leaving, i.deadline = true, never
	i.announce.stop()
	i.sendAdvert(now, PriorityStop, 0)
	i.stats.PriZeroSent++
	i.logf("(%s) sent 0 priority", i.cfg.Name)
}

// release takes routes, rules and addresses away, the newest first, and before that says to the others that it does.
func (i *Instance) release(now clock.Mono, stopping bool) {
	if stopping && !i.leaving {
		i.sendAdvert(now, PriorityStop, 0)
		i.stats.PriZeroSent++
		i.logf("(%s) sent 0 priority", i.cfg.Name)
	}
	i.forget(i.held())
	i.announce.stop()
	i.unsetAll()
}

// sendAdvert sends one. due is when the timer for it ended; 0: it has no timer.
func (i *Instance) sendAdvert(now clock.Mono, priority uint8, due clock.Mono) {
	if i.m.delayed(now) {
		return
	}
	if i.cfg.Auth == AuthAH {
		i.ahSeq++
	}
	i.lastAdvert = now
	i.stats.AdvertSent++
	i.m.out = append(i.m.out, Effect{Kind: EffectAdvert, Instance: i, Priority: priority, Seq: i.ahSeq, Due: due})
}

// setPriority follows a change of the weights.
func (i *Instance) setPriority(now clock.Mono) {
	if i.cfg.Priority == PriorityOwner {
		return
	}
	p := uint8(min(max(i.total, 1), PriorityOwner-1))
	if p == i.priority {
		return
	}
	i.logf("(%s) Changing effective priority from %d to %d", i.cfg.Name, i.priority, p)
	i.priority = p
	before := i.downInterval
	i.downInterval = i.downTime()
	if i.state == Backup && i.deadline != never {
		i.deadline = i.deadline.Add(i.downInterval - before)
	}
	if i.cfg.PriorityNotices {
		i.m.notice(i, Notice{Kind: PriorityChanged, Name: i.cfg.Name, Old: i.state, New: i.state, Priority: p, At: now})
	}
}

// notice tells of the state just entered.
func (i *Instance) notice(now clock.Mono, prev State, why string) {
	i.m.notice(i, Notice{Kind: StateChanged, Name: i.cfg.Name, Old: prev, New: i.state, Priority: i.priority, At: now, Why: why})
}

// why says in a few words what made the instance go to its state.
func (i *Instance) why() string {
	if f := i.faults(); len(f) > 0 {
		return f[0]
	}
	return ""
}

// groupFollows lets the group do what one member did.
func (i *Instance) groupFollows(now clock.Mono, prev State) {
	if i.group == nil {
		return
	}
	switch {
	case i.state == Master && prev != Master:
		i.group.toMaster(now, i)
	case i.state == Backup && prev == Master:
		i.group.toBackup(now, i)
	}
}

// once reports whether a condition is met for the first time since the last change of state or of master.
func (i *Instance) once(bit uint) bool {
	if i.logged&(1<<bit) != 0 {
		return false
	}
	i.logged |= 1 << bit
	return true
}

func (i *Instance) logf(format string, args ...any) { i.m.logf(i, format, args...) }

func (m *Machine) logf(i *Instance, format string, args ...any) {
	m.out = append(m.out, Effect{Kind: EffectLog, Instance: i, Text: fmt.Sprintf(format, args...)})
}

func (m *Machine) warnf(i *Instance, format string, args ...any) {
	m.out = append(m.out, Effect{Kind: EffectLog, Instance: i, Text: fmt.Sprintf(format, args...), Warn: true})
}

func (m *Machine) notice(i *Instance, n Notice) {
	m.out = append(m.out, Effect{Kind: EffectNotice, Instance: i, Notice: n})
}

// report is the instance as a listing shows it.
func (i *Instance) report() InstanceState {
	s := InstanceState{
		Config: *i.cfg, State: i.state, Want: i.want, BasePriority: i.cfg.Priority, Priority: i.priority, TotalPriority: i.total,
		VIPSet: i.vipset, Master: i.master, MasterPriority: i.masterPriority, MasterInterval: i.masterInterval,
		LastTransition: i.lastTransition, Faults: i.faults(), Stats: i.stats, SplitBrain: i.split.on,
	}
	if len(i.sources) > 0 {
		s.Source = i.sources[0].Addr
	}
	if i.group != nil {
		s.Group = i.group.cfg.Name
	}
	for q, quiet := range i.quiet {
		if quiet && i.state == Backup {
			s.Quiet = append(s.Quiet, i.wayName(q))
		}
	}
	for t := range i.trackers() {
		s.Tracks = append(s.Tracks, TrackReport{Track: *t, State: i.m.track(t)})
	}
	return s
}
