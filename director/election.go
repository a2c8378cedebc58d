package director

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"dirsw/config"
	"dirsw/host"
	"dirsw/vrrp"
)

// vote has the election follow a model.
func (d *Director) vote(m *config.Model) error {
	if n, ok := d.o.Net.(*ElectionNet); ok {
		probes := map[netip.Addr]bool{}
		for i := range m.Instances {
			for _, a := range m.Instances[i].Addresses {
				probes[a.Prefix.Addr()] = probes[a.Prefix.Addr()] || m.Instances[i].ProbeAddresses
			}
		}
		n.probes.Store(&probes)
	}
	return errors.Join(d.promote(m), d.election.Apply(Plan(m)))
}

// promote sets promote_secondaries where instances ask for it. At the end all is as it was.
func (d *Director) promote(m *config.Model) error {
	var errs []error
	for i := range m.Instances {
		in := &m.Instances[i]
		if _, done := d.promoted[in.Interface]; done || !in.PromoteSecondaries || in.Interface == "" {
			continue
		}
		restore, err := d.o.Host.PromoteSecondaries(in.Interface)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d.promoted[in.Interface] = restore
	}
	return errors.Join(errs...)
}

// demote takes back what promote did.
func (d *Director) demote() {
	for link, restore := range d.promoted {
		if err := restore(); err != nil {
			d.o.Log.Warn("promote_secondaries is not as it was", zap.String("interface", link), zap.Error(err))
		}
	}
}

// stranger is told by the election's thread that somebody else claims an address that is held here. Who takes over from us does
// that, too, so it is looked at again when we should know.
// Who claims an address without end is told of once in a while.
func (d *Director) stranger(a host.Answer) {
	if _, known := d.claims.LoadOrStore(a.Addr, true); known {
		return
	}
	d.o.Clock.AfterFunc(strangerGrace, func() {
		d.strange(a)
		d.o.Clock.AfterFunc(probeEvery/2, func() { d.claims.Delete(a.Addr) })
	})
}

// strangerGrace is how long an address is claimed by two in the course of a takeover, at most.
const strangerGrace = 2 * time.Second

// strange tells of one that claims an address that is held here all the same.
func (d *Director) strange(a host.Answer) {
	now := d.now.Load()
	states, _ := d.election.States()
	mine := slices.ContainsFunc(states, func(in vrrp.InstanceState) bool {
		return in.State == vrrp.Master && slices.ContainsFunc(in.Config.Addresses, func(v vrrp.Address) bool { return v.Prefix.Addr() == a.Addr })
	})
	if now == nil || !mine {
		return
	}
	i := slices.IndexFunc(now.wanted.Instances, func(in config.Instance) bool {
		return slices.ContainsFunc(in.Addresses, func(v config.VirtualAddress) bool { return v.Prefix.Addr() == a.Addr })
	})
	if i < 0 {
		return
	}
	d.o.Log.Error("somebody else has a virtual address that is held here", zap.Stringer("address", a.Addr), zap.String("interface", a.Link),
		zap.Stringer("mac", macString(a.MAC)))
	d.alarmSplit(now.wanted.Instances[i].Name, "STRANGER", macString(a.MAC).String())
}

// Election is how the instances and groups stand. Any goroutine.
func (d *Director) Election() ([]vrrp.InstanceState, []vrrp.GroupState) { return d.election.States() }

// StrayAdverts counts, by reason, the adverts that are for none of the instances. Any goroutine.
func (d *Director) StrayAdverts() [vrrp.NumRejects]uint64 { return d.election.Strays() }
