package director

import (
	"slices"
	"sync"

	"go.uber.org/zap"

	"dirsw/packet"
)

// stations are the Ethernet addresses whose frames the filter takes, as they are in force.
type stations struct {
	mu    sync.Mutex
	ports *[]Port        // for which
	macs  [][]packet.MAC // of each of them
}

// settle has the filter take frames to the virtual MAC addresses that this host is master for, beside those to the interfaces'
// own. A backup must not take them: a switch that has not learned where the master is floods them to everybody, and then two
// directors would forward each.
func (d *Director) settle() {
	d.stations.mu.Lock()
	defer d.stations.mu.Unlock()
	ports := d.ports.Load()
	if d.stations.ports != ports {
		d.stations.ports, d.stations.macs = ports, make([][]packet.MAC, len(*ports))
	}
	m := d.now.Load().wanted
	for i := range *ports {
		p := &(*ports)[i]
		if p.Local || p.SendOnly {
			continue
		}
		macs := []packet.MAC{p.MAC}
		for k := range m.Instances {
			for _, v := range vmacs(&m.Instances[k]) {
				if _, held := d.masters.Load(v.Name); held && !v.IPvlan && v.Base == p.Name && !slices.Contains(macs, packet.MAC(v.MAC)) {
					macs = append(macs, packet.MAC(v.MAC))
				}
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

// crown is told by the election, before a link gets a virtual address: frames to it must come to the workers by then, as the
// kernel refuses connections that it takes for its own.
func (d *Director) crown(link string) {
	if _, known := d.masters.LoadOrStore(link, true); !known {
		d.settle()
	}
}

// uncrown is told that an instance is not master.
func (d *Director) uncrown(instance string) {
	m := d.now.Load().wanted
	for i := range m.Instances {
		if m.Instances[i].Name != instance {
			continue
		}
		for _, v := range vmacs(&m.Instances[i]) {
			d.masters.Delete(v.Name)
		}
	}
}
