package director

import (
	"slices"

	"go.uber.org/zap"

	"dirsw/packet"
	"dirsw/vrrp"
)

// stations are the Ethernet addresses whose frames the filter takes, as they are in force.
type stations struct {
	ports *[]Port        // for which
	macs  [][]packet.MAC // of each of them
}

// settle has the filter take frames to the virtual MAC addresses that this host is master for, beside those to the interfaces'
// own. A backup must not take them: a switch that has not learned where the master is floods them to everybody, and then two
// directors would forward each.
func (d *Director) settle() {
	ports := d.ports.Load()
	if d.stations.ports != ports {
		d.stations = stations{ports: ports, macs: make([][]packet.MAC, len(*ports))}
	}
	m := d.now.Load().wanted
	for i := range *ports {
		p := &(*ports)[i]
		if p.Local || p.SendOnly {
			continue
		}
		macs := []packet.MAC{p.MAC}
		for k := range m.Instances {
			v := vmac(&m.Instances[k])
			if _, master := d.masters.Load(m.Instances[k].Name); master && v != nil && !v.IPvlan && v.Base == p.Name {
				macs = append(macs, packet.MAC(v.MAC))
			}
		}
		if slices.Equal(macs, d.stations.macs[i]) {
			continue
		}
		if err := d.o.Filter.SetMACs(i, macs); err != nil {
			d.o.Log.Error("frames to virtual MAC addresses do not come to the workers", zap.String("interface", p.Name), zap.Error(err))
			continue
		}
		d.stations.macs[i] = macs
	}
}

// crown notes whether an instance is master. It is called on the election's thread.
func (d *Director) crown(name string, state vrrp.State) {
	if state == vrrp.Master {
		d.masters.Store(name, true)
	} else {
		d.masters.Delete(name)
	}
}
