package director

import (
	"go.uber.org/zap"

	"dirsw/bfd"
	"dirsw/config"
	"dirsw/health"
	"dirsw/vrrp"
)

// Sessions are the sessions of BFD that a model has.
func Sessions(m *config.Model) (out []bfd.Config) {
	for i := range m.VRRP.BFDs {
		b := &m.VRRP.BFDs[i]
		out = append(out, bfd.Config{Name: b.Name, Neighbor: b.Neighbor, Source: b.Source, MinRx: b.MinRx, MinTx: b.MinTx, IdleTx: b.IdleTx,
			Multiplier: uint8(b.Multiplier), Passive: b.Passive, TTL: uint8(b.TTL), MaxHops: uint8(b.MaxHops), Multihop: b.Multihop})
	}
	return out
}

// heard is told by the runner of BFD, on its thread, that a neighbour came or went.
func (d *Director) heard(n bfd.Notice) { d.hear(n.Name, n.Up()) }

// hear passes on whether a neighbour is there.
func (d *Director) hear(name string, up bool) {
	d.election.Track(vrrp.TrackBFD, name, vrrp.TrackState{Known: true, Up: up})
	value := int64(0)
	if up {
		value = 1
	}
	d.prober.Feed(health.KindBFD, name, value)
}

// newBFD makes the runner of BFD, whose thread comes before all others as that of the election does.
func (d *Director) newBFD() *bfd.Runner {
	return bfd.NewRunner(bfd.Options{Clock: d.o.Clock, Log: d.o.Log, Notice: d.heard, Prepare: func() {
		if err := d.o.Net.RealTime(vrrp.DefaultRTPriority, nil); err != nil {
			d.o.Log.Warn("BFD runs without real-time priority", zap.Error(err))
		}
	}})
}

// meetBFD has the sessions of a model run. One that is new is down until its neighbour is heard, which is said before it
// begins, so that nothing it tells comes first; how the others stand they tell themselves.
func (d *Director) meetBFD(m *config.Model) error {
	known := map[string]bool{}
	list, _ := d.bfd.Status()
	for i := range list {
		known[list[i].Config.Name] = true
	}
	for i := range m.VRRP.BFDs {
		if name := m.VRRP.BFDs[i].Name; !known[name] {
			d.hear(name, false)
		}
	}
	return d.bfd.Set(Sessions(m))
}
