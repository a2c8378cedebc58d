package config

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
)

// vrrp checks the instances and what stands around them.
func (v *validator) vrrp(m *Model) {
	known := m.VRRP.trackable()
	v.instances(m, known)
	v.groups(m, known)
	v.scripts(m.VRRP.Scripts)
	v.files(m.VRRP.Files)
	v.processes(m.VRRP.Processes)
	v.bfds(m.VRRP.BFDs)
	v.arbiters(m.VRRP.Arbiters)
	v.sync(m)
	for i := range m.VRRP.Static.Addresses {
		v.address(&m.VRRP.Static.Addresses[i], "static address", "")
	}
	seen := map[string]Pos{}
	for _, d := range m.VRRP.Delays {
		v.once(seen, "interface", d.Interface, d.Pos)
	}
}

// once complains about a name that is there already, and about none at all.
func (v *validator) once(seen map[string]Pos, what, name string, pos Pos) {
	if name == "" {
		v.fail(pos, "write it behind the keyword", "a %s without name", what)
		return
	}
	if p, ok := seen[name]; ok {
		v.fail(pos, "give each its own name", "the %s %q is there twice%s", what, name, at(p))
		return
	}
	seen[name] = pos
}

// unknown complains about a name that nothing has, with the nearest that something has.
func (v *validator) unknown(pos Pos, known iter.Seq[string], keyword, name, by string) {
	fix := "write a block `" + keyword + " " + name + "`"
	if near := Nearest(name, known); near != "" {
		fix = "write " + near
	}
	v.fail(pos, fix, "%s names the %s %q, which is nowhere", by, keyword, name)
}

// trackable is the names of what can be tracked. Of a BFD session it says whether instances may; the file does not define
// interfaces.
type trackable map[TrackKind]map[string]bool

// trackable returns what the file defines.
func (m *VRRP) trackable() trackable {
	t := trackable{}
	add := func(k TrackKind, name string, usable bool) {
		if t[k] == nil {
			t[k] = map[string]bool{}
		}
		t[k][name] = usable
	}
	for i := range m.Scripts {
		add(TrackScript, m.Scripts[i].Name, true)
	}
	for i := range m.Files {
		add(TrackOfFile, m.Files[i].Name, true)
	}
	for i := range m.Processes {
		add(TrackOfProcess, m.Processes[i].Name, true)
	}
	for i := range m.BFDs {
		add(TrackBFD, m.BFDs[i].Name, !m.BFDs[i].NoVRRP)
	}
	for i := range m.Arbiters {
		add(TrackArbiter, m.Arbiters[i].Name, true)
	}
	return t
}

// definition returns the keyword of the blocks that can be tracked so, "" for interfaces.
func (k TrackKind) definition() string {
	return word(int(k), "", "vrrp_script", "track_file", "vrrp_track_process", "bfd_instance", "vrrp_arbiter")
}

// tracks checks what an instance or a group tracks.
func (v *validator) tracks(known trackable, list []Track, by string) {
	for i := range list {
		t := &list[i]
		most := 253
		if t.Kind == TrackOfFile || t.Kind == TrackOfProcess {
			most = 254
		}
		if t.Weight < -most || t.Weight > most {
			v.fail(t.Pos, "write a weight that a priority can change by", "the weight %d of %s in %s", t.Weight, t.Name, by)
		}
		if t.Kind == TrackInterface {
			continue
		}
		switch usable, ok := known[t.Kind][t.Name]; {
		case !ok:
			v.unknown(t.Pos, maps.Keys(known[t.Kind]), t.Kind.definition(), t.Name, by)
		case !usable:
			v.fail(t.Pos, "remove `checker` there", "%s tracks the bfd_instance %q, which is for health checks only", by, t.Name)
		}
	}
}

// groups checks each vrrp_sync_group, and that no instance is in two.
func (v *validator) groups(m *Model, known trackable) {
	seen, of := map[string]Pos{}, map[string]string{}
	names := map[string]bool{}
	for i := range m.Instances {
		names[m.Instances[i].Name] = true
	}
	for i := range m.VRRP.Groups {
		g := &m.VRRP.Groups[i]
		v.once(seen, "vrrp_sync_group", g.Name, g.Pos)
		if len(g.Instances) == 0 {
			v.fail(g.Pos, "write their names in `group { … }`", "the vrrp_sync_group %q has no instances", g.Name)
		}
		for _, in := range g.Instances {
			other, twice := of[in.Name]
			switch {
			case !names[in.Name]:
				v.unknown(in.Pos, maps.Keys(names), "vrrp_instance", in.Name, "vrrp_sync_group "+g.Name)
			case twice && other == g.Name:
				v.fail(in.Pos, "name it once", "the vrrp_sync_group %q names %q twice", g.Name, in.Name)
			case twice:
				v.fail(in.Pos, "name it in one of them", "the vrrp_instance %q is in the vrrp_sync_group %q already", in.Name, other)
			}
			of[in.Name] = g.Name
		}
		v.tracks(known, g.Tracks, "vrrp_sync_group "+g.Name)
	}
}

func (v *validator) scripts(list []Script) {
	seen := map[string]Pos{}
	for i := range list {
		s := &list[i]
		v.once(seen, "vrrp_script", s.Name, s.Pos)
		if s.Command.IsZero() {
			v.fail(s.Pos, "write `script \"/path/to/program\"`", "the vrrp_script %q has no script", s.Name)
		}
		if s.Interval <= 0 || s.Timeout <= 0 || s.Rise < 1 || s.Fall < 1 {
			v.fail(s.Pos, "write more than 0", "interval, timeout, rise or fall of the vrrp_script %q is 0", s.Name)
		}
	}
}

func (v *validator) files(list []TrackFile) {
	seen := map[string]Pos{}
	for i := range list {
		f := &list[i]
		v.once(seen, "track_file", f.Name, f.Pos)
		if f.Path == "" {
			v.fail(f.Pos, "write `file PATH`", "the track_file %q has no file", f.Name)
		}
	}
}

func (v *validator) processes(list []TrackProcess) {
	seen := map[string]Pos{}
	for i := range list {
		t := &list[i]
		v.once(seen, "vrrp_track_process", t.Name, t.Pos)
		if t.Command == "" {
			v.fail(t.Pos, "write `process NAME`", "the vrrp_track_process %q has no process", t.Name)
		}
		if t.QuorumMax > 0 && t.QuorumMax < t.Quorum {
			v.fail(t.Pos, "write at least the quorum", "quorum_max %d of the vrrp_track_process %q is below its quorum, %d", t.QuorumMax, t.Name, t.Quorum)
		}
	}
}

// maxBFDName is the longest name of a bfd_instance that keepalived takes, in bytes.
const maxBFDName = 31

func (v *validator) bfds(list []BFD) {
	seen, neighbours := map[string]Pos{}, map[[2]netip.Addr]string{}
	for i := range list {
		f := &list[i]
		v.once(seen, "bfd_instance", f.Name, f.Pos)
		key := [2]netip.Addr{f.Neighbor, f.Source}
		switch other, twice := neighbours[key]; {
		case len(f.Name) > maxBFDName:
			v.fail(f.Pos, "write 31 characters or less", "the name of the bfd_instance %q is too long", f.Name)
		case !f.Neighbor.IsValid():
			v.fail(f.Pos, "write `neighbor_ip ADDRESS`", "the bfd_instance %q has no neighbor", f.Name)
		case f.Neighbor.IsMulticast() || f.Neighbor.IsUnspecified():
			v.fail(f.Pos, "write a unicast address", "the neighbor %s of the bfd_instance %q is not the address of a host", f.Neighbor, f.Name)
		case f.Neighbor.IsLinkLocalUnicast() && f.Neighbor.Is6() && f.Neighbor.Zone() == "":
			v.fail(f.Pos, fmt.Sprintf("write its interface behind it, %s%%eth0", f.Neighbor), "the neighbor %s of the bfd_instance %q is link-local",
				f.Neighbor, f.Name)
		case f.Source.IsValid() && f.Source.Is6() != f.Neighbor.Is6():
			v.fail(f.Pos, "write addresses of one family", "the source %s of the bfd_instance %q is of another family than its neighbor", f.Source, f.Name)
		case twice:
			v.fail(f.Pos, "keep one of them", "the bfd_instance %q has the addresses of %q", f.Name, other)
		}
		neighbours[key] = f.Name
	}
}

func (v *validator) arbiters(list []Arbiter) {
	seen := map[string]Pos{}
	for i := range list {
		a := &list[i]
		v.once(seen, "vrrp_arbiter", a.Name, a.Pos)
		switch n := len(a.Addresses); {
		case n == 0:
			v.fail(a.Pos, "write `address ADDRESS`", "the vrrp_arbiter %q has no address", a.Name)
		case a.Quorum < 1 || a.Quorum > n:
			v.fail(a.Pos, "write at most the number of its addresses", "the quorum %d of the vrrp_arbiter %q, which has %s", a.Quorum, a.Name,
				count(n, "address", "es"))
		}
		for k, addr := range a.Addresses {
			if slices.Contains(a.Addresses[:k], addr) {
				v.fail(a.Pos, "name it once", "the address %s of the vrrp_arbiter %q is there twice", addr, a.Name)
			}
		}
		if a.Interval <= 0 || a.Timeout <= 0 || a.Rise < 1 || a.Fall < 1 {
			v.fail(a.Pos, "write more than 0", "interval, timeout, rise or fall of the vrrp_arbiter %q is 0", a.Name)
		}
	}
}
