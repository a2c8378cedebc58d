package director

import "dirsw/vrrp"

// Election is how the instances and groups stand. Any goroutine.
func (d *Director) Election() ([]vrrp.InstanceState, []vrrp.GroupState) { return d.election.States() }
