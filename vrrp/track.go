package vrrp

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"dirsw/clock"
)

// fileFault is the value of a tracked file, times its weight, at which the instance is in FAULT.
const fileFault = -254

// trackers yields what the instance depends on by configuration: its own lines and those of its group.
func (i *Instance) trackers() iter.Seq[*Track] {
	return func(yield func(*Track) bool) {
		for n := range i.cfg.Track {
			if !yield(&i.cfg.Track[n]) {
				return
			}
		}
		if i.group == nil {
			return
		}
		for n := range i.group.cfg.Track {
			if !yield(&i.group.cfg.Track[n]) {
				return
			}
		}
	}
}

// tracks reports whether the instance depends on a thing.
func (i *Instance) tracks(k trackKey) bool {
	for t := range i.trackers() {
		if t.Kind == k.kind && t.Name == k.name {
			return true
		}
	}
	return false
}

// ownLinks are the links that the instance stands on.
func (i *Instance) ownLinks() []string {
	links := []string{i.cfg.OwnLink()}
	if i.cfg.VMAC != nil {
		links = append(links, i.cfg.Interface)
	}
	return links
}

// vipLinks yields the other links that have addresses of the instance: a master that cannot serve one of them lets another
// one serve all.
func (i *Instance) vipLinks() iter.Seq[string] {
	return func(yield func(string) bool) {
		own := i.ownLinks()
		for _, list := range [...][]Address{i.cfg.Addresses, i.cfg.Excluded} {
			for n := range list {
				if a := &list[n]; a.Link != "" && !a.NoTrack && !slices.Contains(own, a.Link) && !yield(a.Link) {
					return
				}
			}
		}
	}
}

// dependsOn reports whether a link matters to the instance.
func (i *Instance) dependsOn(link string) bool {
	for l := range i.vipLinks() {
		if l == link {
			return true
		}
	}
	return slices.Contains(i.ownLinks(), link) || i.tracks(trackKey{TrackInterface, link})
}

// faults lists what holds the instance in FAULT, in the words of the log lines.
func (i *Instance) faults() []string {
	var out []string
	seen := map[string]bool{}
	linkDown := func(name string) {
		if name != "" && !seen[name] && !i.m.links[name].Up {
			seen[name] = true
			out = append(out, fmt.Sprintf("interface %s down", name))
		}
	}
	if !i.cfg.DontTrackPrimary {
		for _, l := range i.ownLinks() {
			linkDown(l)
		}
	}
	for l := range i.vipLinks() {
		linkDown(l)
	}
	for t := range i.trackers() {
		if f := i.trackFault(t); f != "" && !seen[f] {
			seen[f] = true
			out = append(out, f)
		}
	}
	if i.cfg.FaultNoPeer {
		out = append(out, "no unicast peers")
	}
	if len(i.sources) == 0 {
		return out
	}
	switch s := i.sources[0]; {
	case s.Missing && i.cfg.TrackSource:
		out = append(out, "src address not configured")
	case !s.Addr.IsValid():
		out = append(out, fmt.Sprintf("no IPv%d address for interface", 4+2*btoi(i.cfg.IPv6)))
	}
	return out
}

// trackFault is what a tracker without weight says against the instance; empty: nothing.
func (i *Instance) trackFault(t *Track) string {
	s := i.m.track(t)
	switch {
	case t.Kind == TrackFile:
		if v := fileStatus(t, s.Value); v <= fileFault {
			return fmt.Sprintf("tracked file %s has status %d", t.Name, v)
		}
		return ""
	case t.Takeover || t.Weight != 0 || !s.Known || s.Up != t.Reverse:
		return ""
	}
	switch t.Kind {
	case TrackInterface:
		return fmt.Sprintf("interface %s down", t.Name)
	case TrackScript:
		return "due to script " + t.Name
	case TrackProcess:
		return fmt.Sprintf("tracked process %s quorum not achieved", t.Name)
	}
	return fmt.Sprintf("tracked %v %s down", t.Kind, t.Name)
}

// fileStatus is what a tracked file's value adds to the priority; fileFault or less means FAULT. Without a weight any
// value but 0 does.
func fileStatus(t *Track, value int) int {
	if t.Weight == 0 {
		if (value != 0) != t.Reverse {
			return fileFault
		}
		return 0
	}
	v := value * t.Weight
	if t.Reverse {
		v = -v
	}
	return min(v, PriorityOwner-2)
}

// weightCounts reports whether the weight of a tracker changes the instance's priority: never an address owner's. Of a
// member of a group only the weights of the group's own trackers do, and of processes, unless the group says otherwise.
func (i *Instance) weightCounts(t *Track, ofGroup bool) bool {
	switch {
	case i.cfg.Priority == PriorityOwner:
		return false
	case ofGroup || i.group == nil || i.group.cfg.TrackingWeight:
		return true
	}
	return t.Kind == TrackProcess
}

// weighed is the priority with all weights.
func (i *Instance) weighed() int {
	total := int(i.cfg.Priority)
	n := 0
	for t := range i.trackers() {
		if i.weightCounts(t, n >= len(i.cfg.Track)) {
			total += i.weightNow(t)
		}
		n++
	}
	return total
}

// weightNow is what a tracker adds to the priority.
func (i *Instance) weightNow(t *Track) int {
	s := i.m.track(t)
	switch {
	case t.Kind == TrackFile:
		if v := fileStatus(t, s.Value); v > fileFault {
			return v
		}
		return 0
	case !s.Known || s.Up != (t.Weight > 0):
		return 0
	case t.Reverse:
		return -t.Weight
	}
	return t.Weight
}

// undecided reports whether nothing was heard yet of a thing without a weight, as of a script that has not run: until then
// the instance is neither up nor down.
func (i *Instance) undecided() bool {
	for t := range i.trackers() {
		if t.Kind != TrackFile && t.Weight == 0 && !t.Takeover && !i.m.track(t).Known {
			return true
		}
	}
	return false
}

// reconsider looks again at everything that the instance depends on, after something of it changed.
func (i *Instance) reconsider(now clock.Mono) {
	wasDown, wasUnknown := i.down, i.unknown
	i.down, i.unknown = len(i.faults()) > 0, i.undecided()
	if t := i.weighed(); t != i.total && i.cfg.Priority != PriorityOwner {
		i.total = t
		i.setPriority(now)
	}
	switch {
	case i.down && (!wasDown || i.state == Init):
		i.goDown(now)
	case !i.down && !i.unknown && (wasDown || wasUnknown):
		i.comeUp(now)
	}
}

// goDown enters FAULT, and takes the group along.
func (i *Instance) goDown(now clock.Mono) {
	i.want = Fault
	if i.state == Master {
		i.leaveMaster(now, true)
	} else {
		i.leaveFault(now)
	}
	if i.group != nil {
		i.group.toFault(now, i)
	}
}

// pulledDown follows a group into FAULT without having been master, of which keepalived writes nothing.
func (i *Instance) pulledDown(now clock.Mono) {
	prev := i.state
	i.state, i.want, i.deadline, i.preemptAt = Fault, Fault, never, 0
	i.lastTransition = now
	i.notice(now, prev, "sync group")
}

// comeUp leaves FAULT, if nothing in the group speaks against it. An owner takes over at once, all others listen first.
func (i *Instance) comeUp(now clock.Mono) {
	if i.group != nil && i.group.held() {
		return
	}
	i.want = Backup
	if i.cfg.Priority == PriorityOwner && (i.group == nil || i.group.allOwners()) {
		i.want = Master
		if i.group != nil {
			i.group.wantMaster()
		}
	}
	i.leaveFault(now)
	if i.cfg.Unicast() && i.cfg.Interface != "" && i.sources[0].Addr.IsValid() && !i.m.delayed(now) {
		// The master may have forgotten our MAC address: without this its adverts would wait for an answer of ours.
		i.logf("%s: sending gratuitous %s for %v", i.cfg.Name, arpWord(i.cfg.IPv6), i.sources[0].Addr)
		i.m.out = append(i.m.out, Effect{Kind: EffectAnnounce, Instance: i, Link: i.cfg.Interface, Addr: i.sources[0].Addr})
	}
	if i.group != nil && i.state == Backup {
		i.group.toBackup(now, i)
	}
}

// logTrack writes what keepalived writes when a tracked thing changes, beside what its own checker writes.
func (i *Instance) logTrack(k trackKey, old, s TrackState) {
	switch k.kind {
	case TrackBFD:
		i.logf("VRRP_Instance(%s) Tracked BFD instance %s is %s", i.cfg.Name, k.name, map[bool]string{true: "UP", false: "DOWN"}[s.Up])
	case TrackFile:
		for t := range i.trackers() {
			if t.Kind != TrackFile || t.Name != k.name {
				continue
			}
			before, after := fileStatus(t, old.Value) <= fileFault, fileStatus(t, s.Value) <= fileFault
			if after && !before {
				i.logf("(%s): tracked file %s now FAULT state", i.cfg.Name, k.name)
			} else if before && !after {
				i.logf("(%s): tracked file %s leaving FAULT state", i.cfg.Name, k.name)
			}
		}
	}
}

func arpWord(v6 bool) string {
	if v6 {
		return "NA"
	}
	return "ARP"
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// takeoverSkew is the interval that the skew time is reckoned from when BFD says that the master is gone: the backup of the
// highest priority is the first (RFC 9568, section 6.1), and none waits for longer.
const takeoverSkew = 100 * time.Millisecond

// masterLost ends the wait for adverts of a master whose session of BFD has ended.
func (i *Instance) masterLost(now clock.Mono, key trackKey) {
	if i.state != Backup || i.deadline == never || i.down {
		return
	}
	for t := range i.trackers() {
		if t.Takeover && t.Kind == key.kind && t.Name == key.name {
			skew := takeoverSkew * time.Duration(int(PriorityOwner)+1-int(i.priority)) / 256
			i.logf("(%s) BFD session %s with the master is down", i.cfg.Name, t.Name)
			i.restartDown(now, min(skew, i.deadline.Sub(now)))
			return
		}
	}
}
