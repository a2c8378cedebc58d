package keepalived

import (
	"slices"
	"time"

	"dirsw/config"
)

// members returns the group of each instance. One that several name is in the first; the others are told by Validate.
func (p *parser) members() map[string]*config.SyncGroup {
	of := map[string]*config.SyncGroup{}
	for i := range p.model.VRRP.Groups {
		g := &p.model.VRRP.Groups[i]
		for _, m := range g.Instances {
			if of[m.Name] == nil {
				of[m.Name] = g
			}
		}
	}
	return of
}

// trackKey names what is tracked.
type trackKey struct {
	kind config.TrackKind
	name string
}

// weight is the weight of what is tracked, for lines that name none.
type weight struct {
	n       int
	reverse bool
}

// weights returns the weights of all that the file defines.
func (p *parser) weights() map[trackKey]weight {
	m := &p.model.VRRP
	of := map[trackKey]weight{}
	add := func(k config.TrackKind, name string, n int, reverse bool) {
		if _, twice := of[trackKey{k, name}]; !twice {
			of[trackKey{k, name}] = weight{n, reverse}
		}
	}
	for _, o := range m.Scripts {
		add(config.TrackScript, o.Name, o.Weight, o.Reverse)
	}
	for _, o := range m.Files {
		add(config.TrackOfFile, o.Name, o.Weight, o.Reverse)
	}
	for _, o := range m.Processes {
		add(config.TrackOfProcess, o.Name, o.Weight, o.Reverse)
	}
	for _, o := range m.BFDs {
		add(config.TrackBFD, o.Name, o.Weight, o.Reverse)
	}
	for _, o := range m.Arbiters {
		add(config.TrackArbiter, o.Name, o.Weight, o.Reverse)
	}
	return of
}

// settleTracks gives lines without a weight that of what they track.
func (p *parser) settleTracks(list []config.Track, of map[trackKey]weight) {
	for i := range list {
		t := &list[i]
		w := of[trackKey{t.Kind, t.Name}]
		if t.Weight == unsetWeight {
			t.Weight = w.n
		}
		if !p.turned[t.Pos] {
			t.Reverse = w.reverse
		}
	}
}

// settleWeights drops what has a weight where priorities may not change: the priority of an owner is 255, and the members
// of a group have theirs together. keepalived drops scripts, files and BFD sessions as a whole, keeps processes, and of
// interfaces drops the weight alone in a group.
func (p *parser) settleWeights(d *draft, group *config.SyncGroup) {
	owner := d.Priority == 255
	grouped := group != nil && !group.Weights
	d.Tracks = slices.DeleteFunc(d.Tracks, func(t config.Track) bool {
		if t.Kind == config.TrackInterface && t.Name == d.Interface {
			p.note(t.Pos, "%s is the interface of %s: it is tracked in any case, or not at all with dont_track_primary", t.Name, d.Name)
			return true
		}
		return false
	})
	d.Tracks = slices.DeleteFunc(d.Tracks, func(t config.Track) bool {
		if t.Weight == 0 || !owner && !grouped || t.Kind == config.TrackOfProcess || !owner && t.Kind == config.TrackInterface {
			return false
		}
		reason := "as the owner of its addresses it has priority 255, always"
		if !owner {
			reason = "it is in the group " + group.Name + ", which has no sync_group_tracking_weight"
		}
		p.note(t.Pos, "%s %s of %s is not tracked, in keepalived as well: %s; write `weight 0`, so that it is FAULT when that is down",
			t.Kind, t.Name, d.Name, reason)
		return true
	})
	if len(d.Tracks) == 0 {
		d.Tracks = nil
	}
	for i := range d.Tracks {
		t := &d.Tracks[i]
		if t.Weight != 0 && !grouped && d.NoPreempt {
			p.noteOnce("weight "+d.Name, t.Pos, "with nopreempt in %s weights do not make another one master while this one is up: a backup of higher "+
				"priority waits; write `weight 0`, so that it is FAULT when %s is down", d.Name, t.Name)
		}
		if t.Kind == config.TrackInterface && t.Weight != 0 && grouped {
			t.Weight, t.Reverse = 0, false
			p.note(t.Pos, "%s %s of %s has no weight, in keepalived as well: it is in the group %s, which has no sync_group_tracking_weight",
				t.Kind, t.Name, d.Name, group.Name)
		}
	}
}

// settleGroups settles what groups track. Where a member is the owner of its addresses no weight can work.
func (p *parser) settleGroups(of map[trackKey]weight) {
	owner := map[string]bool{}
	for _, d := range p.vrrp {
		owner[d.Name] = d.Priority == 255
	}
	for i := range p.model.VRRP.Groups {
		g := &p.model.VRRP.Groups[i]
		p.settleTracks(g.Tracks, of)
		k := slices.IndexFunc(g.Instances, func(m config.Ref) bool { return owner[m.Name] })
		if k < 0 {
			continue
		}
		for j := range g.Tracks {
			if t := &g.Tracks[j]; t.Weight != 0 {
				t.Weight = 0
				p.note(t.Pos, "%s %s of the group %s has no weight, in keepalived as well: %s has priority 255, always", t.Kind, t.Name, g.Name,
					g.Instances[k].Name)
			}
		}
	}
}

// settleDelays shortens the delays of interfaces that are longer than a backup waits.
func (p *parser) settleDelays() {
	for i := range p.model.VRRP.Delays {
		l := &p.model.VRRP.Delays[i]
		for _, d := range p.vrrp {
			if d.Interface != l.Interface {
				continue
			}
			most := max(time.Duration(d.DownAdverts-1)*d.AdvertInt-d.AdvertInt*time.Duration(256-int(d.Priority))/256, 0).Truncate(time.Microsecond)
			if l.Down <= most && l.Up <= most {
				continue
			}
			l.Down, l.Up = min(l.Down, most), min(l.Up, most)
			p.note(l.Pos, "the delays of %s are cut to %s s, in keepalived as well: a backup of %s would take over before", l.Interface,
				inSeconds(most), d.Name)
		}
	}
}
